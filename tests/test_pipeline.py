"""A whole run, tiny: what it leaves behind, and that an interrupted one ends as if it had never been interrupted."""

from __future__ import annotations

import json
import math
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from rxt_mrl.errors import UserError
from rxt_mrl.pipeline.data import RunData
from rxt_mrl.pipeline.extension import compared
from rxt_mrl.pipeline.measure import Measuring, effect_lines
from rxt_mrl.pipeline.recipe import load_recipe
from rxt_mrl.runs import RunDir

Command = Callable[..., Any]

STAGES = ["joint", "interaction", "memory_attention", "memory_aware", "mrl"]
REQUIRED = {
    "schema_version", "episodes", "steps", "recall", "recall_ci95", "recall_wiped", "recall_swapped",
    "recall_by_distance", "recall_told_first", "recall_told_later", "score_mean", "score_min", "score_max", "ppl",
    "accuracy",
}  # fmt: skip


def metrics(run: Path) -> list[dict[str, Any]]:
    """Logged lines without what the clock says."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in line if "second" not in key and key != "time"} for line in lines]


def rollouts(run: Path) -> dict[str, list[dict[str, Any]]]:
    files = sorted((run / "rollouts").glob("*.jsonl"))
    return {file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in files}


# --- what a run leaves behind ----------------------------------------------------------------------------------------


def test_places(finished: Path) -> None:
    assert sorted(path.name for path in finished.iterdir() if path.name != "printed.txt") == [
        "checkpoints", "evaluation", "metrics.jsonl", "progress.json", "recipe.yaml", "rollouts", "tensorboard",
    ]  # fmt: skip
    for stage in (*STAGES, "mrl-1", "mrl-2"):
        names = {path.name for path in (finished / "checkpoints" / stage).iterdir()}
        assert {"model.safetensors", "config.json", "tokenizer.json"} <= names
    assert list((finished / "tensorboard").glob("events.*"))
    for picture in ("retention.png", "stages.png"):
        assert (finished / "evaluation" / picture).read_bytes().startswith(b"\x89PNG")


def test_recipe_is_resolved_with_versions(finished: Path, tiny: Path) -> None:
    stored = yaml.safe_load((finished / "recipe.yaml").read_text())
    assert stored["recipe"]["algorithm"]["objective"]["clip"] == 0.2  # a default that the file does not give
    assert {"python", "torch", "rxt-mrl", "ray", "git"} <= stored["made_by"].keys()


def test_retention_has_what_is_promised(finished: Path) -> None:
    report = json.loads((finished / "evaluation" / "retention.json").read_text())
    assert list(report["stages"]) == STAGES
    assert report["source"] == "main"
    assert [list(stage["sources"]) for stage in report["stages"].values()] == [["main"]] * len(STAGES)
    results = [stage["sources"]["main"] for stage in report["stages"].values()]
    for result in (report, *results):
        assert result.keys() >= REQUIRED
        assert (result["schema_version"], result["episodes"], result["steps"]) == (3, 10, 3)
        assert set(result["recall_by_distance"]) <= {"1", "2", "3"}
        assert 0 <= result["recall_ci95"][0] <= result["recall"] <= result["recall_ci95"][1] <= 1
        assert 0 <= result["score_min"] <= result["score_mean"] <= result["score_max"] <= 10
        assert math.isfinite(result["ppl"])
    gain = results[-1]["sampled_reward"]
    assert gain == report["sampled_reward"]
    assert gain["gain_low"] <= gain["gain"] <= gain["gain_high"]
    assert gain["dialogues"] == 10


def test_metrics_of_every_stage(finished: Path) -> None:
    steps: dict[str, list[int]] = {}
    for line in metrics(finished):
        steps.setdefault(line["section"], []).append(line["step"])
    assert list(steps) == STAGES
    assert steps["memory_aware"] == [1, 2, 3]
    assert steps["mrl"] == [1, 2, 3, 4]


def test_rollouts_can_be_read(finished: Path) -> None:
    played = rollouts(finished)
    assert {stage: len(lines) for stage, lines in played.items()} == {"mrl-1": 2 * 6 * 2, "mrl-2": 2 * 6 * 3}
    line = played["mrl-2"][0]
    assert line["query"]
    assert line["reference"]
    assert 0 <= line["reward"] <= 1
    assert {"fact_recall", "bleu"} <= line["terms"].keys() | line["metrics"].keys()


def test_the_end_says_where_everything_lies(finished: Path) -> None:
    printed = (finished / "printed.txt").read_text()
    for stage in STAGES:
        assert f"\n{stage} " in printed
    for place in ("evaluation/retention.json", "evaluation/retention.png", "metrics.jsonl", "rollouts", "rxt-mrl chat"):
        assert place in printed
    assert "MRL: 4 updates" in printed
    assert "mean reward of sampled answers" in printed


# --- interruptions ---------------------------------------------------------------------------------------------------


class Interruptions:
    """Presses Ctrl-C at chosen places of a run, each once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = {("metrics", "memory_aware", 2), ("metrics", "mrl", 3), ("complete", "interaction"), ("measure", 4)}
        self._measured = 0
        log, complete, retention = RunDir.metrics, RunDir.complete, Measuring.retention

        def metrics(run: RunDir, values: dict[str, float], step: int, section: str) -> None:
            log(run, values, step, section)
            if self._now("metrics", section, step):
                signal.raise_signal(signal.SIGINT)

        def completed(run: RunDir, stage: str, note: dict[str, Any]) -> None:
            complete(run, stage, note)
            if self._now("complete", stage):
                raise KeyboardInterrupt

        def measured(measuring: Measuring, *args: Any, **options: Any) -> dict[str, Any]:
            self._measured += 1
            if self._now("measure", self._measured):  # of memory_aware, when it is trained
                raise KeyboardInterrupt
            return retention(measuring, *args, **options)

        monkeypatch.setattr(RunDir, "metrics", metrics)
        monkeypatch.setattr(RunDir, "complete", completed)
        monkeypatch.setattr(Measuring, "retention", measured)

    def _now(self, *place: Any) -> bool:
        found = place in self.left
        self.left.discard(place)
        return found


