"""Counting n-grams of a batch at once, exactly: what BLEU and the repetition reward share.

All n-grams of all rows and orders become integers in one matrix, which is sorted once; equal n-grams then lie side by
side and are counted as runs. No hashing, so no collisions: an n-gram is the number whose digits are its tokens, and
where that number would not fit in 63 bits, tokens and prefixes are renumbered first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

_ABSENT = -1
_KEY_BITS = 63
_CHUNK = 8_192
"""Tokens per chunk: keeps the sort in the processor's cache, and token numbers below 13 bits."""


_TABLE = 1 << 22
"""Up to this vocabulary size tokens are renumbered with a table, above it by sorting."""


def compact(ids: torch.Tensor, keep: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Move the kept tokens of each row to its left.

    Args:
        ids: long ``(rows, tokens)``.
        keep: bool ``(rows, tokens)``.

    Returns:
        ids int64 ``(rows, longest)`` (rubbish beyond a row's length) and lengths int64 ``(rows,)``.
    """
    array = ids.detach().cpu().numpy().astype(np.int64, copy=False)
    mask = keep.detach().cpu().numpy()
    lengths = np.count_nonzero(mask, axis=1).astype(np.int64)
    width = int(lengths.max(initial=0))
    positions = np.arange(width)
    if np.array_equal(mask[:, :width], positions < lengths[:, None]):
        return array[:, :width], lengths
    out = np.zeros((len(array), width), dtype=np.int64)
    out[positions < lengths[:, None]] = array[mask]
    return out, lengths


class NgramCounts:
    """Counts of the n-grams of a batch of hypotheses, and of their matches in references.

    Attributes:
        matches: int64 ``(orders, rows)``: hypothesis n-grams found in a reference, each no more often than it stands
            in that reference which has most of it (clipped counts).
        distinct: int64 ``(orders, rows)``: different n-grams of the hypothesis.
        totals: int64 ``(orders, rows)``: n-grams of the hypothesis.
    """

    def __init__(
        self,
        hypothesis: tuple[np.ndarray, np.ndarray],
        references: Sequence[tuple[np.ndarray, np.ndarray]],
        orders: int,
    ) -> None:
        rows = len(hypothesis[1])
        self.matches = np.zeros((orders, rows), dtype=np.int64)
        self.distinct = np.zeros((orders, rows), dtype=np.int64)
        self.totals = np.maximum(hypothesis[1] - np.arange(orders)[:, None], 0)
        texts = [hypothesis, *references]
        width = sum(ids.shape[1] for ids, _ in texts)
        step = max(1, _CHUNK // max(1, width))
        for start in range(0, rows, step):
            part = slice(start, start + step)
            chunk = [(ids[part], lengths[part]) for ids, lengths in texts]
            self.matches[:, part], self.distinct[:, part] = _count(chunk, orders)


def _count(texts: Sequence[tuple[np.ndarray, np.ndarray]], orders: int) -> tuple[np.ndarray, np.ndarray]:
    rows, sources = len(texts[0][1]), len(texts)
    keys = _keys(texts, orders)
    if keys.shape[1] == 0:
        return np.zeros((orders, rows), dtype=np.int64), np.zeros((orders, rows), dtype=np.int64)
    keys.sort(axis=1)
    width = keys.shape[1]
    flat = keys.ravel()
    # A run is a stretch of equal keys: one n-gram in one text. Runs do not cross the rows of the matrix.
    fresh = np.empty(flat.shape, dtype=bool)
    fresh[0] = True
    np.not_equal(flat[1:], flat[:-1], out=fresh[1:])
    fresh[::width] = True
    starts = np.flatnonzero(fresh)
    sizes = np.diff(starts, append=len(flat))
    first = flat[starts]
    bits = (sources - 1).bit_length()
    grams = first >> bits
    line = starts // width
    own = (first >= 0) & ((first & ((1 << bits) - 1)) == 0)
    best = np.zeros_like(sizes)
    for ahead in range(1, sources):  # the runs of the same n-gram in the references follow
        same = (grams[ahead:] == grams[:-ahead]) & (line[ahead:] == line[:-ahead])
        np.maximum(best[:-ahead], np.where(same, sizes[ahead:], 0), out=best[:-ahead])
    lines = line[own]
    matched = np.bincount(lines, weights=np.minimum(sizes, best)[own], minlength=orders * rows)
    distinct = np.bincount(lines, minlength=orders * rows)
    return matched.astype(np.int64).reshape(orders, rows), distinct.reshape(orders, rows)


def _keys(texts: Sequence[tuple[np.ndarray, np.ndarray]], orders: int) -> np.ndarray:
    """``(orders * rows, sum of widths)``: n-gram number with the index of the text in its lowest bits, or -1."""
    rows, sources = len(texts[0][1]), len(texts)
    widths = [ids.shape[1] for ids, _ in texts]
    keys = np.full((orders, rows, sum(widths)), _ABSENT, dtype=np.int64)
    ends = np.cumsum(widths)
    present = [np.arange(width) < lengths[:, None] for width, (_, lengths) in zip(widths, texts, strict=True)]
    tokens = [np.where(there, ids, 0) for there, (ids, _) in zip(present, texts, strict=True)]
    base = 1 + max((int(ids.max(initial=0)) for ids in tokens), default=0)
    bits = (sources - 1).bit_length()
    if base**orders << bits >= 1 << _KEY_BITS:
        tokens, base = _renumber(tokens, base)
    fits = base**orders << bits < 1 << _KEY_BITS
    numbers = list(tokens)
    for order in range(orders):
        if order:
            numbers = [
                number[:, : max(width - order, 0)] * base + token[:, order:]
                for number, token, width in zip(numbers, tokens, widths, strict=True)
            ]
            if not fits:  # very many different tokens, or n-grams longer than usual
                numbers = _rank(numbers)
        for index, number in enumerate(numbers):
            first = ends[index] - widths[index]
            last = first + number.shape[1]
            there = present[index][:, order:]
            keys[order, :, first:last] = np.where(there, (number << bits) | index, _ABSENT)
    return keys.reshape(orders * rows, -1)


def _renumber(tokens: list[np.ndarray], base: int) -> tuple[list[np.ndarray], int]:
    """Give the tokens that occur the numbers 0, 1, 2 ..."""
    if base > _TABLE:
        tokens = _rank(tokens)
        return tokens, 1 + max(int(ids.max(initial=0)) for ids in tokens)
    occurs = np.zeros(base, dtype=np.int64)
    for ids in tokens:
        occurs[ids] = 1
    number = np.cumsum(occurs) - 1
    return [number[ids] for ids in tokens], int(number[-1]) + 1


def _rank(numbers: list[np.ndarray]) -> list[np.ndarray]:
    """Give the n-grams that occur the numbers 0, 1, 2 ..."""
    flat = np.concatenate([number.ravel() for number in numbers])
    ranks = np.unique(flat, return_inverse=True)[1]
    cuts = np.cumsum([number.size for number in numbers])[:-1]
    return [part.reshape(number.shape) for part, number in zip(np.split(ranks, cuts), numbers, strict=True)]
