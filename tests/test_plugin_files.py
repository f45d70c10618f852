"""What a run keeps of its plug-ins' files, and what it says when they are others later."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rxt_mrl import plugins
from rxt_mrl.errors import UserError
from rxt_mrl.pipeline import plugin_files
from rxt_mrl.pipeline.recipe import Recipe, load_recipe
from rxt_mrl.plugins.files import beside

Command = Callable[..., Any]
FILES = {
    "mine.py": "from helper import value\ndef mine(context):\n    import late\n    return [value(0)] * len(context)\n",
    "helper.py": "from pack.inner import K\n\n\ndef value(number):\n    return number * K\n",
    "late.py": "import no_such_package_here\n",
    "pack/__init__.py": "",
    "pack/inner.py": "from .deep import K\n",
    "pack/deep.py": "K = 1\n",
    "unused.py": "",
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(text)
    return tmp_path / "own"


@pytest.fixture
def recipe(tiny: Path, own: Path) -> Recipe:
    return load_recipe(str(tiny), [f"reward={own / 'mine.py'}:mine", "evaluation.reward=bleu"])


def keep(recipe: Recipe, run: Path) -> list[str]:
    for spec in ("bleu", recipe.reward.terms[0].use):
        plugins.find("reward", spec)
    return plugin_files.keep(recipe, run)


def test_what_a_file_imports_is_found_without_running_it(own: Path) -> None:
    names = [path.relative_to(own).as_posix() for path in beside(own / "mine.py")]
    assert names == ["helper.py", "late.py", "pack/__init__.py", "pack/deep.py", "pack/inner.py"]


def test_copies_and_hashes_are_kept_and_changes_told(recipe: Recipe, own: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert keep(recipe, run) == []
    (known,) = json.loads((run / "plugins" / "plugins.json").read_text())  # a shipped reward needs no copy
    assert known["use"] == f"{own / 'mine.py'}:mine"
    assert known["files"].keys() == FILES.keys() - {"unused.py"}
    for name, digest in known["files"].items():
        assert hashlib.sha256((own / name).read_bytes()).hexdigest() == digest
        assert (run / "plugins" / "1" / name).read_bytes() == (own / name).read_bytes()
    assert keep(recipe, run) == []

    (own / "pack" / "deep.py").write_text("K = 0.5\n")
    (own / "unused.py").write_text("changed = 1\n")
    (line,) = keep(recipe, run)
    was = run / "plugins" / "1" / "pack" / "deep.py"
    assert line == f"changed    {own / 'pack/deep.py'} (as it was: {was}); the run goes on with what it is now"
    assert was.read_text() == "K = 1\n"
    assert (run / "plugins" / "2" / "pack" / "deep.py").read_text() == "K = 0.5\n"
    assert keep(recipe, run) == []
    (own / "pack" / "deep.py").write_text("K = 1\n")
    assert len(keep(recipe, run)) == 1
    assert sorted(path.name for path in (run / "plugins").iterdir()) == ["1", "2", "plugins.json"]

    (run / "plugins" / "plugins.json").write_text("[1]")
    with pytest.raises(UserError, match=r"plugins.json: cannot be read \(.*\); delete it"):
        keep(recipe, run)


def test_several_rewards_and_a_resumed_run_that_says_what_has_changed(
    cli: Command, tiny: Path, own: Path, tmp_path: Path
) -> None:
    (own / "mine.py").write_text(FILES["mine.py"].replace("    import late\n", ""))
    short = ("supervised={}", "curriculum=[{steps: 2, updates: 2}]", "evaluation.episodes=2", "evaluation.score=false")
    command = ["train", tiny, "--out", tmp_path / "run", "--reward", own / "mine.py", "--reward", "length"]
    command += [part for setting in short for part in ("--set", setting)]
    assert cli(*command).code == 0
    line = json.loads((tmp_path / "run" / "rollouts" / "mrl-1.jsonl").read_text().splitlines()[0])
    assert set(line["terms"]) == {"mine", "length"}
    copy = tmp_path / "run" / "plugins" / "1"
    assert cli("reward", "check", f"{copy / 'mine.py'}:mine").code == 0  # the copy is a plug-in as the file was
    (own / "helper.py").write_text(FILES["helper.py"] + "# a remark\n")
    outcome = cli(*command, "--resume")
    assert outcome.code == 0, outcome.err
    assert f"\nchanged    {own / 'helper.py'} (as it was: {copy / 'helper.py'})" in outcome.out
    shutil.rmtree(own)
    assert "no file" in cli(*command, "--resume").line
