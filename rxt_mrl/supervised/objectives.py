"""The common part of the stages' models: what a forward pass takes and returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypedDict

import torch
from torch import Tensor, nn

from ..model import RxT
from ..runs import ranks

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

    def criterion(self, means: Mapping[str, float]) -> float:
        """What the stage minimizes, of the means of its sums: held-out losses are compared by it."""
        return means["loss"]

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


class Sums:
    """Adds up the sums of several batches, on the device."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Tensor]] = {}

    def add(self, sums: Mapping[str, Ratio]) -> None:
        """The sums of one more batch."""
        for name, (total, count) in sums.items():
            kept = self._kept.get(name)
            self._kept[name] = [total, count] if kept is None else [kept[0] + total, kept[1] + count]

    def means(self) -> dict[str, float]:
        """The means over all processes; ``ppl`` and ``mlm_ppl`` beside the losses that are of tokens."""
        if ranks.size() == 1:
            means = {name: (total / count.clamp(min=1e-9)).item() for name, (total, count) in self._kept.items()}
        else:
            parts = ranks.gather({name: (float(total), float(count)) for name, (total, count) in self._kept.items()})
            means = {
                name: sum(part[name][0] for part in parts) / max(sum(part[name][1] for part in parts), 1e-9)
                for name in self._kept
            }
        for prefix in ("", "mlm_"):
            if f"{prefix}loss" in means and f"{prefix}accuracy" in means:
                means[f"{prefix}ppl"] = math.exp(min(means[f"{prefix}loss"], 20.0))
        return means
