"""Ray's own process on this machine is killed in mid-run: one line, exit code 2, nothing left, and the run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SHORT = ("supervised={}", "curriculum=[{steps: 2, updates: 12}]", "evaluation.episodes=2", "evaluation.score=false")


def descendants(process: int) -> Iterator[int]:
    """The processes that a process started, and those that they started."""
    for folder in Path("/proc").iterdir():
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1]) if folder.name.isdigit() else 0
        except OSError:  # it has ended
            continue
        if parent == process:
            yield int(folder.name)
            yield from descendants(int(folder.name))


def name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="finds processes in /proc")
def test_a_raylet_that_is_killed_is_one_line_and_the_run_goes_on(tiny: Path, tmp_path: Path) -> None:
    run, settings = tmp_path / "run", [part for setting in SHORT for part in ("--set", setting)]
    command = [sys.executable, "-m", "rxt_mrl", "train", str(tiny), "--out", str(run), *settings]
    workers = ["--set", "rollout.workers=2"]
    process = subprocess.Popen([*command, *workers], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics, until = run / "metrics.jsonl", time.monotonic() + 240
    while process.poll() is None and not (metrics.is_file() and metrics.read_text().count("reward_mean") >= 2):
        assert time.monotonic() < until
        time.sleep(0.2)
    started = list(descendants(process.pid))
    (raylet,) = (number for number in started if name_of(number).endswith("raylet"))
    os.kill(raylet, signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 2, (process.returncode, out[-2000:], err[-2000:])
    assert "rxt-mrl: Ray has ended on this machine (its raylet was killed)" in err.splitlines()
    assert "stopped; go on with: rxt-mrl train" in out
    until = time.monotonic() + 30
    while any("ray" in name_of(number) for number in started):
        assert time.monotonic() < until, "Ray has left processes behind"
        time.sleep(0.5)
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
