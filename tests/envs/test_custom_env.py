"""The page about environments runs as written, and the environment written there does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rxt_mrl.envs import MemoryRetentionEnv, MemoryRetentionVectorEnv
from rxt_mrl.envs.policies import EchoPolicy, play_episode

from rxt_mrl import plugins
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer
from rxt_mrl.errors import UserError

PAGE = Path(__file__).parents[2] / "docs" / "environments.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("index", range(len(blocks())))
def test_snippets_run(index: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(blocks()[index], f"{PAGE.name}:{index}", "exec"), {"__name__": "page"})


def test_scores_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (block for block in blocks() if "OraclePolicy(data)" in block)
    exec(compile(code, PAGE.name, "exec"), {"__name__": "page"})
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["OraclePolicy", "1.0"],
        ["WipedPolicy", "0.0"],
        ["EchoPolicy", "0.0"],
    ]


@pytest.fixture
def helped(tmp_path: Path) -> Any:
    (code,) = (block for block in blocks() if "class HelpedStart" in block)
    assert len(code.strip().splitlines()) <= 20
    file = tmp_path / "my_env.py"
    file.write_text(code, encoding="utf-8")
    return plugins.find("env", f"{file}:HelpedStart")


def test_an_environment_from_a_file(helped: Any, dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    episodes = {"episodes": np.arange(4)}
    env = plugins.build(
        helped,
        "environment",
        {"dialogues": dialogues, "tokenizer": tokenizer, "num_envs": 4, "helped": 3, "autoreset": "disabled"},
    )
    played = play_episode(env, EchoPolicy(tokenizer, env.max_new_tokens), options=episodes)
    references = dialogues.interactions()
    for step, info in enumerate(played.infos, start=1):
        width = min(references.ids.shape[-1], info["written"]["ids"].shape[1])
        same = (info["written"]["ids"][:, :width] == references.ids[:4, step, :width].numpy()).all(axis=1)
        assert same.all() == (step <= 3)


def test_the_checks_on_the_page(tmp_path: Path, cli: Any) -> None:
    """The page's environment passes; one that breaks the rule that the page shows is told in the page's words."""
    (command,) = re.findall(r"\$ rxt-mrl (env check .*)", PAGE.read_text(encoding="utf-8"))
    (code,) = (block for block in blocks() if "class HelpedStart" in block)
    file = tmp_path / "my_env.py"
    file.write_text(code, encoding="utf-8")
    arguments = command.replace("my_env.py", str(file)).split()
    outcome = cli(*arguments)
    assert outcome.code == 0, outcome.out
    wrong = code.replace(
        "return choose(", "answer = {name: part[[0, 1, 1, 1]] for name, part in answer.items()}\n        return choose("
    )
    assert wrong != code
    file.write_text(wrong.replace("helped: int = 2", "helped: int = 0"), encoding="utf-8")
    outcome = cli("env", "check", f"{file}:HelpedStart")
    assert "breaks 2 of" in outcome.line
    (shown,) = re.findall(r"```text\n(broken .*)\n```", PAGE.read_text(encoding="utf-8"))
    assert shown in outcome.out


def test_hooks(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    seen = []

    class Hooked(MemoryRetentionVectorEnv):
        def mode(self, step: int) -> Any:
            return "return" if step == 2 else "standard"

        def context(self, context: Any) -> Any:
            seen.append(context.mode)
            return context

        def observe(self, observation: Any, info: dict[str, Any]) -> Any:
            nothing = {name: np.zeros_like(array) for name, array in observation["interaction"].items()}
            return {**observation, "interaction": nothing}

        def pick(self, count: int) -> np.ndarray:
            return np.full(count, 5)

    env = Hooked(dialogues, tokenizer, num_envs=2, steps=3, reward="fact_recall")
    observation, info = env.reset(seed=0)
    assert not observation["interaction"]["mask"].any()
    assert info["written"]["mask"].any()
    assert info["episodes"].tolist() == [5, 5]
    play_episode(env, EchoPolicy(tokenizer, env.max_new_tokens))
    assert seen == ["standard", "return", "standard"]

    class Single(MemoryRetentionEnv):
        vector_class = Hooked

    assert Single(dialogues, tokenizer, steps=3).reset(seed=0)[1]["dialogue"] == 5


def test_hooks_that_go_wrong_are_named(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    class Wrong(MemoryRetentionVectorEnv):
        kind: Any = "standard"
        width = 1

        def mode(self, step: int) -> Any:
            return self.kind

        def complete(self, turn: Any, query: Any, answer: Any, reference: Any) -> Any:
            return {name: np.ones((2, self.width), dtype=array.dtype) for name, array in answer.items()}

        def pick(self, count: int) -> np.ndarray:
            return np.full(count, self.first)

        first = 0

    env = Wrong(dialogues, tokenizer, num_envs=2)
    env.kind = "other"
    with pytest.raises(UserError, match="mode: 'other' is not one of standard, topic_switch, return"):
        env.reset()
    env.kind, env.first = "standard", 64
    with pytest.raises(UserError, match="episode 64 does not exist"):
        env.reset()
    env.first, env.width = 0, 999
    env.reset()
    with pytest.raises(UserError, match=r"complete: tokens must be \(2, at most \d+\), got \(2, 999\)"):
        env.step(env.action_space.sample())
