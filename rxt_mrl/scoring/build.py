"""From whatever a user gives as a reward to what an environment calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import ValidationError

from ..contracts import Reward, RewardContext, RewardSpec
from ..errors import UserError
from .weighted import RewardResult, Score, WeightedReward, check_signature, evaluate

RewardLike = WeightedReward | RewardSpec | Mapping[str, Any] | str | Reward | None
"""A weighted reward, its spec (also as a mapping), the name of a reward, or a reward itself; None: no reward."""


class SoleReward:
    """A reward alone, without weights: its values are checked, and an error is raised with the example.

    Args:
        reward: any callable ``RewardContext -> (episodes,)`` floats in [0, 1].
    """

    def __init__(self, reward: Reward) -> None:
        name = getattr(reward, "reward_name", None) or getattr(reward, "__name__", type(reward).__name__)
        self._name = str(name)
        check_signature(reward, self._name)
        self._reward = reward

    def __call__(self, context: RewardContext) -> RewardResult:
        """Score a batch.

        Raises:
            RewardError: when the reward fails.
        """
        values, problems = evaluate(self._reward, context, self._name)
        if problems:
            raise problems[0]
        valid = ~values.isnan()
        return RewardResult(torch.where(valid, values, 0.0), valid, {self._name: values}, weights={self._name: 1.0})


def build_reward(reward: RewardLike) -> Score | None:
    """A reward that is ready to be called.

    Raises:
        UserError: for an unknown name, a wrong spec, or a callable that cannot be called with a context.
    """
    if reward is None or isinstance(reward, WeightedReward):
        return reward
    if isinstance(reward, str):
        reward = {"terms": [{"use": reward}]}
    if isinstance(reward, Mapping):
        try:
            reward = RewardSpec.model_validate(reward)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, ("reward", *first["loc"])))
            raise UserError(f"{where}: {first['msg']}, got {first['input']!r}") from None
    return WeightedReward(reward) if isinstance(reward, RewardSpec) else SoleReward(reward)
