"""Memories that cannot help, read in place of the real one: what is left of recall then was not remembered."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .config import Control


def read_memories(memory: Tensor, initial: Tensor, controls: Sequence[Control]) -> Tensor:
    """The real memory and its controls, one after the other along the batch.

    Args:
        memory: ``(layers, rows, slots, dim)``, as written so far; not changed.
        initial: of the same shape, the memory at the start.
        controls: ``wiped`` reads ``initial``; ``swapped`` reads the memory of the row before, at the same step.

    Returns:
        ``(layers, (1 + controls) * rows, slots, dim)``.

    Raises:
        ValueError: for ``swapped`` with a single row: there is no other dialogue.
    """
    parts = [memory]
    for control in controls:
        if control == "wiped":
            parts.append(initial)
        else:
            if memory.shape[1] < 2:
                raise ValueError("swapped memories need at least two dialogues")
            parts.append(memory.roll(1, dims=1))
    return torch.cat(parts, dim=1)


def batch_bounds(count: int, batch_size: int) -> list[tuple[int, int]]:
    """Cut ``count`` dialogues into batches as even as possible, so that none is left alone (if there are two)."""
    batches = -(-count // batch_size)
    return [(count * part // batches, count * (part + 1) // batches) for part in range(batches)]
