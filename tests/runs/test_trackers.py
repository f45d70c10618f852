"""What a run logs reaches trackers: once each, of all stages, also when it was killed and is gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate.tracking
import pytest

from rxt_mrl.errors import UserError
from rxt_mrl.pipeline.recipe import Recipe, load_recipe
from rxt_mrl.runs import RunDir
from rxt_mrl.runs.trackers import check_trackers

Sent = list[tuple[int, dict[str, Any]]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What a tracker got that accelerate knows as ``trackio``."""
    got: Sent = []

    class Tracker(accelerate.tracking.GeneralTracker):
        name, requires_logging_directory, tracker = "trackio", False, None
        fails = False

        def __init__(self, project: str, **options: Any) -> None:
            super().__init__()
            self.options = options

        def start(self) -> None:
            if self.options.get("down"):
                raise OSError("no route to host")

        def store_init_configuration(self, values: dict) -> None: ...

        def log(self, values: dict, step: int | None = None, **kwargs: Any) -> None:
            if len(got) == self.options.get("breaks_after"):
                raise OSError("no route to host")
            got.append((step or 0, values))

        def finish(self) -> None: ...

    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "trackio", Tracker)
    monkeypatch.setattr(accelerate.tracking, "get_available_trackers", lambda: ["trackio"])
    return got


def report(run: RunDir, **options: Any) -> None:
    run.report_to({"trackio": options}, project="demo", configuration={"seed": 0})


def test_a_resumed_run_repeats_no_step(sent: Sent, tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", "a: 1")
    report(run)
    for step in (5, 10):
        run.metrics({"loss": 1.0}, step, "joint")
    for step in (1, 2, 3):
        run.metrics({"reward": 0.5, "nothing": float("nan")}, step, "mrl")
    run.close()  # as if it had been killed: the last state was that of update 1
    run = RunDir.resume(tmp_path / "run")
    report(run)
    run.rewind("mrl", 1)
    for step in (2, 3, 4):
        run.metrics({"reward": 0.5}, step, "mrl")
    run.close()
    assert [step for step, _ in sent] == [5, 10, 11, 12, 13, 14]
    assert sent[0][1] == {"joint/loss": 1.0, "joint/update": 5}
    assert sent[-1][1] == {"mrl/reward": 0.5, "mrl/update": 4}
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_tracker_that_comes_later_gets_what_was_logged(sent: Sent, tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", "a: 1")
    run.metrics({"loss": 1.0}, 1, "joint")
    report(run)
    run.metrics({"loss": 1.0}, 2, "joint")
    run.close()
    assert [step for step, _ in sent] == [1, 2]


def test_a_tracker_that_breaks_costs_no_training(sent: Sent, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = RunDir.create(tmp_path / "run", "a: 1")
    report(run, breaks_after=2)
    for step in range(1, 6):
        run.metrics({"loss": 1.0}, step, "joint")
    run.close()
    assert len(run.logged()) == 5
    assert "trackio gets nothing more (no route to host)" in caplog.text
    run = RunDir.resume(tmp_path / "run")
    report(run)
    run.close()
    assert [step for step, _ in sent] == [1, 2, 3, 4, 5]


def test_one_that_cannot_be_begun_is_a_line(sent: Sent, tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", "a: 1")
    with pytest.raises(UserError, match=r"report_to: trackio cannot be begun \(no route to host\)"):
        report(run, down=True)


def test_one_that_lost_its_run_can_begin_anew(sent: Sent, tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", "a: 1")
    report(run)
    run.metrics({"loss": 1.0}, 1, "joint")
    run.close()
    run = RunDir.resume(tmp_path / "run")
    with pytest.raises(UserError, match=r"\(no route to host\); delete .*trackers.json, and it begins anew"):
        report(run, down=True)
    (tmp_path / "run" / "trackers.json").unlink()
    report(run)
    run.close()
    assert [step for step, _ in sent] == [1, 1]


def test_the_whole_recipe_describes_a_run(sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    kind = accelerate.tracking.LOGGER_TYPE_TO_CLASS["trackio"]
    monkeypatch.setattr(kind, "store_init_configuration", lambda _, values: told.append(values))
    run = RunDir.create(tmp_path / "run", "a: 1")
    values = {"seed": 0, "limits": {"query": 72, "on_long": "error"}, "curriculum": [{"steps": 2}], "control": None}
    run.report_to({"trackio": {}}, project="demo", configuration=values)
    run.close()
    assert told == [{"seed": 0, "limits.query": 72, "limits.on_long": "error", "curriculum": '[{"steps": 2}]'}]


def test_unknown_and_missing_ones_are_named() -> None:
    with pytest.raises(UserError, match="report_to = 'wandbb': is unknown; allowed: aim, clearml"):
        check_trackers(["wandbb"])
    with pytest.raises(UserError, match="report_to = 'comet_ml': is not installed here; pip install comet-ml"):
        check_trackers(["comet_ml"])


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("trackio", {"trackio": {}}),
        ("[tensorboard, trackio]", {"tensorboard": {}, "trackio": {}}),
        ("{trackio: {space_id: me/mine}, tensorboard: {}}", {"trackio": {"space_id": "me/mine"}, "tensorboard": {}}),
        ("[]", {}),
    ],
)
def test_how_a_recipe_names_them(tiny: Path, given: str, found: dict[str, Any]) -> None:
    assert load_recipe(str(tiny), [f"report_to={given}"]).report_to == found
    assert Recipe.model_fields["report_to"].default == {"tensorboard": {}}


@pytest.mark.slow
def test_trackio_has_every_update_once_after_a_kill(cli: Callable[..., Any], tiny: Path, tmp_path: Path) -> None:
    """A real one: killed in MRL by SIGKILL, gone on with, and read back."""
    pytest.importorskip("trackio")
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "board")}
    run = tmp_path / "run"
    setting = ("--set", "report_to=[tensorboard, trackio]", "--set", "algorithm.checkpoint_every=3")
    command = [sys.executable, "-m", "rxt_mrl", "train", str(tiny), *setting, "--out", str(run)]
    longer = ("--set", "curriculum=[{steps: 2, updates: 8}]")
    process = subprocess.Popen(
        [*command, *longer], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    metrics = run / "metrics.jsonl"
    while process.poll() is None:
        if metrics.is_file() and '"mrl", "step": 5' in metrics.read_text():
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run([*command, *longer, "--resume"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = (
        "import json; from trackio.sqlite_storage import SQLiteStorage as S; (run,) = S.get_runs('tiny'); "
        "print(json.dumps({name: [row[name] for row in S.get_logs('tiny', run) if name in row] "
        "for name in ('joint/update', 'memory_aware/update', 'mrl/update')}))"
    )
    seen = subprocess.run([sys.executable, "-c", read], env=environment, capture_output=True, text=True)
    assert seen.returncode == 0, seen.stderr
    updates = json.loads(seen.stdout.splitlines()[-1])
    logged = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert updates["joint/update"] == [1]
    assert updates["memory_aware/update"] == [1, 2, 3]
    counts = Counter(line["step"] for line in logged if line["section"] == "mrl")
    repeated = {step: times for step, times in Counter(updates["mrl/update"]).items() if times > counts[step]}
    assert not repeated
    assert max(updates["mrl/update"]) == 8
