"""Training rows of the stages that see single texts or interactions (stages 1 and 2)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from ..dialogues.batching import DialogueTensors
from ..dialogues.template import TokenRows, pad_rows
from ..dialogues.tokenizer import DialogueTokenizer
from ..errors import UserError


def text_rows(texts: Iterable[str], tokenizer: DialogueTokenizer, *, max_tokens: int, whole: bool = False) -> TokenRows:
    """Plain texts as ``[BOS] text [EOS]``, in rows of ``max_tokens`` at most.

    Args:
        texts: of any length; empty ones are left out.
        tokenizer: of the model.
        max_tokens: of a row.
        whole: make several rows of even length of a longer text, the first with [BOS] and the last with [EOS]; else it
            is cut off, without [EOS].

    Raises:
        UserError: when there is no text with any token.
    """
    rows: list[list[int]] = []
    for text in texts:
        content = tokenizer.encode_text(text)
        if content:
            row = [tokenizer.bos_id, *content, tokenizer.eos_id]
            width = math.ceil(len(row) / math.ceil(len(row) / max_tokens)) if whole else max_tokens
            rows += [row[start : start + width] for start in range(0, len(row) if whole else 1, width)]
    if not rows:
        raise UserError("joint stage: the data holds no text")
    ids, mask = pad_rows(rows, pad_id=tokenizer.pad_id)
    return TokenRows(ids, mask, torch.zeros_like(mask))


def interaction_rows(dialogues: DialogueTensors) -> TokenRows:
    """Every interaction of every dialogue as a row of its own, ``[BOS][Q] query [A] answer [EOS]``."""
    rows = dialogues.interactions().flat()
    return rows.select(rows.mask.any(-1).nonzero().squeeze(-1))
