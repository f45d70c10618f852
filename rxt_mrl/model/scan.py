"""A scan of memory writes: how its gradient is bounded, and its memories as the rows that read them.

Through many writes a gradient may explode: the slots' own state chooses what they read, and what comes back along that
path can grow from write to write (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Write = Callable[[Tensor], Tensor]
"""The memory ``(layers, batch, slots, dim)`` after one interaction."""


class Flow(Protocol):
    """Does one write of a scan, and decides what gradient flows back through it. Values stay as they are."""

    def __call__(self, memory: Tensor, write: Write, done: int) -> Tensor:
        """The memory after ``write``, when ``done`` writes were done before."""
        ...


@dataclass(frozen=True)
class Truncated:
    """Cut the gradient every so many writes; 1 lets a write learn from the next answer alone, as published."""

    every: int

    def __call__(self, memory: Tensor, write: Write, done: int) -> Tensor:
        """Starts from a detached memory where a stretch of ``every`` writes is complete."""
        return write(memory.detach() if done and not done % self.every else memory)


class Bounded:
    """Never longer before a write than after it: ``g <- g * min(1, |G| / |g|)``, for each dialogue.

    ``G`` is the whole gradient of the memory after the write, ``g`` what comes back through the write. The answer that
    reads the memory before the write adds its own gradient afterwards, so the norm of any memory's gradient is at most
    the sum of what the later answers add, however many writes there are; and every write is credited for all of them.
    """

    def __call__(self, memory: Tensor, write: Write, done: int) -> Tensor:
        """The write, with two hooks on its gradient where there is one."""
        before = memory.view_as(memory)
        after = write(before)
        if before.requires_grad:
            limit: list[Tensor] = []
            after.register_hook(lambda gradient: limit.append(_norms(gradient)))

            def shorten(gradient: Tensor) -> Tensor:
                return gradient * (limit.pop() / _norms(gradient)).nan_to_num(1.0).clamp(max=1)

            before.register_hook(shorten)
        return after


def flow(truncate: int | None, bounded: bool) -> Flow | None:
    """As settings say it; None: the gradient is whole."""
    if bounded:
        return Bounded()
    return None if truncate is None else Truncated(truncate)


def scanned(memory: Tensor, writes: Iterable[Write], flow: Flow | None) -> list[Tensor]:
    """Memories after 0, 1, ..., N writes."""
    memories = [memory]
    for done, write in enumerate(writes):
        last = memories[-1]
        memories.append(write(last) if flow is None else flow(last, write, done))
    return memories


def memory_rows(memories: Tensor) -> Tensor:
    """The memories ``(N, layers, B, slots, dim)`` of a scan as ``(layers, B * N, slots, dim)``: row ``b * N + n``.

    So N answers of each of B dialogues are decoded in one call, each with the memory that it reads.
    """
    return memories.permute(1, 2, 0, 3, 4).flatten(1, 2)


def _norms(gradient: Tensor) -> Tensor:
    """Of each dialogue, ``(1, batch, 1, 1)``."""
    return torch.linalg.vector_norm(gradient, dim=(0, 2, 3), keepdim=True)
