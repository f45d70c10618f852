"""The README's Python snippets run as written, its recipe loads, and its claim about the example reward holds."""

from __future__ import annotations

import re
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
