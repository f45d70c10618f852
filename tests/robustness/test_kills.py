"""A run that is killed at any moment, in any way, or finds no room, goes on to the same weights."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SERVER = Path(__file__).with_name("fork_server.py")


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code (negative: by that signal), what it printed, the seconds it took."""

    code: int
    said: str
    seconds: float


class Forks:
    """Runs command lines through the fork server, one at a time."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(
        self, *arguments: Any, limit: int | None = None, kill: Callable[[int], None] = lambda process: None
    ) -> Ended:
        """Run a command line to its end.

        Args:
            arguments: of ``rxt-mrl``.
            limit: the largest file that it may write, in bytes.
            kill: called with the process id while it runs.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        log = self._folder / "said.txt"
        order = {"arguments": [str(argument) for argument in arguments], "log": str(log), "limit": limit}
        started = time.monotonic()
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        kill(int(self._server.stdout.readline()))
        code = int(self._server.stdout.readline())
        return Ended(code, log.read_text(errors="replace") if log.exists() else "", time.monotonic() - started)

    def close(self) -> None:
        """End the server."""
        self._server.communicate()


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def whole(forks: Forks, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    run = tmp_path_factory.mktemp("whole") / "run"
    ended = forks.run("train", tiny, "--set", "supervised.memory_aware.save_every=1", "--out", run)
    assert ended.code == 0, ended
    return run


@dataclass(frozen=True)
class Result:
    """What a run computed, without what the clock says."""

    weights: dict[str, dict[str, Any]]
    rollouts: dict[str, str]
    metrics: list[dict[str, Any]]

    @classmethod
    def of(cls, run: Path) -> Result:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return cls(
            {path.parent.name: load_file(path) for path in (run / "checkpoints").glob("*/model.safetensors")},
            {path.name: path.read_text() for path in (run / "rollouts").glob("*.jsonl")},
            [{key: line[key] for key in line if "second" not in key and key != "time"} for line in lines],
        )

    def differences(self, other: Result) -> list[str]:
        """Names of what is not the same."""
        stages = sorted(self.weights.keys() | other.weights.keys())
        return [
            *(stage for stage in stages if not _equal(self.weights.get(stage, {}), other.weights.get(stage, {}))),
            *(["rollouts"] if self.rollouts != other.rollouts else []),
            *(["metrics"] if self.metrics != other.metrics else []),
        ]


def _equal(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in ours)


# --- kills ---

KILLS = 10
"""For each number of workers."""
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}


def _after(seconds: float, number: int) -> Callable[[int], None]:
    def kill(process: int) -> None:
        time.sleep(seconds)
        try:
            os.kill(process, number)
        except ProcessLookupError:  # it was done before
            return

    return kill


def _phase(run: Path) -> str:
    """Where a run was when it was killed."""
    if not (run / "recipe.yaml").is_file():
        return "loading"
    begun = [path.parent.name for path in sorted((run / "checkpoints").glob("*/*"), key=lambda p: p.stat().st_mtime)]
    return begun[-1] if begun else "start"


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_equals_uninterrupted(forks: Forks, tiny: Path, tmp_path: Path, workers: int) -> None:
    """By SIGKILL, SIGTERM and SIGINT at random moments of all phases."""
    command = ("train", tiny, "--set", f"rollout.workers={workers}", "--set", "supervised.memory_aware.save_every=1")
    whole = forks.run(*command, "--out", tmp_path / "whole")
    assert whole.code == 0, whole.said
    expected = Result.of(tmp_path / "whole")
    chance, seen = random.Random(workers), []
    for number in range(KILLS):
        run, kind = tmp_path / f"run-{number}", list(CODES)[number % len(CODES)]
        moment = (number + chance.random()) / KILLS * whole.seconds  # every part of the run gets its share
        killed = forks.run(*command, "--out", run, kill=_after(moment, kind))
        seen.append(f"{kind.name} in {_phase(run)}")
        done = "time  " in killed.said  # the last line: a signal may come while the interpreter ends
        assert killed.code in (0, -kind if done else CODES[kind]), (seen[-1], killed)
        assert "Traceback" not in killed.said, (seen[-1], killed.said)
        if killed.code > 0 and (run / "recipe.yaml").is_file():
            assert f"--out {run} --resume" in killed.said, (seen[-1], killed.said)
        ended = _gone_on(forks, command, run)
        assert ended.code == 0, (seen[-1], ended)
        assert Result.of(run).differences(expected) == [], seen[-1]
        assert (run / "evaluation" / "retention.json").is_file()
        assert not (run / "running").exists()
    print("killed:", ", ".join(seen))


def _gone_on(forks: Forks, command: tuple[object, ...], run: Path) -> Ended:
    begun = (run / "recipe.yaml").is_file()
    return forks.run(*command, "--out", run, *(["--resume"] if begun else []))


def test_a_second_process_is_refused(forks: Forks, cli: Callable[..., object], tiny: Path, tmp_path: Path) -> None:
    said = []

    def meddle(process: int) -> None:
        while not (tmp_path / "run" / "running").is_file():
            time.sleep(0.01)
        said.append(cli("train", tiny, "--out", tmp_path / "run", "--resume").line)
        said.append(cli("train", tiny, "--out", tmp_path / "run", "--overwrite").line)
        said.append(str(process))

    assert forks.run("train", tiny, "--out", tmp_path / "run", kill=meddle).code == 0
    resumed, replaced, process = said
    for line in (resumed, replaced):
        assert f"process {process} on " in line
        assert "is training in it" in line


# --- no room ---

KB = 1024


@pytest.mark.parametrize("limit", [1 * KB, 8 * KB, 40 * KB, 80 * KB, 150 * KB, 300 * KB, 600 * KB])
def test_a_limit_of_file_sizes_is_one_line_and_the_run_goes_on_without_it(
    forks: Forks, tiny: Path, whole: Path, tmp_path: Path, limit: int
) -> None:
    """As a full disk: the first file that does not fit is named. What is too large differs from phase to phase."""
    run = tmp_path / "run"
    command = ("train", tiny, "--set", "supervised.memory_aware.save_every=1", "--out", run)
    stopped = forks.run(*command, limit=limit)
    assert "Traceback" not in stopped.said, stopped.said
    if stopped.code:
        lines = [line for line in stopped.said.splitlines() if line.startswith("rxt-mrl: ")]
        assert stopped.code == 2, stopped
        assert len(lines) == 1, stopped.said
        assert str(tmp_path) in lines[0]
        assert "cannot be written" in lines[0]
    begun = (run / "recipe.yaml").is_file()
    assert not stopped.code or not begun or f"--out {run} --resume" in stopped.said
    ended = forks.run(*command, *(["--resume"] if begun else []))
    assert ended.code == 0, ended
    assert Result.of(run).differences(Result.of(whole)) == []
