"""How a curriculum goes on: which dialogues an update plays, what learns at which rate, and when a stage ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch

from rxt_mrl import seeding
from rxt_mrl.contracts import Promotion, Stage
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
        judged: the update after which the promotion rule was last looked at.
        journal: bytes of the stage's rollout file.
        done: updates of the stages before.
    """

    stage: int = 0
    update: int = 0
    total: int = 0
    seconds: float = 0.0
    best: float | None = None
    stale: int = 0
    judged: int = 0
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
    ``patience`` evaluations in a row.
    """
    improved = counters.best is None or reward > counters.best + (rule.value if rule.rule == "plateau" else 0.0)
    counters.best = reward if improved else counters.best
    counters.stale = 0 if improved else counters.stale + 1
    if rule.rule == "threshold":
        return reward >= rule.value
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


def plan(settings: RolloutSettings, stage: Stage, *, seed: int, index: int, update: int, dialogues: int) -> list[Shard]:
    """The episodes of an update, in shards of a fixed size: a function of the seed and the update, of nothing else.

    Each dialogue is played once in random order, then each again. Samples of one dialogue stand next to each other
    and start from the same kind of memory.
    """
    count = settings.episodes // settings.group
    rows = _rows(seed, index, update * count, count, dialogues)
    draw = seeding.numpy_generator(seed, "reset", index, update)
    carried = draw.random(count) >= stage.random_resets
    before = draw.integers(0, dialogues, count)
    episodes = [
        (row, int(start) if carry else -1)
        for row, start, carry in zip(rows, before, carried, strict=True)
        for _ in range(settings.group)
    ]
    return list(_shards(episodes, settings.shard, (seed, "episode", index, update)))


def fixed_plan(count: int, *, shard: int, seed: int, samples: int = 1) -> list[Shard]:
    """The first ``count`` dialogues, ``samples`` times each, always with the same seeds: for evaluation."""
    episodes = [(row, -1) for row in range(count) for _ in range(samples)]
    return list(_shards(episodes, shard, (seed, "evaluation")))


def _shards(episodes: list[tuple[int, int]], size: int, key: tuple[int | str, ...]) -> Iterator[Shard]:
    seeds = [seeding.key(*key, number) for number in range(len(episodes))]
    for index, first in enumerate(range(0, len(episodes), size)):
        part = episodes[first : first + size]
        yield Shard(
            index=index,
            dialogues=tuple(row for row, _ in part),
            seeds=tuple(seeds[first : first + size]),
            before=tuple(start for _, start in part),
        )


def _rows(seed: int, stage: int, first: int, count: int, dialogues: int) -> list[int]:
    return [int(_order(seed, stage, n // dialogues, dialogues)[n % dialogues]) for n in range(first, first + count)]


@lru_cache(maxsize=4)
def _order(seed: int, stage: int, epoch: int, dialogues: int) -> Any:
    return seeding.numpy_generator(seed, "dialogues", stage, epoch).permutation(dialogues)
