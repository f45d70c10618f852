"""Interactions as token rows: pad, join query and answer. Vectorized, for any leading dimensions.

All rows are right-padded: a mask is True for the first tokens of a row and False after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from ..texts import Tokens, longest

PAD_ID = 0


@dataclass(frozen=True)
class TokenRows:
    """Texts or joined interactions ``[BOS][Q]query[A]answer[EOS]``, right-padded; each field is ``(..., tokens)``.

    Attributes:
        ids: long.
        mask: bool, True for tokens.
        answer_mask: bool, True for the answer's tokens ([EOS] included): what losses and actions are about; nowhere
            in plain texts.
    """

    ids: Tensor
    mask: Tensor
    answer_mask: Tensor

    def __len__(self) -> int:
        return self.ids.shape[0]

    @property
    def lengths(self) -> Tensor:
        """Tokens of every row, long ``(...)``."""
        return self.mask.sum(-1)

    def select(self, rows: Sequence[int] | Tensor) -> TokenRows:
        """Some of the first dimension, with the padding that they need and no more."""
        index = torch.as_tensor(rows, dtype=torch.long)
        width = longest(self.mask[index])
        return TokenRows(*(field[index][..., :width] for field in (self.ids, self.mask, self.answer_mask)))

    def flat(self) -> TokenRows:
        """Interactions ``(dialogues, interactions, tokens)`` as rows of their own."""
        return TokenRows(*(field.flatten(0, -2) for field in (self.ids, self.mask, self.answer_mask)))

    def to(self, device: torch.device | str) -> TokenRows:
        """The same on another device."""
        return TokenRows(self.ids.to(device), self.mask.to(device), self.answer_mask.to(device))


def join(query: Tokens, answer: Tokens, *, pad_id: int = PAD_ID, width: int | None = None) -> TokenRows:
    """Concatenate each query with its answer, without a gap between them.

    Args:
        query: ``(..., query tokens)``.
        answer: ``(..., answer tokens)``, with the same leading dimensions.
        pad_id: what to fill with.
        width: tokens of the result; None: as many as the longest row has. A number saves the look at the data.

    Raises:
        ValueError: when the leading dimensions differ, or a row is longer than ``width``.
    """
    if query.ids.shape[:-1] != answer.ids.shape[:-1]:
        shapes = f"{tuple(query.ids.shape)}, {tuple(answer.ids.shape)}"
        raise ValueError(f"queries and answers must have the same leading shape, got {shapes}")
    query_length = query.mask.sum(-1, keepdim=True)
    length = query_length + answer.mask.sum(-1, keepdim=True)
    most = int(length.max()) if length.numel() else 0
    if width is None:
        width = most
    elif most > width:
        raise ValueError(f"an interaction has {most} tokens, and the width is {width}")
    query_width = query.ids.shape[-1]
    position = torch.arange(width, device=query.ids.device)
    in_query = position < query_length
    mask = position < length
    both = torch.cat((query.ids, answer.ids), dim=-1)
    source = torch.where(in_query, position, query_width + position - query_length)
    source = source.masked_fill(~mask, 0)
    ids = both.gather(-1, source).masked_fill(~mask, pad_id) if both.shape[-1] else both.new_empty(mask.shape)
    return TokenRows(ids, mask, mask & ~in_query)


def pad_rows(rows: Sequence[Sequence[int]], *, pad_id: int = PAD_ID, width: int | None = None) -> Tokens:
    """Token rows of different lengths, right-padded, ``(rows, tokens)``.

    Raises:
        ValueError: when a row is longer than ``width``.
    """
    lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
    most = int(lengths.max()) if len(rows) else 0
    if width is None:
        width = most
    elif most > width:
        raise ValueError(f"a row has {most} tokens, and the width is {width}")
    mask = np.arange(width) < lengths[:, None]
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    ids[mask] = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
    return Tokens(torch.from_numpy(ids), torch.from_numpy(mask))
