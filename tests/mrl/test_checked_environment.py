"""An environment that breaks its contract in the middle of training is one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rxt_mrl.errors import UserError
from rxt_mrl.mrl.checked_environment import CheckedEnvironment

ROWS = 3


SEEN = {name: {"ids": np.zeros((3, 1), int), "mask": np.ones((3, 1), int)} for name in ("interaction", "query")}


class Fake:
    """Plays two steps; what ``step`` gives can be changed."""

    num_envs = ROWS

    def __init__(self, **changes: Any) -> None:
        self.changes, self.at = changes, 0

    def reset(self, **options: Any) -> Any:
        self.at = 0
        return self.changes.get("reset", (SEEN, {}))

    def step(self, actions: Any) -> Any:
        self.at += 1
        if "raises" in self.changes:
            raise self.changes["raises"]
        given = {
            "observation": SEEN,
            "rewards": np.full(ROWS, 0.5),
            "terminated": np.full(ROWS, self.at >= 2),
            "truncated": np.zeros(ROWS, bool),
            "info": {"valid": np.ones(ROWS, bool)},
        }
        return self.changes.get("step", tuple((given | self.changes).values()))

    def score(self, actions: Any, rows: Any) -> Any:
        return self.changes.get("score", (np.full(4, 0.5), {}))


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "exception": ({"raises": KeyError("x")}, "environment Fake: step raised KeyError: 'x' at "),
    "exit": ({"raises": SystemExit(0)}, "environment Fake: step raised SystemExit: 0 at "),
    "reward high": ({"rewards": np.array([0, 1.5, 0])}, "gave row 1 the reward 1.5 by step in step 1; allowed: 0 to 1"),
    "reward nan": ({"rewards": np.array([0, 0, np.nan])}, "gave row 2 the reward nan"),
    "reward shape": ({"rewards": np.zeros((3, 1))}, "gave rewards float64 (3, 1) in step 1"),
    "reward text": ({"rewards": np.array(["a", "b", "c"])}, "gave rewards <U1 (3,)"),
    "valid shape": ({"info": {"valid": np.ones(2)}}, "gave valid (2,) for 3 rewards"),
    "early": ({"terminated": np.ones(ROWS, bool)}, "ended an episode of 2 steps in step 1; allowed: step 2"),
    "late": ({"terminated": np.zeros(ROWS, bool)}, "did not end an episode of 2 steps in step 2; allowed: step 2"),
    "truncated": ({"truncated": np.array([False, True, False])}, "truncated an episode in step 1; allowed: never"),
    "step parts": ({"step": ({}, 1.0)}, "step returned a tuple; allowed: (observation, rewards, terminated"),
    "reset parts": ({"reset": None}, "reset returned a NoneType; allowed: (observation, info)"),
    "observation": ({"observation": {"query": SEEN["query"]}}, "gave no interaction with ids and mask in step 1"),
    "no mask": ({"reset": ({"interaction": {"ids": 1}}, {})}, "gave no interaction with ids and mask in step 0"),
    "score": ({"score": (np.full(4, -1.0), {})}, "gave row 0 the reward -1 by score"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_breaks_the_contract_is_one_line(case: str) -> None:
    changes, message = CASES[case]
    env = CheckedEnvironment(Fake(**changes), 2)  # type: ignore[arg-type]
    with pytest.raises(UserError) as caught:  # noqa: PT012 - which of the calls it is depends on the case
        env.reset()
        if case == "score":
            env.score({}, np.arange(4))
        env.step({})
        env.step({})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_keeps_the_contract_passes() -> None:
    env = CheckedEnvironment(Fake(), 2)  # type: ignore[arg-type]
    for _ in range(2):
        env.reset()
        env.step({})
        assert env.step({})[2].all()
    assert (env.num_envs, env.label) == (ROWS, "Fake")
    unknown = CheckedEnvironment(Fake(terminated=np.zeros(ROWS, bool)), None)  # type: ignore[arg-type]
    unknown.reset()
    for _ in range(999):
        unknown.step({})
    with pytest.raises(UserError, match="has not ended the episodes in step 1000; allowed: at most 1000 steps"):
        unknown.step({})
