"""Length: whether an answer is about as long as it should be."""

from __future__ import annotations

from typing import ClassVar

import torch

from rxt_mrl.contracts import RewardContext
from rxt_mrl.errors import UserError


class Length:
    """How near an answer's length is to the reference's (or a given one), in content tokens.

    Too short: length / target. Too long: target / length, or 1 with ``penalise_longer=False``.

    What it cannot tell apart: it looks at no word. Any answer of the right length earns everything. A term of small
    weight beside others, or a metric.

    Args:
        target: tokens that an answer should have; None: as many as the reference.
        penalise_longer: whether an answer above the target loses.
    """

    blind_to: ClassVar[frozenset[str]] = frozenset(
        {
            "short",
            "wrong value",
            "outdated value",
            "negated",
            "echo of the query",
            "list of all values",
            "other dialogue",
            "abstention",
            "made up where nothing was told",
        }
    )

    def __init__(self, target: int | None = None, penalise_longer: bool = True) -> None:
        if target is not None and target < 1:
            raise UserError(f"target {target!r}: a length of at least 1 token, or none to use the reference's")
        self.target = target
        self.needs_reference = target is None
        self.penalise_longer = penalise_longer

    def __call__(self, context: RewardContext) -> torch.Tensor:
        """Float32 ``(episodes,)`` in [0, 1]; 0 for an empty answer."""
        length = context.generated.content_mask.sum(1).float()
        if self.target is None:
            target = context.reference.content_mask.sum(1).float()
        else:
            target = torch.full_like(length, float(self.target))
        return length_score(length, target, self.penalise_longer)


def length_score(length: torch.Tensor, target: torch.Tensor, penalise_longer: bool) -> torch.Tensor:
    """``length / target`` below the target, above it ``target / length`` or 1; two empty texts agree."""
    short = length / target.clamp(min=1)
    long = target / length.clamp(min=1) if penalise_longer else torch.ones_like(length)
    return torch.where(length < target, short, torch.where((length == 0) & (target == 0), 1.0, long))
