"""The run directory: what it refuses, what it keeps, and what a killed process cannot spoil."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from rxt_mrl.errors import UserError
from rxt_mrl.runs import RunDir, write_json


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir.create(tmp_path / "run")
    run.recipe_path.write_text("recipe: {}\n")
    return run


def lines(run: RunDir) -> list[dict]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def test_a_directory_that_holds_a_run_is_refused_unless_told(run: RunDir) -> None:
    with pytest.raises(UserError, match=r"already holds a run; --resume goes on with it, --overwrite replaces it"):
        RunDir.create(run.path)
    (run.path / "rollouts" / "old.jsonl").write_text("{}")
    assert RunDir.resume(run.path).recipe_path.is_file()
    RunDir.create(run.path, overwrite=True)
    assert not list(run.path.rglob("*.*"))


def test_a_directory_of_other_files_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"holds files that are not a run; give a new or empty directory"):
            RunDir.create(tmp_path, overwrite=overwrite)
    with pytest.raises(UserError, match=r"is a file, give a directory"):
        RunDir.create(tmp_path / "thesis.tex", overwrite=True)
    with pytest.raises(UserError, match=r"--resume: no run in .* \(no recipe\.yaml there\)"):
        RunDir.resume(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written"):
        RunDir.create(tmp_path / "file" / "run")


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    assert {path.name for path in RunDir.create(tmp_path).path.iterdir()} == {
        "checkpoints",
        "rollouts",
        "evaluation",
        "tensorboard",
    }


def test_metrics_go_to_jsonl_and_tensorboard(run: RunDir) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run.metrics({"loss": 2.5, "ppl": math.inf}, step=3, section="joint")
    run.close()
    (line,) = lines(run)
    assert line["time"] > 0
    assert line | {"time": 0} == {"section": "joint", "step": 3, "time": 0, "loss": 2.5, "ppl": None}
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("joint/loss")] == [(3, 2.5)]
    run.close()


def test_rewinding_forgets_what_a_resumed_stage_writes_again(run: RunDir) -> None:
    run.rewind("mrl", 0)
    for section, step in (("joint", 1), ("joint", 2), ("mrl", 1), ("mrl", 2), ("mrl", 3)):
        run.metrics({"reward": step}, step=step, section=section)
    run.rewind("mrl", 1)
    assert [(line["section"], line["step"]) for line in lines(run)] == [("joint", 1), ("joint", 2), ("mrl", 1)]


def test_half_a_line_of_a_killed_process_is_forgotten(run: RunDir) -> None:
    for step in (1, 2):
        run.metrics({"reward": step}, step=step, section="mrl")
    path = run.path / "metrics.jsonl"
    path.write_text(path.read_text()[:-9])
    run.rewind("mrl", 1)
    run.metrics({"reward": 2}, step=2, section="mrl")
    assert [line["step"] for line in lines(run)] == [1, 2]
    path.write_text("{}\n{half\n{}\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl line 2: not JSON"):
        run.rewind("mrl", 1)


def test_progress_is_kept_in_order_and_never_half(run: RunDir) -> None:
    assert run.progress == {}
    run.complete("memory_aware", {"updates": 3})
    run.complete("mrl", {"updates": 4})
    assert list(RunDir.resume(run.path).progress.items()) == [("memory_aware", {"updates": 3}), ("mrl", {"updates": 4})]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(run.path / "progress.json", {"mrl": math.nan})
    assert list(run.progress) == ["memory_aware", "mrl"]


def test_places(run: RunDir) -> None:
    assert run.checkpoint_dir("joint").is_dir()
    assert run.rollout_path("mrl-1").relative_to(run.path) == Path("rollouts/mrl-1.jsonl")
