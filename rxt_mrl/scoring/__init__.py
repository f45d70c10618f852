"""Scoring: the weighted sum of rewards, checked values, adapters to TRL, and what a reward cannot tell apart."""

from __future__ import annotations

from .build import RewardLike, Score, build_reward
from .check import CheckReport, check_reward
from .from_trl import from_trl
from .load import load_reward
from .to_trl import to_trl
from .values import RewardError, evaluate_reward
from .weighted import RewardResult, WeightedReward

__all__ = [
    "CheckReport",
    "RewardError",
    "RewardLike",
    "RewardResult",
    "Score",
    "WeightedReward",
    "build_reward",
    "check_reward",
    "evaluate_reward",
    "from_trl",
    "load_reward",
    "to_trl",
]
