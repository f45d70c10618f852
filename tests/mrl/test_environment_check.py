"""``env check``: what we ship passes; a planted bad environment for each rule does not."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rxt_mrl import plugins
from rxt_mrl.errors import UserError
from rxt_mrl.mrl.environment_check import check_environment
from rxt_mrl.mrl.environment_rules import RULES

Command = Callable[..., Any]
COMPANION = Path(__file__).parents[1] / "companion" / "companion" / "envs.py"

BASE = """
import numpy as np
from rxt_mrl.envs import MemoryRetentionVectorEnv


class Bad(MemoryRetentionVectorEnv):
"""

# Rule, what the report says, the body of the class.
BAD = {
    "num_envs": (
        "members",
        "num_envs is 5, made with 4",
        """
        def __init__(self, dialogues, tokenizer, *, num_envs, **options):
            super().__init__(dialogues, tokenizer, num_envs=num_envs + 1, **options)
        """,
    ),
    "space": (
        "spaces",
        "action_space: ids (12,) and mask (12,)",
        """
        def __init__(self, dialogues, tokenizer, **options):
            super().__init__(dialogues, tokenizer, **options)
            self.action_space = self.single_action_space
        """,
    ),
    "no dialogues": (
        "dialogues",
        "Bad has no dialogues",
        """
        @property
        def dialogues(self):
            return None

        @dialogues.setter
        def dialogues(self, dialogues):
            self.hidden_dialogues = dialogues

        def _start(self, rows, episodes):
            self.__class__.dialogues, kept = self.hidden_dialogues, self.__class__.dialogues
            super()._start(rows, episodes)
            self.__class__.dialogues = kept
        """,
    ),
    "raises": (
        "play",
        "raised ZeroDivisionError: division by zero",
        """
        def step(self, actions):
            return 1 / 0
        """,
    ),
    "dtype": (
        "observation",
        "step 0: query ids is float32",
        """
        def observe(self, observation, info):
            query = {**observation["query"], "ids": observation["query"]["ids"].astype(np.float32)}
            return {**observation, "query": query}
        """,
    ),
    "shape": (
        "observation",
        "the space has (4,",
        """
        def observe(self, observation, info):
            return {**observation, "query": {name: part[:, :-1] for name, part in observation["query"].items()}}
        """,
    ),
    "key": (
        "observation",
        "step 0: ['interaction', 'query', 'step']",
        """
        def observe(self, observation, info):
            return {**observation, "step": info["step"]}
        """,
    ),
    "padding": (
        "observation",
        "step 0: the mask of query has a token behind padding",
        """
        def observe(self, observation, info):
            mask = np.ones_like(observation["query"]["mask"])
            mask[:, 0] = 0
            return {**observation, "query": {**observation["query"], "mask": mask}}
        """,
    ),
    "one row ends": (
        "lock step",
        "rows [2] ended at step 2, the others did not",
        """
        def step(self, actions):
            observation, rewards, terminated, truncated, info = super().step(actions)
            terminated[2] |= info["step"][2] == 2
            return observation, rewards, terminated, truncated, info
        """,
    ),
    "never ends": (
        "termination",
        "no row ended in 64 steps",
        """
        def step(self, actions):
            observation, rewards, terminated, truncated, info = super().step(actions)
            if terminated.all():
                observation, _ = self.reset()
            return observation, rewards, np.zeros_like(terminated), truncated, info
        """,
    ),
    "ends early": (
        "termination",
        "ended at step 1 of 3",
        """
        def step(self, actions):
            observation, rewards, terminated, truncated, info = super().step(actions)
            return observation, rewards, terminated | True, truncated, info
        """,
    ),
    "truncates": (
        "truncation",
        "truncated at step 3: [True, True, True, True]",
        """
        def step(self, actions):
            observation, rewards, terminated, truncated, info = super().step(actions)
            return observation, rewards, terminated, terminated, info
        """,
    ),
    "no mode": (
        "info",
        "step 1: no key 'mode'",
        """
        def step(self, actions):
            *others, info = super().step(actions)
            del info["mode"]
            return *others, info
        """,
    ),
    "terms of no length": (
        "info",
        "step 1: terms['fact_recall'] is float32 ()",
        """
        def step(self, actions):
            *others, info = super().step(actions)
            return *others, {**info, "terms": {"fact_recall": np.float32(1)}}
        """,
    ),
    "modes that differ": (
        "info",
        "step 1: mode is ['return', 'standard', 'standard', 'standard']",
        """
        def step(self, actions):
            *others, info = super().step(actions)
            return *others, {**info, "mode": np.array(["return", *["standard"] * 3])}
        """,
    ),
    "percent": (
        "reward",
        "row 1: 100 where valid is True",
        """
        def step(self, actions):
            observation, rewards, *others, info = super().step(actions)
            return observation, np.array([0, 100.0, 0, 0]), *others, info
        """,
    ),
    "nan": (
        "reward",
        "row 0: nan where valid is True",
        """
        def step(self, actions):
            observation, rewards, *others, info = super().step(actions)
            return observation, rewards * np.nan, *others, info
        """,
    ),
    "no empty answers": (
        "actions",
        "empty answers: raised ValueError: say something",
        """
        def step(self, actions):
            if not actions["mask"].any():
                raise ValueError("say something")
            return super().step(actions)
        """,
    ),
    "no seed": (
        "seed",
        "observation['interaction']['ids'] differs at step 0",
        """
        def pick(self, count):
            return np.random.default_rng().integers(len(self.dialogues), size=count)
        """,
    ),
    "own choice": (
        "episodes",
        "in other rows: observation['interaction']['ids'] differs at step 0",
        """
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=seed, options={"episodes": np.arange(self.num_envs)})
        """,
    ),
    "shared memory": (
        "rows",
        "row 1 was played another way, and of the other rows observation",
        """
        def complete(self, turn, query, answer, reference):
            ids, mask = answer["ids"].copy(), answer["mask"].copy()
            ids[2:], mask[2:] = answer["ids"][1], answer["mask"][1]
            return {"ids": ids, "mask": mask}
        """,
    ),
    "score moves on": (
        "score",
        "with score before each step, an episode raised UserError: the episode of row 0 has ended",
        """
        def score(self, actions, rows):
            scored = super().score(actions, rows)
            self.step({name: part[: self.num_envs] for name, part in actions.items()})
            return scored
        """,
    ),
    "score writes": (
        "score",
        "with score before each step, observation['interaction']['ids'] differs at step 1",
        """
        def score(self, actions, rows):
            self.scored = True
            return super().score(actions, rows)

        def complete(self, turn, query, answer, reference):
            return reference if hasattr(self, "scored") else answer
        """,
    ),
    "score differs": (
        "score",
        "step 1, row",
        """
        def score(self, actions, rows):
            rewards, info = super().score(actions, rows)
            return np.float32(1) - rewards, info
        """,
    ),
    "score without valid": (
        "score",
        "score: no key 'valid'",
        """
        def score(self, actions, rows):
            rewards, info = super().score(actions, rows)
            return rewards, {"terms": info["terms"], "metrics": {}}
        """,
    ),
}


@pytest.mark.parametrize(
    "spec", ["memory-retention", "repeat-previous", f"{COMPANION}:PoliteRetention"], ids=lambda spec: spec[-16:]
)
def test_what_we_ship_passes(spec: str) -> None:
    report = check_environment(spec)
    assert report.broken == []
    assert set(report.found) == {rule.name for rule in RULES}


def test_every_shipped_environment_is_checked_above() -> None:
    assert set(plugins.names("env")) >= {"memory_retention", "repeat_previous"}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_for_each_rule(name: str, tmp_path: Path) -> None:
    rule, found, body = BAD[name]
    file = tmp_path / "bad.py"
    file.write_text(BASE + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n", encoding="utf-8")
    report = check_environment(f"{file}:Bad")
    assert report.found[rule] is not None, report.found
    assert found in report.found[rule]
    with pytest.raises(UserError, match=f"breaks .* of {len(RULES)} rules: .*{rule}"):
        report.raise_if_broken()


def test_each_rule_has_a_bad_one() -> None:
    assert {rule for rule, *_ in BAD.values()} == {rule.name for rule in RULES}


def test_the_command(cli: Command, tmp_path: Path) -> None:
    good = cli("env", "check", "repeat-previous", "--set", "k=1", "--set", "steps=5")
    assert good.code == 0, good.err
    assert "kept" in good.out
    file = tmp_path / "bad.py"
    body = textwrap.indent(textwrap.dedent(BAD["percent"][2]), "    ")
    file.write_text(BASE + body, encoding="utf-8")
    bad = cli("env", "check", f"{file}:Bad")
    assert "breaks 1 of" in bad.line
    assert "broken reward: step 1, row 1: 100 where valid is True; allowed: floats (4,) here, in [0, 1]" in bad.out
    assert "not checked" in bad.out
    for arguments, message in (
        (["nosuch"], "unknown env 'nosuch'"),
        (["repeat-previous", "--set", "tier=extreme"], "'extreme' is not one of easy, medium, hard"),
        (["memory-retention", "--set", "nosuch=1"], "unknown option 'nosuch'"),
        (["repeat-previous", "--set", "steps=none"], "steps"),
    ):
        assert message in cli("env", "check", *arguments).line
