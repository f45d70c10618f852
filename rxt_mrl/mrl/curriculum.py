"""How a curriculum goes on: which dialogues an update plays, what learns at which rate, and when a stage ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch

from rxt_mrl import seeding
from rxt_mrl.model import RxT
from rxt_mrl.model.components import (
    COMPONENTS,
    WRITING,
    by_component,
    freeze_to,
    parameter_groups,
    trained_components,
)

from .config import AlgorithmSettings, OptimizerSettings, RolloutSettings
from .rollout import Shard
from .stages import CarriedAnswer, Promotion, Stage


@dataclass
class Counters:
    """Where the training stands: what a resumed run needs to go on at the same place.

    Attributes:
        stage: index of the stage.
        update: updates done in it.
        total: updates done in all stages.
        seconds: time used in the stage.
        best: best validation reward of the stage so far.
        stale: evaluations since then.
        fallen: validations in a row that were worse than the best by more than their interval.
        judged: the updates after which the stage was last validated; -1: not yet.
        journal: bytes of the stage's rollout file.
        done: updates of the stages before.
    """

    stage: int = 0
    update: int = 0
    total: int = 0
    seconds: float = 0.0
    best: float | None = None
    stale: int = 0
    fallen: int = 0
    judged: int = -1
    journal: int = 0
    done: tuple[int, ...] = ()

    def next_stage(self) -> None:
        """Go to the start of the next stage."""
        fresh = Counters(stage=self.stage + 1, total=self.total, done=(*self.done, self.update))
        self.__dict__.update(fresh.__dict__)

    def as_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)


def promoted(rule: Promotion, reward: float, counters: Counters) -> bool:
    """Take note of a validation reward; whether the stage ends.

    ``threshold``: the reward reached ``value``. ``plateau``: it did not exceed the best one by ``value`` for
    ``patience`` evaluations in a row. NaN, of which nothing is known, is neither better nor worse.
    """
    if math.isnan(reward):
        return False
    improved = counters.best is None or reward > counters.best + (
        (rule.value or 0.0) if rule.rule == "plateau" else 0.0
    )
    counters.best = reward if improved else counters.best
    counters.stale = 0 if improved else counters.stale + 1
    if rule.rule == "threshold":
        return reward >= (rule.value or 0.0)
    return rule.rule == "plateau" and counters.stale >= rule.patience


# --- what learns -----------------------------------------------------------------------------------------------------


def policy_optimizer(model: RxT, settings: OptimizerSettings) -> torch.optim.AdamW:
    """One AdamW for the whole training, a group per component: stages change its rates and keep its state."""
    groups = parameter_groups(
        by_component(model), learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
    )
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)


def set_rates(optimizer: torch.optim.AdamW, algorithm: AlgorithmSettings, stage: Stage, update: int) -> None:
    """Freeze, unfreeze and set the learning rates for one update of a stage."""
    settings = algorithm.optimizer
    trained = trained_components(stage.unfreeze, update)
    if algorithm.freeze_memory:
        trained = dict.fromkeys(COMPONENTS, 1.0) if trained is None else trained
        trained = {name: scale for name, scale in trained.items() if name not in WRITING}
    freeze_to(optimizer.param_groups, trained)
    base = settings.learning_rate * rate(settings, update, stage.updates)
    for group in optimizer.param_groups:
        group["lr"] = base * group["scale"] * settings.lr_scale.get(group["component"], 1.0)
        group["weight_decay"] = settings.weight_decay if group["decays"] else 0.0
        group["betas"] = settings.betas


def rate(settings: OptimizerSettings, update: int, updates: int) -> float:
    """The learning rate of an update as a share of the highest: linear warm-up, flat, linear decay."""
    warm = min(1.0, (update + 1) / (settings.warmup + 1))
    tail = settings.decay * updates
    return warm if tail <= 0 else warm * min(1.0, (updates - update) / (tail + 1))


# --- what is played --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """What one update plays: a part of the stage (a source and length), and how often that was played before."""

    part: int
    before: int


def turn(stage: Stage, update: int) -> Turn:
    """The part of a stage that an update plays: each as often as its share says, as evenly as whole updates allow."""
    shares = list(stage.parts.values())
    played = [0] * len(shares)
    for done in range(update + 1):
        part = max(range(len(shares)), key=lambda number: shares[number] * (done + 1) - played[number])
        played[part] += 1
    return Turn(part, played[part] - 1)


def plan(
    settings: RolloutSettings, stage: Stage, *, seed: int, index: int, update: int, dialogues: Sequence[int]
) -> list[Shard]:
    """The episodes of an update, in shards of a fixed size: a function of the seed and the update, of nothing else.

    Each dialogue is played once in random order, then each again.

    Args:
        settings: episodes, shards, what is carried on.
        stage: whose update it is.
        seed: of the training.
        index: of the stage.
        update: of the stage.
        dialogues: how many each part of the stage has.
    """
    now, count = turn(stage, update), settings.episodes
    available = dialogues[now.part]
    rows = _rows((seed, "dialogues", index, *([now.part] if now.part else [])), now.before * count, count, available)
    draw = seeding.numpy_generator(seed, "reset", index, update)
    continued = draw.random(count) >= stage.random_resets
    before = draw.integers(0, available, count)
    episodes = [(row, int(start) if on else -1) for row, start, on in zip(rows, before, continued, strict=True)]
    shares = (stage.carry or settings.carry).at(update / max(stage.updates - 1, 1))
    kinds: list[CarriedAnswer] = []
    if list(shares) != ["sampled"]:
        drawn = seeding.numpy_generator(seed, "carry", index, update).choice(
            len(shares), count, p=list(shares.values())
        )
        kinds = [list(shares)[number] for number in drawn]
    return list(_shards(episodes, settings.shard, (seed, "episode", index, update), kinds, now.part))


def fixed_plan(count: int, *, shard: int, seed: int, samples: int = 1, setup: int = 0) -> list[Shard]:
    """The first ``count`` dialogues, ``samples`` times each, always with the same seeds: for evaluation."""
    episodes = [(row, -1) for row in range(count) for _ in range(samples)]
    return list(_shards(episodes, shard, (seed, "evaluation"), setup=setup))


def _shards(
    episodes: list[tuple[int, int]],
    size: int,
    key: tuple[int | str, ...],
    kinds: Sequence[CarriedAnswer] = (),
    setup: int = 0,
) -> Iterator[Shard]:
    seeds = [seeding.key(*key, number) for number in range(len(episodes))]
    for index, first in enumerate(range(0, len(episodes), size)):
        part = episodes[first : first + size]
        yield Shard(
            index=index,
            dialogues=tuple(row for row, _ in part),
            seeds=tuple(seeds[first : first + size]),
            before=tuple(start for _, start in part),
            carry=tuple(kinds[first : first + size]),
            setup=setup,
        )


def _rows(key: tuple[int | str, ...], first: int, count: int, dialogues: int) -> list[int]:
    return [int(_order(key, n // dialogues, dialogues)[n % dialogues]) for n in range(first, first + count)]


@lru_cache(maxsize=8)
def _order(key: tuple[int | str, ...], epoch: int, dialogues: int) -> Any:
    return seeding.numpy_generator(*key, epoch).permutation(dialogues)
