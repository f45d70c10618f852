"""The common part of the stages' models: what a forward pass takes and returns."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor, nn

from ..model import RxT

Ratio = tuple[Tensor, Tensor]
"""A sum and what to divide it by, so that means over several batches weigh every token the same."""


class StageOutput(TypedDict):
    """Result of one forward pass: the loss to minimize, and sums for the log (no graph)."""

    loss: Tensor
    sums: dict[str, Ratio]


class StageModel(nn.Module):
    """An RxT with the loss of one stage; ``transformers.Trainer`` trains it like any module.

    ``forward`` takes the tensors of :class:`~rxt_mrl.supervised.batches.BatchData` and returns a
    :class:`StageOutput`. Nothing is kept between calls; all randomness comes from ``draw`` and ``row_seeds``.
    """

    def __init__(self, rxt: RxT) -> None:
        super().__init__()
        self.rxt = rxt

    def trained(self) -> dict[str, float] | None:
        """Components that the stage trains, with a scale of their learning rate; None: all of them."""
        return None

    def extra_modules(self) -> dict[str, nn.Module]:
        """Modules beside the RxT that are trained as well, by name."""
        return {}


def generator_for(draw: Tensor) -> torch.Generator:
    """The generator of one batch. It draws on the CPU, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(int(draw))


def ratio(total: Tensor, count: Tensor | int) -> Ratio:
    """A detached :data:`Ratio`."""
    count = torch.as_tensor(count, dtype=torch.float32, device=total.device)
    return total.detach().float(), count
