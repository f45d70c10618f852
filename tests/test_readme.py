"""The README's Python snippets run as written, its recipe loads, and its claim about the example reward holds."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory that Python imports from, as a user's would be, with the README's reward in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_reward", raising=False)
    (tmp_path / "my_reward.py").write_text(blocks("python")[0])
    return tmp_path


def test_python_snippets_run_in_their_order(folder, monkeypatch, capsys):
    first, *others = blocks("python")
    assert first.startswith("# my_reward.py")
    namespace: dict[str, object] = {"__name__": "readme"}
    for code in others:
        exec(compile(code, "README.md", "exec"), namespace)
    assert (folder / "whiskers.safetensors").is_file()


def test_what_the_readme_says_about_its_reward(folder):
    from rxt_mrl.scoring import check_reward

    said = re.search(r"\*(It cannot tell from the\s.*?\.)\*", README.read_text(encoding="utf-8"), re.DOTALL)
    assert said is not None
    assert check_reward("my_reward.py:Polite").sentences() == [" ".join(said.group(1).split())]


def test_the_recipe_for_own_data(folder):
    from rxt_mrl.cli import storyworld
    from rxt_mrl.pipeline.data import RunData
    from rxt_mrl.pipeline.recipe import load_recipe

    (folder / "my_data.yaml").write_text(blocks("yaml")[0])
    storyworld(steps=4, episodes=40, out=folder / "data" / "storyworld-4")
    recipe = load_recipe("my_data.yaml", ["evaluation.episodes=4"])
    data = RunData(recipe)
    data.check()
    assert len(data.supervised("memory_aware")) == 40


# --- the commands, as they stand, on a terminal of 80 columns ---------------------------------------------------------

BABI = """1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Daniel went back to the hallway.
5 Where is Daniel? \thallway\t4
6 Where is John? \thallway\t2
7 Sandra moved to the garden.
8 Where is Sandra? \tgarden\t7
9 Where is Mary? \tbathroom\t1
"""
CHAT = [
    {
        "conversations": [
            {"from": "human", "value": "My dog is called Rex."},
            {"from": "gpt", "value": "A good name."},
            {"from": "human", "value": "What is my dog called?"},
            {"from": "gpt", "value": "Your dog is called Rex."},
        ]
    }
]
ELSEWHERE = ("train demo", "train my_data.yaml", "chat RUN", "evaluate RUN")
"""Trainings, and what is done with a trained demo: their own tests run them on a small recipe."""


def commands() -> list[str]:
    lines = (line for block in blocks("console") for line in block.splitlines())
    found = [line.removeprefix("$ ").partition("#")[0].strip() for line in lines if line.startswith("$ rxt-mrl ")]
    assert len(found) >= 10
    return [line for line in found if not any(words in line for words in ELSEWHERE)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")
def test_the_commands_run_in_their_order(folder: Path) -> None:
    from screen import CUT, on_screen

    (folder / "my_dialogues.jsonl").write_text(blocks("json")[0])
    (folder / "sharegpt.json").write_text(json.dumps(CHAT))
    (folder / "my_data.yaml").write_text(blocks("yaml")[0])
    babi = folder / "tasks_1-20_v1-2" / "en"
    babi.mkdir(parents=True)
    (babi / "qa1_single-supporting-fact_train.txt").write_text(BABI)
    for line in commands():
        shown = on_screen(shlex.split(line)[1:], cwd=folder)
        assert shown.code == 0, (line, shown.text)
        assert not [said for said in shown.lines if CUT.search(said)], shown.text
        assert not [said for said in shown.lines if len(said) > 80 and "/" not in said], shown.text
    assert "round trip: 1 dialogue written" in on_screen(["data", "my_dialogues.jsonl"], cwd=folder).text
