"""An environment that is held to its contract while it is trained in; what breaks it is one line."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rxt_mrl import plugins
from rxt_mrl.contracts import Environment
from rxt_mrl.errors import UserError

SLACK = 1e-4
"""How far outside of [0, 1] a reward may be by rounding."""
MOST_STEPS = 1000
"""Steps after which an episode counts as endless, where nothing says how many it has."""


class CheckedEnvironment:
    """Passes everything on to an environment, and looks at what comes back.

    Args:
        environment: of the user's.
        steps: of its episodes; None: it does not say.
    """

    def __init__(self, environment: Environment, steps: int | None) -> None:
        self._environment, self._expected, self._step = environment, steps, 0
        self._label = type(environment).__name__

    @property
    def label(self) -> str:
        """What errors call the environment."""
        return self._label

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:  # what the engine sets, the environment looks at
            setattr(self._environment, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pickling asks before there is an environment
            raise AttributeError(name)
        member = getattr(self._environment, name)
        checks: dict[str, Callable[..., None]] = {
            "reset": self._has_reset, "step": self._has_stepped, "score": self._has_scored,
        }  # fmt: skip
        return functools.partial(self._call, name, member, checks[name]) if name in checks else member

    def _call(
        self, name: str, method: Callable[..., Any], check: Callable[..., None], *args: Any, **kwargs: Any
    ) -> Any:
        try:
            given = method(*args, **kwargs)
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # whatever a user's environment does
            own = plugins.source_file(method)
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
            where = f" at {own}:{frames[-1].lineno}" if frames else ""
            said = " ".join(str(error).split())
            raise UserError(f"environment {self.label}: {name} raised {type(error).__name__}: {said}{where}") from error
        check(given)
        return given

    def _has_reset(self, given: Any) -> None:
        self._step = 0
        self._parts("reset", given, 2, "observation, info")
        self._observation(given[0])

    def _has_stepped(self, given: Any) -> None:
        self._step += 1
        self._parts("step", given, 5, "observation, rewards, terminated, truncated, info")
        observation, rewards, terminated, truncated, info = given
        self._observation(observation)
        self._rewards("step", rewards, info)
        if np.asarray(truncated).any():
            self._refuse("truncated an episode", "never")
        ended, expected = bool(np.asarray(terminated).any()), self._expected
        if expected is not None and ended != (self._step >= expected):
            self._refuse(f"{'ended' if ended else 'did not end'} an episode of {expected} steps", f"step {expected}")
        if not ended and self._step >= MOST_STEPS:
            self._refuse("has not ended the episodes", f"at most {MOST_STEPS} steps")

    def _has_scored(self, given: Any) -> None:
        self._parts("score", given, 2, "rewards, info")
        self._rewards("score", *given)

    def _parts(self, name: str, given: Any, count: int, wanted: str) -> None:
        if not isinstance(given, tuple | list) or len(given) != count:
            raise UserError(f"environment {self.label}: {name} returned a {type(given).__name__}; allowed: ({wanted})")

    def _observation(self, given: Any) -> None:
        for name in ("interaction", "query"):
            tokens = given.get(name) if isinstance(given, Mapping) else None
            if not isinstance(tokens, Mapping) or not tokens.keys() >= {"ids", "mask"}:
                self._refuse(f"gave no {name} with ids and mask", "an observation of interaction and query")

    def _rewards(self, name: str, rewards: Any, info: Any) -> None:
        values = np.asarray(rewards)
        if values.dtype.kind not in "biuf" or values.ndim != 1:
            self._refuse(f"gave rewards {values.dtype} {values.shape}", "one float for each answer")
        valid = np.asarray(info.get("valid", np.ones(len(values))), dtype=bool)
        if valid.shape != values.shape:
            self._refuse(f"gave valid {valid.shape} for {len(values)} rewards", "one for each answer")
        wrong = valid & ~((values >= -SLACK) & (values <= 1 + SLACK))
        if wrong.any():
            row = int(wrong.argmax())
            self._refuse(f"gave row {row} the reward {float(values[row]):g} by {name}", "0 to 1 where valid is True")

    def _refuse(self, what: str, allowed: str) -> None:
        raise UserError(f"environment {self.label}: {what} in step {self._step}; allowed: {allowed}")
