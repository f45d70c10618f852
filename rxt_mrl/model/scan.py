"""A scan of memory writes: how its gradient is bounded, and its memories as the rows that read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Carry(Protocol):
    """What one write of a scan hands on to the next: the same memory, with the gradient that may flow back through it.

    Answers read the memory itself, so that a bound between the writes takes no gradient from the write before them.
    """

    def __call__(self, memory: Tensor, writes: int) -> Tensor:
        """The memory ``(layers, batch, slots, dim)`` after ``writes`` >= 1 writes, as the next one starts from it."""
        ...


@dataclass(frozen=True)
class Truncated:
    """Cut the gradient every so many writes; 1 lets a write learn from the next answer alone, as published."""

    every: int

    def __call__(self, memory: Tensor, writes: int) -> Tensor:
        """Detached where a stretch of ``every`` writes is complete."""
        return memory if writes % self.every else memory.detach()


def truncated(every: int | None) -> Truncated | None:
    """As settings say it: None never cuts the gradient."""
    return None if every is None else Truncated(every)


def carried(memories: Sequence[Tensor], carry: Carry | None) -> Tensor:
    """What the next write of a scan starts from, after the memories so far (the given one first)."""
    last = memories[-1]
    return last if carry is None or len(memories) == 1 else carry(last, len(memories) - 1)


def memory_rows(memories: Tensor) -> Tensor:
    """The memories ``(N, layers, B, slots, dim)`` of a scan as ``(layers, B * N, slots, dim)``: row ``b * N + n``.

    So N answers of each of B dialogues are decoded in one call, each with the memory that it reads.
    """
    return memories.permute(1, 2, 0, 3, 4).flatten(1, 2)
