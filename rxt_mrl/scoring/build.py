"""From whatever a user gives as a reward to what an environment calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..contracts import Reward, RewardContext, RewardSpec
from ..errors import UserError
from ..settings import validate
from .load import load_reward
from .values import evaluate_reward, name_of
from .weighted import RewardResult, WeightedReward

Score = Callable[[RewardContext], RewardResult]
"""What environments call: a :class:`WeightedReward`, or any function like it."""

RewardLike = WeightedReward | RewardSpec | Mapping[str, Any] | Sequence[Any] | str | Reward | None
"""A weighted reward, its spec (also as a mapping, or as a list of names and terms, which are added up), or what
:func:`load_reward` takes; None: no reward."""


class SoleReward:
    """A reward alone, without weights: its values are checked, and an error is raised with the example.

    Args:
        reward: as :func:`~rxt_mrl.scoring.load_reward` returns it.
    """

    def __init__(self, reward: Reward) -> None:
        self._name = name_of(reward)
        self._reward = reward

    def __call__(self, context: RewardContext) -> RewardResult:
        """Score a batch.

        Raises:
            RewardError: when the reward fails.
        """
        values, problems = evaluate_reward(self._reward, context, self._name)
        if problems:
            raise problems[0]
        valid = ~values.isnan()
        terms, weights, failed = {self._name: values}, {self._name: 1.0}, torch.zeros_like(valid)
        return RewardResult(torch.where(valid, values, 0.0), valid, terms, weights=weights, failed=failed)


def build_reward(reward: RewardLike) -> Score | None:
    """A reward that is ready to be called.

    Raises:
        UserError: for an unknown name, a wrong spec, or a callable that cannot be called with a context.
    """
    if reward is None or isinstance(reward, WeightedReward):
        return reward
    if isinstance(reward, list | tuple) and (called := [part for part in reward if callable(part)]):
        raise UserError(
            f"a list of rewards holds names and terms, got the {type(called[0]).__name__} {name_of(called[0])!r}; name "
            "it 'file.py:Name', or give one function that adds them up"
        )
    if isinstance(reward, str | Mapping | list | tuple):
        reward = validate(RewardSpec, reward, "reward")
    return WeightedReward(reward) if isinstance(reward, RewardSpec) else SoleReward(load_reward(reward))
