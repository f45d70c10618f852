"""Training rows of the stages that see single texts or interactions (stages 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ..dialogues.batching import DialogueTensors
from ..dialogues.template import TokenRows, pad_rows
from ..dialogues.tokenizer import DialogueTokenizer
from ..errors import UserError


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
    rows = dialogues.interactions().flat()
    return rows.select(rows.mask.any(-1).nonzero().squeeze(-1))
