"""The run directory: what it refuses, what it keeps, and what a killed process cannot spoil."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from rxt_mrl.errors import UserError
from rxt_mrl.runs import RunDir, write_json


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run", "recipe: {}\n")


def lines(run: RunDir) -> list[dict]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def test_a_directory_that_holds_a_run_is_refused_unless_told(run: RunDir) -> None:
    run.close()
    with pytest.raises(UserError, match=r"already holds a run; --resume goes on with it, --overwrite replaces it"):
        RunDir.create(run.path, "")
    again = RunDir.resume(run.path)
    assert again.recipe_path.read_text() == "recipe: {}\n"
    again.close()
    assert [path.name for path in run.path.iterdir()] == ["recipe.yaml"]


def test_another_run_is_replaced_by_the_first_complete_stage(run: RunDir) -> None:
    run.close()
    old = run.rollout_path("mrl-1")
    old.parent.mkdir()
    old.write_text("{}\n")
    other = RunDir.create(run.path, "recipe: {seed: 1}\n", overwrite=True)
    assert old.is_file()
    assert other.path == run.path.with_name("run.new")
    with pytest.raises(UserError, match=r"run\.new is left of an earlier one"):
        RunDir.check_free(run.path, overwrite=True)
    other.take_place()
    other.metrics({"loss": 1}, 1, "joint")
    assert other.path == run.path
    assert not old.exists()
    assert [path.name for path in run.path.parent.iterdir()] == ["run"]
    with pytest.raises(UserError, match="is training in it"):
        RunDir.resume(run.path)
    other.close()
    RunDir.resume(run.path).close()
    assert RunDir(run.path).recipe_path.read_text() == "recipe: {seed: 1}\n"


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt", "figures/a.png", "rollouts/notes.txt", "evaluation/mine/figure.png", "evaluation/poster.png",
        "checkpoints/mrl/notes.txt", "checkpoints/mine/weights.bin", "tensorboard/notes.txt", "plugins/notes.txt",
    ],
)  # fmt: skip
def test_what_a_user_put_into_a_run_is_not_removed(run: RunDir, name: str) -> None:
    run.close()
    file = run.path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    with pytest.raises(UserError, match=f"holds {name}, which is not of a run"):
        RunDir.create(run.path, "", overwrite=True)
    assert file.read_text() == "mine"


def test_what_a_user_puts_into_a_run_while_another_replaces_it_stays(run: RunDir) -> None:
    run.close()
    other = RunDir.create(run.path, "recipe: {seed: 1}\n", overwrite=True)
    (run.path / "notes.txt").write_text("mine")
    other.take_place()
    other.close()
    assert (run.path.with_name("run.old") / "notes.txt").read_text() == "mine"
    with pytest.raises(UserError, match=r"run\.old is in the way of the old run; move it away first"):
        RunDir.check_free(run.path, overwrite=True)


def test_one_process_trains_at_a_time(run: RunDir) -> None:
    for act in (RunDir.resume, lambda path: RunDir.create(path, "", overwrite=True)):
        with pytest.raises(UserError, match=rf"process {os.getpid()} on .* is training in it; wait for its end"):
            act(run.path)
    lock = run.path / "running"
    kept = lock.read_bytes()
    run.close()
    assert not lock.exists()
    lock.write_bytes(kept)  # as a killed process leaves it
    RunDir.resume(run.path).close()


def test_a_directory_of_other_files_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"holds files that are not a run \(thesis\.tex\); give a new or empty"):
            RunDir.create(tmp_path, "", overwrite=overwrite)
    with pytest.raises(UserError, match=r"is a file, give a directory"):
        RunDir.create(tmp_path / "thesis.tex", "", overwrite=True)
    with pytest.raises(UserError, match=r"--resume: no run in .* \(no recipe\.yaml there\)"):
        RunDir.resume(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written"):
        RunDir.create(tmp_path / "file" / "run", "")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"is a link to nothing, give a directory"):
        RunDir.create(tmp_path / "link", "")


def test_ordinary_places_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, a link to one, the working directory, a new mount, what a killed start left behind."""
    for name in ("empty", "linked", "here", "mounted", "a #1 [x] ü"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "linked")
    (tmp_path / "mounted" / "lost+found").mkdir()
    (tmp_path / "empty" / "running").write_text("process 1 on there")
    (tmp_path / "empty" / "recipe.yaml.part").write_text("half")
    monkeypatch.chdir(tmp_path / "here")
    for path in (tmp_path / "empty", tmp_path / "link", Path(), tmp_path / "mounted", tmp_path / "a #1 [x] ü"):
        RunDir.create(path, "recipe: {}\n").close()
        assert (path / "recipe.yaml").is_file()
    with pytest.raises(UserError, match="is a link, a mount point or the working directory"):
        RunDir.create(tmp_path / "link", "", overwrite=True)


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
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for step in (1, 2):
        run.metrics({"reward": step}, step=step, section="mrl")
    path = run.path / "metrics.jsonl"
    path.write_text(path.read_text()[:-9])
    run.rewind("mrl", 1)
    run.metrics({"reward": 2}, step=2, section="mrl")
    assert [line["step"] for line in lines(run)] == [1, 2]
    run.close()
    reader = EventFileLoader(str(next((run.path / "tensorboard").iterdir())))
    steps = [event.step for event in reader.Load() if event.summary.value]
    assert steps == [1, 2, 2]  # by this one process
    run.metrics({"reward": 3}, step=3, section="mrl")
    run.close()
    (file,) = (run.path / "tensorboard").iterdir()
    assert [event.step for event in EventFileLoader(str(file)).Load() if event.summary.value] == [1, 2, 3]
    path.write_text("{}\n{half\n{}\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl line 2: not JSON"):
        run.rewind("mrl", 1)


def test_progress_is_kept_in_order_and_never_half(run: RunDir) -> None:
    assert run.progress == {}
    run.complete("memory_aware", {"updates": 3})
    run.complete("mrl", {"updates": 4})
    assert list(RunDir(run.path).progress.items()) == [("memory_aware", {"updates": 3}), ("mrl", {"updates": 4})]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(run.path / "progress.json", {"mrl": math.nan})
    assert list(run.progress) == ["memory_aware", "mrl"]


def test_places(run: RunDir) -> None:
    assert run.checkpoint_dir("joint").is_dir()
    assert run.rollout_path("mrl-1").relative_to(run.path) == Path("rollouts/mrl-1.jsonl")
