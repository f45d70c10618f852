"""Two processes train what one trains; when one is killed the other says so in a line, and the checkpoint stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from rxt_mrl.pipeline.provenance import stored_recipe
from rxt_mrl.runs import RunDir

pytestmark = pytest.mark.slow
TINY = Path(__file__).parent / "recipes" / "tiny.yaml"
MRL = ("supervised={}", "curriculum=[{steps: 2, updates: 3}]", "rollout.answers=2", "algorithm.advantage.kind=rloo")

KILLER = '''
import os, signal
from pathlib import Path

class Killer:
    """Ends the second process when it first scores after a checkpoint."""

    name = "killer"

    def __call__(self, context):
        if os.environ["RANK"] == "1" and list(Path(os.environ["RUN"]).glob("checkpoints/mrl/trainer.pt")):
            os.kill(os.getpid(), signal.SIGKILL)
        return [float(len(text) % 3) / 2 for text in context.generated.text]
'''


def train(out: Path, *assignments: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    words = ["-m", "rxt_mrl.cli", "train", str(TINY), "--out", str(out)]
    words += [word for assignment in assignments for word in ("--set", assignment)]
    if processes > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--no-python"]
        words = [*launch, sys.executable, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RUN": str(out)}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env=environment, timeout=280, check=False
    )


def difference(first: Path, second: Path) -> float:
    weights = [load_file(folder / "model.safetensors") for folder in (first, second)]
    return max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0])


def test_mrl_on_two_processes_is_that_of_one(tmp_path: Path) -> None:
    for processes in (1, 2):
        done = train(tmp_path / str(processes), *MRL, processes=processes)
        assert done.returncode == 0, done.stderr
    one, two = (tmp_path / name / "checkpoints" for name in ("1", "2"))
    assert difference(one / "start", one / "mrl") > 1e-4, "something was learnt"
    assert difference(one / "mrl", two / "mrl") < 1e-5
    lines = [RunDir(tmp_path / name).logged() for name in ("1", "2")]
    assert [len(found) for found in lines] == [3, 3], "written once"
    for first, second in zip(*lines, strict=True):
        assert first["reward_mean"] == second["reward_mean"]
        assert second["surrogate"] == pytest.approx(first["surrogate"], abs=1e-5)
    played = [(tmp_path / name / "rollouts" / "mrl-1.jsonl").read_text() for name in ("1", "2")]
    assert played[0] == played[1]


def test_a_supervised_stage_on_two_processes_is_that_of_one_with_twice_the_passes(tmp_path: Path) -> None:
    stage = "supervised={memory_aware: {updates: 3, batch_size: 4, steps: 2, accumulate: %d, log_every: 1}}"
    for processes in (1, 2):
        done = train(tmp_path / str(processes), stage % (2 // processes), "curriculum=[]", processes=processes)
        assert done.returncode == 0, done.stderr
    one, two = (tmp_path / name / "checkpoints" / "memory_aware" for name in ("1", "2"))
    assert difference(one, two) < 1e-5
    assert stored_recipe(tmp_path / "2" / "recipe.yaml")["name"] == "tiny"


def test_a_killed_process_ends_the_run_in_one_line(tmp_path: Path) -> None:
    reward = tmp_path / "killer.py"
    reward.write_text(KILLER)
    done = train(tmp_path / "run", *MRL, f"reward={reward}:Killer", "algorithm.checkpoint_every=1", processes=2)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("rxt-mrl: ")]
    assert len(said) == 1, done.stderr
    assert "another process of this training has ended" in said[0]
    assert (tmp_path / "run" / "checkpoints" / "mrl" / "trainer.pt").is_file()
