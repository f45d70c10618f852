"""The mean reward of sampled answers on fixed dialogues with fixed seeds: before and after compare pair by pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rxt_mrl.contracts import RewardSpec, Strategy
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT
from rxt_mrl.model.sampling import SamplingConfig

from .config import EnvSpec
from .curriculum import fixed_plan
from .environment import StageSetup, make_setup
from .pool import LocalPool, Pool
from .trajectories import Trajectories


@dataclass(frozen=True)
class SampledReward:
    """Rewards of sampled answers.

    Attributes:
        rewards: float32 ``(dialogues, samples, steps)``, NaN where unknown.
        terms: mean of each reward term.
    """

    rewards: Tensor
    terms: Mapping[str, float]

    @property
    def per_dialogue(self) -> Tensor:
        """Mean reward of each dialogue, ``(dialogues,)``."""
        return self.rewards.flatten(1).nanmean(1)

    @property
    def mean(self) -> float:
        """Mean over dialogues."""
        return self.per_dialogue.nanmean().item()


def sampled_reward(
    model: RxT,
    tokenizer: DialogueTokenizer,
    dialogues: DialogueTensors | None,
    *,
    steps: int,
    reward: RewardSpec | None,
    env: EnvSpec | None = None,
    sampling: SamplingConfig | None = None,
    strategy: Strategy | None = None,
    seed: int = 0,
    samples: int = 1,
    shard: int = 64,
    count: int | None = None,
    embedding: Tensor | None = None,
    pool: Pool | None = None,
) -> SampledReward:
    """Play dialogues once for each of ``samples`` seeds.

    The same arguments with other weights give pairs (``per_dialogue``) for
    :func:`rxt_mrl.evaluation.intervals.paired_gain`. What an episode
    writes to memory are the model's own answers.

    Args:
        model: whose answers are scored.
        tokenizer: of the dialogues.
        dialogues: held-out ones; None for an environment that brings its own.
        steps: answers of an episode.
        reward: what scores them; None: the environment's default.
        env: the environment; None: the default one.
        sampling: how answers are drawn; None: temperature 1.
        strategy: None: as the dialogues say.
        seed: of initial memories and answers.
        samples: episodes per dialogue.
        shard: episodes that are played together.
        count: the first so many dialogues; None: all.
        embedding: for rewards that need one; the same one before and after, or the rewards do not compare.
        pool: rollout workers; it is synced and configured here. None: this process.
    """
    setup = make_setup(
        env or EnvSpec(),
        dialogues=dialogues,
        tokenizer=tokenizer,
        reward=reward,
        sampling=sampling or SamplingConfig(),
        steps=steps,
        strategy=strategy,
        embedding=embedding,
    )
    pool = pool or LocalPool(model)
    pool.configure([setup])
    pool.sync()
    batch = play_fixed(pool, setup, seed=seed, samples=samples, shard=shard, count=count)
    rewards = torch.where(batch.valid, batch.rewards, torch.nan)
    return SampledReward(
        rewards.view(-1, samples, batch.steps), {name: term.nanmean().item() for name, term in batch.terms.items()}
    )


def play_fixed(
    pool: Pool, setup: StageSetup, *, seed: int, samples: int = 1, shard: int = 64, count: int | None = None
) -> Trajectories:
    """The episodes of :func:`sampled_reward`, on a pool that is configured and synced."""
    available = setup.dialogues()
    if count is not None and count > available:
        raise UserError(f"{count} dialogues to evaluate, and the data has {available}")
    return pool.rollout(fixed_plan(available if count is None else count, shard=shard, seed=seed, samples=samples))
