"""Losses over real tokens only, masking for the encoder, and encoded data as memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""Label of a position that no loss counts."""


def token_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross-entropy over the labelled positions.

    Args:
        logits: ``(..., vocab)``, of any positions.
        labels: long ``(...)``, :data:`IGNORED` where nothing is counted.

    Returns:
        The loss, the number of correct tokens and the number of counted tokens (0-dimensional each).
        The loss of a batch without any labelled position is 0, with a graph.
    """
    logits = logits.reshape(-1, logits.shape[-1])
    labels = labels.reshape(-1)
    counted = labels != IGNORED
    tokens = counted.sum()
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
    with torch.no_grad():
        correct = ((logits.argmax(-1) == labels) & counted).sum()
    return total / tokens.clamp(min=1), correct, tokens


def next_token_labels(ids: Tensor, counted: Tensor) -> Tensor:
    """Labels for logits of the same width: position p predicts token p + 1 where ``counted[p + 1]``.

    Args:
        ids, counted: long and bool ``(..., tokens)``.
    """
    labels = torch.full_like(ids, IGNORED)
    labels[..., :-1] = torch.where(counted[..., 1:], ids[..., 1:], IGNORED)
    return labels


def mask_tokens(ids: Tensor, mask: Tensor, draws: Tensor, *, share: float, mask_id: int) -> tuple[Tensor, Tensor]:
    """Hide a share of the tokens of every row, at least one (RXT 3.1: always [MASK], specials too).

    Args:
        ids, mask: long and bool ``(rows, tokens)``.
        draws: uniform numbers in [0, 1) of the same shape.
        share: share of tokens to hide.
        mask_id: id of [MASK].

    Returns:
        The ids that the encoder sees, and the labels: the hidden tokens, :data:`IGNORED` elsewhere.
    """
    draws = draws.masked_fill(~mask, 2.0)
    # A short row can escape all draws and would give no loss: its smallest draw is hidden in any case.
    hidden = (draws < share) | (mask & (draws == draws.min(-1, keepdim=True).values))
    return torch.where(hidden, mask_id, ids), torch.where(hidden, ids, IGNORED)


def pool_to_slots(encoded: Tensor, mask: Tensor, slots: int) -> Tensor:
    """Average encoded data over ``slots`` even stretches of every row's real tokens.

    A row of n tokens is cut as adaptive average pooling cuts it: slot s covers tokens floor(s n / slots) up to
    ceil((s + 1) n / slots). Rows with fewer tokens than slots repeat tokens; padding never enters.

    Args:
        encoded: ``(layers, rows, tokens, dim)``.
        mask: bool ``(rows, tokens)``, right-padded.

    Returns:
        ``(layers, rows, slots, dim)``.
    """
    lengths = mask.sum(-1).clamp(min=1)[:, None]
    slot = torch.arange(slots, device=mask.device)[None]
    start = slot * lengths // slots
    end = -(-(slot + 1) * lengths // slots)
    token = torch.arange(mask.shape[-1], device=mask.device)
    inside = (token >= start[..., None]) & (token < end[..., None])
    weights = inside.to(encoded.dtype) / inside.sum(-1, keepdim=True).to(encoded.dtype)
    return torch.einsum("rst,lrtd->lrsd", weights, encoded)


def repeat_tokens(encoded: Tensor, mask: Tensor) -> Tensor:
    """Encoded data in which the padding of a row repeats its tokens in turn: slot j holds token ``j mod n``.

    So encoded tokens of rows of different lengths can be a memory, all of whose slots are read.

    Args:
        encoded: ``(layers, rows, tokens, dim)``.
        mask: bool ``(rows, tokens)``, right-padded.
    """
    slot = torch.arange(mask.shape[-1], device=mask.device)
    source = slot[None] % mask.sum(-1, keepdim=True).clamp(min=1)
    return encoded.gather(2, source[None, :, :, None].expand_as(encoded))