def test_interrupted_everywhere_and_resumed_equals_uninterrupted(
    cli: Command, tiny: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between stages, in a supervised stage, in a measurement, in MRL: exit code 130, and nothing is lost."""
    places = Interruptions(monkeypatch)
    run = tmp_path / "run"
    outcome = cli("train", tiny, "--out", run)
    for _ in range(4):
        assert outcome.code == 130, outcome.err
        assert "interrupted" in outcome.out
        assert outcome.err.count("\n") <= 1
        with (run / "metrics.jsonl").open("a") as file:
            file.write('{"section": "half a li')  # as kill -9 would leave it
        outcome = cli("train", tiny, "--out", run, "--resume")
    assert outcome.code == 0, outcome.err
    assert not places.left
    for stage in STAGES:
        name = f"checkpoints/{stage}/model.safetensors"
        ours, theirs = load_file(run / name), load_file(finished / name)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not ours[key].equal(theirs[key])] == [], stage
    assert rollouts(run) == rollouts(finished)
    assert metrics(run) == metrics(finished)
    reports = [json.loads((path / "evaluation" / "retention.json").read_text()) for path in (run, finished)]
    assert reports[0] == reports[1]
    assert "MRL: 4 updates" in outcome.out


def test_what_a_run_measured_is_kept(tiny: Path, finished: Path) -> None:
    stored = finished / "recipe.yaml"
    assert yaml.safe_load(stored.read_text())["recipe"]["products"] == "torch"
    assert compared(load_recipe(str(tiny), ["products=auto"]), RunDir(finished))[0].products == "torch"
    with pytest.raises(UserError, match="started with products = 'torch', now it is 'onednn'"):
        compared(load_recipe(str(tiny), ["products=onednn"]), RunDir(finished))


def test_what_resume_refuses(cli: Command, tiny: Path, finished: Path, tmp_path: Path) -> None:
    assert "already holds a run; --resume" in cli("train", tiny, "--out", finished).line
    before = (finished / "progress.json").read_bytes()
    resume = ("train", tiny, "--out", finished, "--resume")
    assert "the run was started with seed = 0, now it is 5" in cli(*resume, "--seed", 5).line
    assert "algorithm.epochs = 1, now it is 2" in cli(*resume, "--set", "algorithm.epochs=2").line
    assert "reward.terms.0.use = 'fact_recall', now it is 'length'" in cli(*resume, "--reward", "length").line
    assert "exclude each other" in cli(*resume, "--overwrite").line
    assert "give the run directory with --out" in cli("train", tiny, "--resume").line
    assert "no run in" in cli("train", tiny, "--resume", "--out", tmp_path).line
    shutil.copytree(finished, tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "checkpoints" / "tokenizer")
    assert "the run's tokenizer is gone" in cli("train", tiny, "--resume", "--out", tmp_path / "other").line
    assert not (tmp_path / "other" / "checkpoints" / "tokenizer").exists()
    assert (finished / "progress.json").read_bytes() == before


def test_a_run_of_another_version_is_explained(cli: Command, tiny: Path, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    path = run / "recipe.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["made_by"]["rxt-mrl"] = "0.1.0"
    advantage = content["recipe"]["algorithm"]["advantage"]
    advantage["normalise"] = advantage.pop("normalize")
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    line = cli("evaluate", run).line
    assert line.startswith(f"{path}: ")
    assert line.endswith("unknown key 'algorithm.advantage.normalise': it is called 'normalize' since 0.2")
    line = cli("train", tiny, "--out", run, "--resume").line
    assert line.startswith(f"--resume: {run} was begun by rxt-mrl 0.1.0, this is ")
    assert "rxt: " in cli("chat", run, stdin="The cat is red.\n/quit\n").out


def test_a_finished_run_can_be_resumed_for_its_report(cli: Command, tiny: Path, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "evaluation")
    (run / "evaluation").mkdir()
    # The run's own recipe says it all, and workers are free to change.
    outcome = cli("train", run / "recipe.yaml", "--out", run, "--resume", "--set", "rollout.workers=1")
    assert outcome.code == 0, outcome.err
    assert (run / "evaluation" / "retention.json").read_bytes() == (
        finished / "evaluation" / "retention.json"
    ).read_bytes()


def test_a_finished_run_goes_on_with_more(cli: Command, tiny: Path, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    resume = ("train", tiny, "--out", run, "--resume")
    line = cli(*resume, "--set", "curriculum.0.updates=3").line
    assert "curriculum.0.updates = 3: that stage is complete and others come after it; allowed: more updates" in line
    assert "stage is complete; allowed: further" in cli(*resume, "--set", "supervised.memory_aware.updates=4").line
    assert "curriculum.1.updates = 2, now it is 1" in cli(*resume, "--set", "curriculum.1.updates=1").line
    assert "curriculum.1.steps = 3, now it is 2" in cli(*resume, "--set", "curriculum.1.steps=2").line
    more = (
        "--set", "curriculum=[{steps: 2, updates: 2}, {steps: 3, updates: 3}, {steps: 4, updates: 1, data: far}]",
        "--set", "data.sources.far={source: storyworld, options: {level: easy, retell: 0}}",
    )  # fmt: skip
    outcome = cli(*resume, *more)
    assert outcome.code == 0, outcome.err
    gone_on = (
        "going on   curriculum.1.updates: 2 -> 3\ngoing on   curriculum.2: new\ngoing on   data.sources.far: new\n"
    )
    assert gone_on in outcome.out
    assert "MRL: 6 updates" in outcome.out
    stored = yaml.safe_load((run / "recipe.yaml").read_text())
    assert stored["recipe"]["evaluation"]["steps"] == 3  # as before: what was measured stays comparable
    assert stored["made_by"]["extended"][0]["changes"] == [
        "curriculum.1.updates: 2 -> 3", "curriculum.2: new", "data.sources.far: new",
    ]  # fmt: skip
    first, then = rollouts(finished), rollouts(run)
    assert then["mrl-1"] == first["mrl-1"]
    assert then["mrl-2"][: len(first["mrl-2"])] == first["mrl-2"]
    assert {line["update"] for line in then["mrl-2"]} == {0, 1, 2}
    assert {line["steps"] for line in then["mrl-3"]} == {4}
    lines = [line["step"] for line in metrics(run) if line["section"] == "mrl"]
    assert lines == [1, 2, 3, 4, 5, 6]
    assert json.loads((run / "progress.json").read_text())["mrl"]["updates"] == 6
    again = cli(*resume, *more)  # there is nothing more to do
    assert again.code == 0
    assert "going on" not in again.out
    assert "curriculum.1.updates = 3, now it is 2" in cli(*resume).line


# --- several sources -------------------------------------------------------------------------------------------------

TWO = (
    "--set", "data.sources.long={source: storyworld, strategy: long_range, options: {level: easy}}",
    "--set", "evaluation.data=[main, long]", "--set", "supervised={memory_aware: {updates: 1, batch_size: 8}}",
    "--set", "curriculum=[{steps: 2, updates: 1}]", "--set", "algorithm.critic.warmup=0",
)  # fmt: skip


def test_every_source_is_measured_and_named(cli: Command, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = cli("train", tiny, "--out", run, *TWO)
    assert outcome.code == 0, outcome.err
    report = json.loads((run / "evaluation" / "retention.json").read_text())
    assert list(report["stages"]) == ["memory_aware", "mrl"]
    for stage in report["stages"].values():
        main, far = stage["sources"]["main"], stage["sources"]["long"]
        assert (main["settings"]["data"], far["settings"]["data"]) == (["main"], ["long"])
        assert main["ppl"] != far["ppl"]
    gains = [found["sampled_reward"] for found in report["stages"]["mrl"]["sources"].values()]
    assert gains[0] != gains[1]
    assert report["source"] == "main"
    assert report["ppl"] == report["stages"]["mrl"]["sources"]["main"]["ppl"]
    for source in ("main", "long"):
        for said in ("recall ", "mean reward of sampled answers", "greedy recall"):
            assert f"  {source}: {said}" in outcome.out
    pictures = {"retention.png", "retention-long.png", "stages.png", "stages-long.png"}
    pictures |= {"bits.png", "heat.png", "memory.png", "learning.png"}
    texts = {"retention.json", "answers.parquet", "report.html", "table.md", "table.tex"}
    assert {path.name for path in (run / "evaluation").iterdir()} == {*texts, *pictures}

    # Reports of other data, episodes or settings lie beside one another.
    again = cli("evaluate", run, "--json")
    assert json.loads(again.out)["stages"]["mrl"]["sources"].keys() == {"main", "long"}
    assert cli("evaluate", run, "--data", "long").code == 0
    assert cli("evaluate", run, "--data", "long", "--episodes", 4).code == 0
    assert cli("evaluate", run, "--data", "long", "--set", "evaluation.controls=[]").code == 0
    folders = {path.parent.name for path in (run / "evaluation").glob("mrl-*/retention.json")}
    assert {"mrl-main+long-3", "mrl-long-3", "mrl-long-3-episodes=4"} < folders
    assert len(folders) == 4
    alone = json.loads((run / "evaluation" / "mrl-long-3" / "retention.json").read_text())
    assert (alone["source"], alone["ppl"]) == ("long", report["stages"]["mrl"]["sources"]["long"]["ppl"])
    said = cli("evaluate", run, "--data", "lng").line
    assert "unknown source 'lng'" in said
    assert said.endswith("sources of the recipe: main, long")


def test_a_run_that_got_worse_says_so() -> None:
    def note(recall: list[float], gain: tuple[float, float]) -> dict[str, Any]:
        reward = {"before": 0.5, "after": 0.5, "gain": sum(gain) / 2, "gain_low": gain[0], "gain_high": gain[1]}
        return {
            "retention": {"main": {"by_dialogue": {"recall": recall}}},
            "sampled_reward": {"main": {**reward, "dialogues": 4}},
            "control": "none", "updates": 3, "seconds": 1.0,
        }  # fmt: skip

    before = note([0.9, 0.8, 1.0, float("nan")], (0, 0))
    better = effect_lines({"memory_aware": before, "mrl": note([0.95, 0.9, 1.0, float("nan")], (-0.1, 0.2))})
    assert not any("WORSE" in line for line in better)
    for worse in (note([0.5, 0.4, 0.5, float("nan")], (-0.1, 0.2)), note([0.9, 0.9, 0.9, float("nan")], (-0.2, -0.1))):
        lines = effect_lines({"start": before, "mrl": worse})
        assert lines[-1] == "MRL made the model WORSE on main; the model before it is checkpoints/start"


# --- controls and other ways to run ----------------------------------------------------------------------------------

ONLY_MRL = (
    "--set", "supervised={}", "--set", "curriculum=[{steps: 2, updates: 1}]", "--set", "evaluation.episodes=4",
    "--set", "algorithm.critic.warmup=0",
)  # fmt: skip


def test_frozen_memory_trains_reading_alone(cli: Command, tiny: Path, finished: Path, tmp_path: Path) -> None:
    start = finished / "checkpoints" / "memory_aware"
    outcome = cli(
        "train", tiny, "--out", tmp_path / "run", *ONLY_MRL, "--set", "control=frozen_memory",
        "--set", f"model.init_from={start}",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "MRL with frozen memory: 1 updates" in outcome.out
    before = load_file(start / "model.safetensors")
    after = load_file(tmp_path / "run" / "checkpoints" / "mrl" / "model.safetensors")
    changed = {key for key in before if not before[key].equal(after[key])}
    assert changed
    assert not [key for key in changed if not key.startswith("decoder.")]


def test_supervised_control_takes_the_place_of_mrl(cli: Command, tiny: Path, tmp_path: Path) -> None:
    outcome = cli(
        "train", tiny, "--out", tmp_path / "run", *ONLY_MRL, "--set", "control=supervised",
        "--set", "control_seconds=0.2", "--set", 'beside=["MRL: +6 points"]',
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "supervised control: " in outcome.out
    assert "\nMRL: +6 points\n" in outcome.out
    assert not rollouts(tmp_path / "run")
    stages = json.loads((tmp_path / "run" / "evaluation" / "retention.json").read_text())["stages"]
    assert list(stages) == ["start", "mrl"]
    assert "main: greedy recall" in outcome.out


def test_the_supervised_control_trains_on_what_the_last_stage_plays(tiny: Path) -> None:
    long = "data.sources.long={source: storyworld, strategy: long_range, options: {level: easy}}"
    stage = "curriculum=[{steps: [2, 3], updates: 1, data: {main: 1, long: 3}}]"
    data = RunData(load_recipe(str(tiny), [long, stage, "control=supervised", "algorithm.critic.warmup=0"]))
    rows = data.control(data.recipe.curriculum[0])
    assert (len(rows), rows.steps) == (32, 3)
    switches = sum(not asks[1] for asks in rows.asks)  # a second story is told in place of a question
    assert switches == 24


def test_the_seed_decides(cli: Command, tiny: Path, finished: Path, tmp_path: Path) -> None:
    """The same seed gives the same run: see the interrupted one above."""
    only = ("--set", "supervised.interaction.updates=0", "--set", "curriculum=[]", "--set", "evaluation.score=false")
    assert cli("train", tiny, "--out", tmp_path / "run", "--seed", 1, *only).code == 0
    name = Path("checkpoints", "joint", "model.safetensors")
    assert (tmp_path / "run" / name).read_bytes() != (finished / name).read_bytes()
    assert not (tmp_path / "run" / "checkpoints" / "interaction").exists()


def test_a_run_in_another_s_place_goes_on_from_its_own_stages(cli: Command, tiny: Path, tmp_path: Path) -> None:
    """The first stage leaves an MLM head, which the second reads after the new run has taken the old one's place."""
    parts = [f"supervised.{name}=null" for name in ("memory_attention", "memory_aware")]
    options = [word for part in (*parts, "curriculum=[]", "evaluation.score=false") for word in ("--set", part)]
    run = tmp_path / "run"
    assert cli("train", tiny, "--out", run, *options).code == 0
    outcome = cli("train", tiny, "--out", run, "--overwrite", *options)
    assert outcome.code == 0, outcome.err


def test_own_data_and_overwrite(cli: Command, tiny: Path, tmp_path: Path) -> None:
    """A user's dialogues without annotated facts: scores, and no recall."""
    row = {
        "query": "I am Ann.",
        "answer": "Hi.",
        "interactions": [{"query": "Who am I?", "answer": "You are Ann."}] * 2,
    }
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "validation"):
        (data / f"{split}.jsonl").write_text((json.dumps(row) + "\n") * 8)
    run = tmp_path / "run"
    options = (
        *ONLY_MRL, "--set", f"data.sources.main={{source: jsonl, path: {data}}}", "--set", "evaluation.steps=2",
        "--set", "reward=bleu", "--set", "tokenizer.vocab_size=300",
    )  # fmt: skip
    assert cli("train", tiny, "--out", run, *options).code == 0
    (run / "rollouts" / "left.jsonl").write_text("over")
    outcome = cli("train", tiny, "--out", run, "--overwrite", *options)
    assert outcome.code == 0, outcome.err
    assert not (run / "rollouts" / "left.jsonl").exists()
    report = json.loads((run / "evaluation" / "retention.json").read_text())
    assert report["recall"] is None
    assert report["score_mean"] is not None
