"""What commands show on a terminal of 80 columns: no line is wider, no heading is cut, nothing is silent."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from screen import CUT, on_screen, show

Command = Callable[..., Any]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")


def headings(lines: tuple[str, ...]) -> list[list[str]]:
    """The last line of each table's headings: what stands above its rule."""
    return [re.split(r" {2,}", above) for above, rule in pairwise(lines) if set(rule) == {"─"}]


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run whose folder has a blank in its name, and what stood on the screen."""
    folder = tmp_path_factory.mktemp("screen") / "my run"
    shown = on_screen(["train", tiny, "--out", folder])
    assert shown.code == 0, shown.text
    return folder, shown


@pytest.mark.slow
def test_training_shows_where_it_is(trained: tuple[Path, Any]) -> None:
    _, shown = trained
    text = shown.text
    for said in ("loading torch ...", "reading the data and training the tokenizer ...", "measuring the reward"):
        assert said in text
    bars = [line for line in shown.lines if " left" in line or " in all" in line]
    assert max(map(len, bars)) <= 80
    for title, figures in (
        ("joint ", "loss .* accuracy"),
        ("memory-aware ", "loss .* accuracy"),
        ("mrl-2: 3 steps ", r"reward \d\.\d{3} recall \d+\.\d%$"),
        ("measuring main ", r"recall \d+\.\d% score \d\.\d{3}$"),
    ):
        mine = [line for line in bars if line.startswith(title)]
        assert any(re.search(r"\d+/\d+ .*" + figures, line) for line in mine), (title, text)
    table = " ".join(" ".join(headings(shown.lines)[-1]).split())
    assert table == "after stage recall 95 % wiped swapped first later 0-10 PPL right"


@pytest.mark.slow
def test_commands_that_are_printed_run_as_they_stand(trained: tuple[Path, Any], tmp_path: Path) -> None:
    folder, shown = trained
    chat = next(line for line in shown.text.splitlines() if line.startswith("talk to it"))
    assert shlex.split(chat)[3:] == ["rxt-mrl", "chat", str(folder)]
    board = re.search(r"tensorboard --logdir (.*)", shown.text.replace("\n", ""))
    assert board is not None
    assert shlex.split(board[1])[0].startswith(str(folder))


COMMANDS = [
    ("--help",),
    ("train", "--help"),
    ("evaluate", "--help"),
    ("list", "recipes"),
    ("list", "rewards"),
    ("list", "envs"),
    ("list", "presets"),
    ("reward", "check", "fact_recall"),
    ("env", "check", "memory_retention"),
    ("recipe", "check", "TINY"),
    ("data", "storyworld", "--steps", "2"),
    ("annotations", "--episodes", "20"),
    ("evaluate", "RUN", "--episodes", "4"),
    ("compare", "RUN/checkpoints/joint", "RUN/checkpoints/mrl"),
    ("rescore", "RUN/rollouts/mrl-1.jsonl", "--reward", "length", "--out", "OUT/rescored.jsonl"),
]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_output_fits_80_columns(
    command: tuple[str, ...], trained: tuple[Path, Any], tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    places = {"TINY": str(tiny), "RUN": "run", "OUT": "."}
    words = [re.sub("|".join(places), lambda found: places[found[0]], word) for word in command]
    shown = on_screen(words, cwd=tmp_path)
    assert shown.code == 0, shown.text
    wide = [line for line in shown.lines if len(line) > 80 and "/" not in line]
    assert not wide
    assert not [line for line in shown.lines if CUT.search(line)], shown.text
    for names in headings(shown.lines):
        assert len(set(names)) == len(names), names


@pytest.mark.slow
def test_files_get_lines_and_no_bars(tiny: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rxt_mrl", "train", str(tiny), "--out", str(tmp_path / "run")],
        capture_output=True, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    out = done.stdout.decode()
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    assert "\r" not in out
    assert "\x1b" not in out
    assert out.startswith("loading torch ...\n")
    assert re.search(r"(?m)^mrl-1: 2 steps  2/2  \d:\d\d in all  .*reward \d\.\d{3} recall \d+\.\d%$", out)


def test_version(cli: Command) -> None:
    assert re.fullmatch(r"rxt-mrl \d+\.\d+\.\d+\n", cli("--version").out)


def test_help_has_examples_that_parse(cli: Command) -> None:
    import typer

    from rxt_mrl.cli import EXAMPLES, app

    examples = [shlex.split(line)[1:] for line in EXAMPLES.splitlines() if line.startswith("rxt-mrl ")]
    assert len(examples) >= 5
    shown = " ".join(cli("--help").out.split())
    for words in examples:
        assert " ".join(words) in shown
        command: Any = typer.main.get_command(app)
        group = command.make_context("rxt-mrl", list(words))
        name, command, rest = command.resolve_command(group, [*group._protected_args, *group.args])
        command.make_context(name, list(rest), parent=group)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell: str) -> None:
    def answer(line: str) -> str:
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_TYPER_COMPLETE_ARGS": line}
        action = {"_RXT_MRL_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        done = subprocess.run(
            [sys.executable, "-m", "rxt_mrl"], capture_output=True, text=True, env={**os.environ, **asked, **action}
        )
        return done.stdout

    assert "evaluate" in answer("rxt-mrl ev")
    assert "alpha-micro-decoder" in answer("rxt-mrl train alpha-mic")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_completion_script_is_one(cli: Command) -> None:
    command = f"{sys.executable} -m rxt_mrl --show-completion; true"  # so that bash stays its parent, as at a prompt
    script = show(["bash", "-c", command]).text
    assert "_RXT_MRL_COMPLETE=complete_bash" in script
