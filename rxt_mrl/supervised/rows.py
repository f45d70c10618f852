"""Training rows of the stages that see single texts or interactions (stages 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..dialogues.batching import DialogueTensors
from ..dialogues.template import pad_rows
from ..dialogues.tokenizer import DialogueTokenizer
from ..errors import UserError
from ..texts import longest


@dataclass(frozen=True)
class TokenRows:
    """Encoded texts or interactions.

    Attributes:
        ids: long ``(rows, tokens)``, right-padded.
        mask: bool ``(rows, tokens)``, True for tokens.
        answer_mask: bool ``(rows, tokens)``, the tokens of the answer with [EOS]; all False for plain text.
    """

    ids: Tensor
    mask: Tensor
    answer_mask: Tensor

    def __len__(self) -> int:
        return self.ids.shape[0]

    @property
    def lengths(self) -> Tensor:
        """Tokens of every row, long ``(rows,)``."""
        return self.mask.sum(-1)

    def select(self, rows: Sequence[int]) -> TokenRows:
        """Some rows, with the padding that they do not need cut off."""
        index = torch.as_tensor(list(rows), dtype=torch.long)
        mask = self.mask[index]
        width = longest(mask)
        return TokenRows(self.ids[index, :width], mask[:, :width], self.answer_mask[index, :width])


def text_rows(texts: Iterable[str], tokenizer: DialogueTokenizer, *, max_tokens: int) -> TokenRows:
    """Plain texts as ``[BOS] text [EOS]``, cut to ``max_tokens`` (a cut text has no [EOS]).

    Raises:
        UserError: when there is no text with any token.
    """
    rows = []
    for text in texts:
        content = tokenizer.encode_text(text)
        if content:
            rows.append([tokenizer.bos_id, *content, tokenizer.eos_id][:max_tokens])
    if not rows:
        raise UserError("joint stage: the data holds no text")
    ids, mask = pad_rows(rows, pad_id=tokenizer.pad_id)
    return TokenRows(ids, mask, torch.zeros_like(mask))


def interaction_rows(dialogues: DialogueTensors) -> TokenRows:
    """Every interaction of every dialogue as a row of its own, ``[BOS][Q] query [A] answer [EOS]``."""
    turns = dialogues.interactions()
    keep = turns.mask.flatten(0, 1).any(-1)
    return TokenRows(
        turns.ids.flatten(0, 1)[keep], turns.mask.flatten(0, 1)[keep], turns.answer_mask.flatten(0, 1)[keep]
    )
