"""Ctrl-C in a real process: exit code 130, a checkpoint to go on from, and no worker left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds a run's processes in /proc"),
]

PATIENCE = 240.0
MARK = "RXT_MRL_TEST_RUN"

REWARD = '''
"""Constant, and only to be had from this file."""


class Mine:
    def __call__(self, context):
        return [0.5] * len(context)
'''


def processes(mark: str) -> dict[int, str]:
    """Living processes that inherited the mark, with their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return found


def updates(run: Path) -> list[int]:
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [line["step"] for line in map(json.loads, lines) if line["section"] == "mrl"]


@pytest.fixture
def mark() -> Iterator[str]:
    mark = uuid.uuid4().hex
    yield mark
    for process in processes(mark):
        os.kill(process, signal.SIGKILL)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workers", [0, 2])
def test_interrupted_in_mrl_and_resumed(tiny: Path, tmp_path: Path, mark: str, workers: int) -> None:
    """With a reward in a user's file, which Ray workers get by value. The stage ends after 5 seconds of training."""
    reward = tmp_path / "rewards" / "mine.py"
    reward.parent.mkdir()
    reward.write_text(REWARD)
    run = tmp_path / "run"
    command = [
        sys.executable, "-m", "rxt_mrl.cli", "train", str(tiny), "--out", str(run), "--reward", f"{reward}:Mine",
        "--set", "supervised={}", "--set", "curriculum=[{steps: 2, updates: 100000}]",
        "--set", "algorithm.max_seconds=5", "--set", f"rollout.workers={workers}",
        "--set", "evaluation.episodes=2", "--set", "evaluation.score=false",
    ]  # fmt: skip
    environment = {**os.environ, MARK: mark}
    process = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE
    while not updates(run):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no update was logged"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    output = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 130, output
    assert "--resume" in output
    assert "Traceback" not in output
    deadline = time.monotonic() + 20
    while processes(mark) and time.monotonic() < deadline:  # Ray's own take a moment to end
        time.sleep(0.1)
    assert processes(mark) == {}
    done = updates(run)
    assert done == list(range(1, len(done) + 1))
    assert (run / "checkpoints" / "mrl" / "model.safetensors").is_file()

    if not workers:
        return  # test_pipeline.py resumes such a run
    resumed = subprocess.run(
        [*command, "--resume", "--set", "rollout.workers=0"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr
    after = updates(run)
    assert after[: len(done)] == done
    assert after == list(range(1, len(after) + 1))
    assert len(after) > len(done)
    assert (run / "evaluation" / "retention.json").is_file()
    rewards = {json.loads(line)["reward"] for line in (run / "rollouts" / "mrl-1.jsonl").read_text().splitlines()}
    assert rewards == {0.5}
