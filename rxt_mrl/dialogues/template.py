"""Interactions as token rows: pad, join query and answer. Vectorized, for any leading dimensions.

All rows are right-padded: a mask is True for the first tokens of a row and False after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

PAD_ID = 0


class Interactions(NamedTuple):
    """Joined interactions ``[BOS][Q]query[A]answer[EOS]``, right-padded; each field is ``(..., tokens)``."""

    ids: Tensor
    """long."""
    mask: Tensor
    """bool, True for tokens."""
    answer_mask: Tensor
    """bool, True for the answer's tokens ([EOS] included): what losses and actions are about."""


def join(
    query_ids: Tensor,
    query_mask: Tensor,
    answer_ids: Tensor,
    answer_mask: Tensor,
    *,
    pad_id: int = PAD_ID,
    width: int | None = None,
) -> Interactions:
    """Concatenate each query with its answer, without a gap between them.

    Args:
        query_ids: long ``(..., query tokens)``, right-padded.
        query_mask: bool, of the same shape.
        answer_ids: long ``(..., answer tokens)``, right-padded, with the same leading dimensions.
        answer_mask: bool, of the same shape.
        pad_id: what to fill with.
        width: tokens of the result; None: as many as the longest row has. A number saves the look at the data.

    Raises:
        ValueError: when the leading dimensions differ, or a row is longer than ``width``.
    """
    if query_ids.shape[:-1] != answer_ids.shape[:-1]:
        raise ValueError(
            f"queries and answers must have the same leading shape, got {tuple(query_ids.shape)}, "
            f"{tuple(answer_ids.shape)}"
        )
    query_length = query_mask.sum(-1, keepdim=True)
    length = query_length + answer_mask.sum(-1, keepdim=True)
    longest = int(length.max()) if length.numel() else 0
    if width is None:
        width = longest
    elif longest > width:
        raise ValueError(f"an interaction has {longest} tokens, and the width is {width}")
    query_width = query_ids.shape[-1]
    position = torch.arange(width, device=query_ids.device)
    in_query = position < query_length
    mask = position < length
    both = torch.cat((query_ids, answer_ids), dim=-1)
    source = torch.where(in_query, position, query_width + position - query_length)
    source = source.masked_fill(~mask, 0)
    ids = both.gather(-1, source).masked_fill(~mask, pad_id) if both.shape[-1] else both.new_empty(mask.shape)
    return Interactions(ids, mask, mask & ~in_query)


def pad_rows(rows: Sequence[Sequence[int]], *, pad_id: int = PAD_ID, width: int | None = None) -> tuple[Tensor, Tensor]:
    """Token rows of different lengths as ``(ids, mask)``, both ``(rows, tokens)``, right-padded.

    Raises:
        ValueError: when a row is longer than ``width``.
    """
    lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
    longest = int(lengths.max()) if len(rows) else 0
    if width is None:
        width = longest
    elif longest > width:
        raise ValueError(f"a row has {longest} tokens, and the width is {width}")
    mask = np.arange(width) < lengths[:, None]
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    ids[mask] = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
    return torch.from_numpy(ids), torch.from_numpy(mask)
