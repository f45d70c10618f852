"""Scoring: the weighted sum of rewards, checked values, adapters to TRL, and what a reward cannot tell apart."""

from __future__ import annotations

from .build import RewardLike, build_reward
from .weighted import RewardError, RewardResult, WeightedReward, as_reward, check_signature, evaluate

__all__ = [
    "RewardError",
    "RewardLike",
    "RewardResult",
    "WeightedReward",
    "as_reward",
    "build_reward",
    "check_signature",
    "evaluate",
]
