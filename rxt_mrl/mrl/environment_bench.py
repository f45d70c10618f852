"""A bench for environments: one is made as a stage makes it, played with prepared answers, and what it gave is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..contracts import Environment, StepInfo, TokenArray
from .environment import StageSetup

ROWS = 4
LIMIT = 64
"""Steps after which an episode that has not ended never will."""
TOLERANCE = 1e-6
"""Numbers that differ by no more are the same: rewards of differently grouped rows may differ in rounding."""
READ = (*StepInfo.__required_keys__, *StepInfo.__optional_keys__)


class Played(NamedTuple):
    """What one step gave (after ``reset``: the observation alone), as arrays that the environment does not share."""

    observation: Any
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    info: dict[str, Any]

    @property
    def ended(self) -> np.ndarray:
        """bool, which rows are done."""
        return self.terminated.astype(bool) | self.truncated.astype(bool)

    def known(self) -> np.ndarray:
        """The rewards, 0 where they are not valid."""
        return np.where(self.info["valid"], self.rewards, 0.0)


@dataclass
class Bench:
    """Makes an environment and plays it.

    Attributes:
        setup: makes it.
        steps: how long an episode must be; None: as the environment likes.
        episodes: the dialogue that each row plays where the rules choose.
        references: of a first playthrough of ``episodes``, step by step; None where there are none.
        length: of that playthrough.
    """

    setup: StageSetup
    steps: int | None = None
    episodes: np.ndarray = field(default_factory=lambda: np.arange(ROWS))
    references: list[TokenArray | None] = field(default_factory=list)
    length: int = 0

    def make(self) -> Environment:
        """A new environment with :data:`ROWS` rows."""
        return self.setup.make(ROWS)

    def first(self, env: Environment) -> list[Played]:
        """Play ``episodes`` with random answers, and keep what the right ones would have been."""
        played = self.play(env, lambda step: self.random(env, 0, step), episodes=self.episodes)
        self.length = len(played) - 1
        self.references = [step.info.get("reference") for step in played[1:]]
        return played

    def random(self, env: Any, number: int, step: int) -> TokenArray:
        """Some answers to the queries of a step, the same each time; ``number`` tells several apart."""
        space = env.action_space["ids"]
        space.seed(1000 * number + step)
        ids = np.asarray(space.sample(), dtype=np.int64)[:, :4]
        length = 1 + (np.arange(ROWS) + number + step) % ids.shape[1]
        mask = np.arange(ids.shape[1]) < length[:, None]
        return {"ids": ids * mask, "mask": mask.astype(np.int8)}

    def script(self, env: Any, number: int = 0) -> list[TokenArray]:
        """Answers for an episode: random ones and, in every other row, right ones where they are known."""
        answers = []
        for step in range(self.length):
            answer, reference = self.random(env, number, step), self.references[step]
            if reference is not None:
                limit = env.action_space["ids"].shape[-1]
                right = {name: np.array(part)[:, :limit] for name, part in reference.items()}
                chosen = (np.arange(ROWS) + step + number) % 2 == 0
                answer = mixed(chosen, right, answer)  # type: ignore[arg-type]
            answers.append(answer)
        return answers

    def play(
        self,
        env: Environment,
        answers: Sequence[TokenArray] | Callable[[int], TokenArray],
        *,
        seed: int | None = None,
        episodes: np.ndarray | None = None,
        before: Callable[[int], Any] = lambda step: None,
    ) -> list[Played]:
        """Play until some row is done: first what ``reset`` gave, then every step.

        Args:
            env: what to play.
            answers: to each step, the first is number 0.
            seed: of the reset.
            episodes: of the reset.
            before: called before each step.
        """
        limit = LIMIT if callable(answers) else len(answers)
        options = None if episodes is None else {"episodes": episodes.copy()}
        observation, _ = env.reset(seed=seed, options=options)
        nothing = np.zeros(ROWS)
        played = [Played(plain(observation), nothing, nothing, nothing, {})]
        for step in range(limit):
            before(step)
            answer = answers(step) if callable(answers) else answers[step]
            observation, rewards, terminated, truncated, info = env.step(plain(answer))
            read = {name: plain(info[name]) for name in READ if name in info}
            played.append(Played(plain(observation), plain(rewards), plain(terminated), plain(truncated), read))
            if played[-1].ended.any():
                break
        return played


def plain(value: Any) -> Any:
    """A copy as dicts, arrays and lists."""
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if hasattr(value, "ids") and hasattr(value, "mask"):
        return {"ids": np.asarray(value.ids).copy(), "mask": np.asarray(value.mask).copy()}
    return list(value) if isinstance(value, (list, tuple)) else np.array(value)


def mixed(rows: np.ndarray, first: TokenArray, second: TokenArray) -> TokenArray:
    """Answers of ``first`` in some rows (bool), of ``second`` in the others."""
    width = max(first["ids"].shape[1], second["ids"].shape[1])

    def wide(part: np.ndarray) -> np.ndarray:
        return np.pad(part, ((0, 0), (0, width - part.shape[1])))

    return {
        "ids": np.where(rows[:, None], wide(first["ids"]), wide(second["ids"])),
        "mask": np.where(rows[:, None], wide(first["mask"]), wide(second["mask"])).astype(np.int8),
    }


def difference(
    first: Sequence[Played], second: Sequence[Played], rows: np.ndarray | None = None, others: np.ndarray | None = None
) -> str | None:
    """Where two playthroughs differ, in words; None: nowhere.

    Args:
        first: one.
        second: the other.
        rows: of the first, those to compare; None: all.
        others: of the second, as many; None: the same as ``rows``.
    """
    rows = np.arange(ROWS) if rows is None else rows
    others = rows if others is None else others
    if len(first) != len(second):
        return f"it has {len(first) - 1} and {len(second) - 1} steps"
    for step, (one, two) in enumerate(zip(first, second, strict=True)):
        parts: list[tuple[str, Any, Any]] = [("info", one.info, two.info)]
        if step < len(first) - 1:  # what is shown at the end is not looked at
            parts.insert(0, ("observation", one.observation, two.observation))
        if step:
            parts.append(("reward", one.known(), two.known()))
        for name, left, right in parts:
            path = unlike(left, right, rows, others)
            if path is not None:
                return f"{name}{path} differs at step {step}"
    return None


def unlike(first: Any, second: Any, rows: np.ndarray, others: np.ndarray) -> str | None:
    """The path to the first value that differs in nested arrays; None: all are the same."""
    if isinstance(first, dict) and isinstance(second, dict):
        if set(first) != set(second):
            return f" (keys {sorted(first)} and {sorted(second)})"
        for name, part in first.items():
            path = unlike(part, second[name], rows, others)
            if path is not None:
                return f"[{name!r}]{path}"
        return None
    if isinstance(first, list):
        return None if [first[row] for row in rows] == [second[row] for row in others] else ""
    left, right = first[rows], second[others]
    if left.dtype.kind == "f" and right.dtype.kind == "f":
        same = np.allclose(left, right, rtol=0, atol=TOLERANCE, equal_nan=True)
    else:
        same = np.array_equal(left, right)
    return None if same else ""
