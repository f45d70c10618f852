"""A look at a stage while it runs: greedy answers on fixed held-out dialogues, and the best weights so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rxt_mrl.evaluation.intervals import paired_gain
from rxt_mrl.model import RxT
from rxt_mrl.scoring.states import States

from .curriculum import fixed_plan
from .pool import Pool
from .stages import Validation
from .trajectories import Trajectories


@dataclass(frozen=True)
class Best:
    """The best validation of a stage: mean reward of each dialogue ``(dialogues,)``, and the weights of then."""

    rewards: Tensor
    weights: dict[str, Tensor]

    @classmethod
    def of(cls, rewards: Tensor, model: RxT) -> Best:
        """The present weights, with what they earned."""
        return cls(rewards, {name: value.detach().clone() for name, value in model.state_dict().items()})


@dataclass(frozen=True)
class Looked:
    """What a look found: mean reward of each dialogue ``(dialogues,)``, NaN where none is known; recall or NaN."""

    rewards: Tensor
    recall: float


def look(
    pool: Pool,
    setups: Sequence[int],
    sizes: Sequence[int],
    how: Validation,
    seed: int,
    recall: Callable[[Trajectories], float],
    states: States | None = None,
) -> list[Looked]:
    """Greedy answers to held-out dialogues, judged; of each part.

    Args:
        pool: configured with the setups, whose sampling is greedy.
        setups: their numbers.
        sizes: dialogues that each has.
        how: how many dialogues.
        seed: of the initial memories.
        recall: of what was played.
        states: of rewards, which each look begins with.
    """
    found = []
    for setup, size in zip(setups, sizes, strict=True):
        plan = fixed_plan(min(how.episodes, size), shard=64, seed=seed, setup=setup)
        batch = pool.rollout([replace(shard, states=states) for shard in plan])
        rewards = torch.where(batch.valid, batch.rewards, torch.nan).flatten(1).nanmean(1)
        found.append(Looked(rewards, recall(batch)))
    return found


def fallen(best: Tensor, now: Tensor) -> bool:
    """Whether a validation is worse than the best one by more than the 95 % interval of the paired difference."""
    known = ~(best.isnan() | now.isnan())
    if int(known.sum()) < 2:
        return False
    return paired_gain(best[known].numpy(), now[known].numpy()).high < 0
