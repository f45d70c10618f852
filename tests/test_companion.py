"""A separate package with an environment, a reward and a curriculum: installed next to ours, they train by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMPANION = Path(__file__).parent / "companion"


@pytest.fixture
def command(tmp_path: Path):
    """The command line in a process that has the package installed."""
    shutil.copytree(COMPANION, tmp_path / "source")  # a build leaves its folders beside the sources
    home = tmp_path / "site"
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", home]
    subprocess.run([sys.executable, *install, tmp_path / "source"], check=True)
    environment = {**os.environ, "PYTHONPATH": str(home)}

    def run(*arguments: object) -> str:
        line = [sys.executable, "-m", "rxt_mrl.cli", *map(str, arguments)]
        done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_trains_by_name(command, tmp_path: Path) -> None:
    assert "companion-tiny" in command("list", "recipes")
    assert "broken" not in command("env", "check", "polite-retention")
    command("train", "companion-tiny", "--out", tmp_path / "run")
    rollouts = (tmp_path / "run" / "rollouts" / "mrl-1.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in rollouts]
    assert sum(line["times"] for line in lines) == 2 * 4 * 2 * 4  # updates, episodes, steps, answers
    assert {(line["step"], line["mode"]) for line in lines} == {(1, "standard"), (2, "topic_switch")}
    assert {round(1 / line["reward"], 3) for line in lines} <= {1, 2, 3, 4}  # at most 6 tokens, 2 of them free
    assert all(set(line["terms"]) == {"brevity"} for line in lines)
