"""A reward: short answers are worth more."""

from __future__ import annotations

import torch

from rxt_mrl.contracts import RewardContext, reward


@reward(weight=1.0, name="brevity")
class Brevity:
    """``1 / tokens`` of the answer.

    Args:
        free: tokens that cost nothing.
    """

    def __init__(self, free: int = 1) -> None:
        self.free = free

    def __call__(self, context: RewardContext) -> torch.Tensor:
        """One over the tokens beyond the free ones."""
        tokens = context.generated.content_mask.sum(1)
        return 1.0 / (tokens - self.free).clamp(min=1)
