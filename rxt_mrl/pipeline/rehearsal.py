"""Tried before anything is written: environment and reward on some dialogues, workers on one shard.

What fails there would fail after hours of supervised training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..contracts import Environment, TokenArray
from ..errors import UserError
from ..model import RxT
from ..mrl.checked_environment import CheckedEnvironment
from ..mrl.config import RolloutSettings
from ..mrl.environment import StageSetup
from ..mrl.ray_workers import make_pool
from ..mrl.rollout import Shard

DIALOGUES = 16
"""Dialogues that are played, at most."""
_STEPS = 256
_SHORT = 2
"""Tokens of an answer of the workers: they are to answer, not to answer well."""


def rehearse(setup: StageSetup, what: str) -> None:
    """Play some dialogues of a stage with made-up answers, then with the right ones where they are known.

    Args:
        setup: of the stage.
        what: the stage, for the error.

    Raises:
        UserError: when no answer gets a known reward; or what environment and reward raise.
    """
    count = min(DIALOGUES, setup.dialogues())
    known, references = _play(_made(setup, count), count, [])
    if not known and references:
        known, _ = _play(_made(setup, count), count, references)
    if not known:
        raise UserError(
            f"{what}: no answer to {count} dialogues has a known reward, so there is nothing to learn from: a judge "
            "may be down, or the data does not say what the reward looks at (fact_recall needs 'asks')"
        )


def _made(setup: StageSetup, count: int) -> Any:
    """The environment, held to its contract as in training."""
    return CheckedEnvironment(setup.make(count), setup.steps)


def _play(env: Environment, count: int, answers: list[TokenArray]) -> tuple[int, list[TokenArray]]:
    """Play one episode of each row: how many rewards were known, and what the right answers would have been."""
    observation, _ = env.reset(seed=0, options={"episodes": np.arange(count)})
    longest = env.action_space["ids"].shape[-1]  # type: ignore[index]
    known, references = 0, []
    for step in range(_STEPS):
        told = answers[step] if step < len(answers) else observation["query"]
        action: TokenArray = {"ids": np.array(told["ids"])[:, :longest], "mask": np.array(told["mask"])[:, :longest]}
        observation, rewards, terminated, truncated, info = env.step(action)
        rewards = np.asarray(rewards, dtype=float)
        valid = np.asarray(info.get("valid", np.ones(len(rewards))), dtype=bool) & np.isfinite(rewards)
        known += int(valid.sum())
        if "reference" in info:
            references.append(info["reference"])
        if (np.asarray(terminated) | np.asarray(truncated)).all():
            break
    return known, references


def rehearse_workers(setup: StageSetup, model: RxT, settings: RolloutSettings) -> None:
    """Start the workers that the settings ask for, have one play a dialogue, and end them.

    Raises:
        UserError: when they cannot be started, cannot be given the reward, or do not answer.
    """
    short = setup.sampling.model_copy(update={"max_new_tokens": _SHORT})
    pool = make_pool(model, settings)
    try:
        pool.configure([replace(setup, sampling=short)])
        pool.rollout([Shard(0, dialogues=(0,), seeds=(0,), before=(-1,))])
    finally:
        pool.close()
