"""The command line: every command once, and what each says when it is given something wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rxt_mrl import plugins
from rxt_mrl.model.presets import PRESETS

Command = Callable[..., Any]


def test_help_of_every_command(cli: Command) -> None:
    outcome = cli("--help")
    assert outcome.code == 0
    for command in ("train", "evaluate", "chat", "storyworld", "data", "convert", "list", "recipe", "reward"):
        assert command in outcome.out
        assert cli(command, "--help").code == 0


def test_help_answers_at_once() -> None:
    """Heavy imports happen inside the commands."""
    code = (
        "import sys, rxt_mrl.cli; print([m for m in ('torch', 'transformers', 'datasets', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("recipes", plugins.names("curriculum")),
        ("envs", plugins.names("env")),
        ("rewards", plugins.names("reward")),
        ("presets", list(PRESETS)),
    ],
)
def test_list(cli: Command, what: str, names: list[str]) -> None:
    outcome = cli("list", what)
    assert outcome.code == 0
    assert set(names) <= {line.split(" ")[0] for line in outcome.out.splitlines()}
    assert "cannot be loaded" not in outcome.out


# --- recipe check ----------------------------------------------------------------------------------------------------


def test_recipe_check_prints_the_plan(cli: Command, tiny: Path) -> None:
    outcome = cli("recipe", "check", tiny)
    assert outcome.code == 0
    for stage in ("joint", "interaction", "memory_attention", "memory_aware", "mrl 1", "mrl 2"):
        assert stage in outcome.out
    assert "tiny is fine: 2 MRL stages" in outcome.out


def test_recipe_check_loads_the_sources_of_the_evaluation(cli: Command, tiny: Path) -> None:
    world = "data.sources.long={source: storyworld, strategy: long_range, options: {level: easy}}"
    outcome = cli("recipe", "check", tiny, "--set", world, "--set", "evaluation.data=[main, long]")
    assert outcome.code == 0
    rows = [line.split()[:5] for line in outcome.out.splitlines()]
    assert ["evaluation", "main", "3", "multi_step", "10"] in rows
    assert ["evaluation", "long", "3", "long_range", "10"] in rows
    assert "held-out dialogues of long" in outcome.out
    gone = ("--set", "data.sources.gone={source: jsonl, path: gone.jsonl}", "--set", "evaluation.data=gone")
    assert "does not exist" in cli("recipe", "check", tiny, *gone).line


def test_recipe_check_names_what_does_not_fit(cli: Command, tiny: Path) -> None:
    assert "did you mean 'demo'" in cli("recipe", "check", "dmo").line
    assert (
        "does not exist" in cli("recipe", "check", tiny, "--set", "data.sources.main={source: babi, path: gone}").line
    )


# --- evaluate --------------------------------------------------------------------------------------------------------


def test_evaluate_a_run_as_json(cli: Command, finished: Path) -> None:
    outcome = cli("evaluate", finished, "--episodes", 4, "--json")
    assert outcome.code == 0
    report = json.loads(outcome.out)
    assert (report["episodes"], report["steps"], list(report["stages"])) == (4, 3, ["mrl"])
    folder = finished / "evaluation" / "mrl-main-3-episodes=4"
    assert json.loads((folder / "retention.json").read_text()) == report
    assert {path.name for path in folder.iterdir()} >= {"retention.json", "answers.parquet"}


def test_evaluate_a_checkpoint_at_other_steps(cli: Command, finished: Path) -> None:
    checkpoint = finished / "checkpoints" / "memory_aware"
    outcome = cli("evaluate", checkpoint, "--steps", 4, "--episodes", 3, "--set", "evaluation.score=false")
    assert outcome.code == 0
    assert "3 held-out dialogues of 4 steps" in outcome.out
    name = "memory_aware-main-4-score=false-episodes=3"
    assert (finished / "evaluation" / name / "retention.png").is_file()
    assert f"{name}/retention.json" in outcome.out


def test_evaluating_again_measures_the_same(cli: Command, finished: Path) -> None:
    """The figures of training can be reproduced from the run directory alone."""
    result = json.loads(cli("evaluate", finished, "--json").out)
    trained = json.loads((finished / "evaluation" / "retention.json").read_text())["stages"]["mrl"]["sources"]["main"]
    of_the_file = ("source", "stages", "target", "partial")
    assert {key: trained[key] for key in result if key not in of_the_file} == {
        key: result[key] for key in result if key not in of_the_file
    }


def test_evaluate_refuses(cli: Command, finished: Path, tmp_path: Path) -> None:
    assert "no such directory" in cli("evaluate", tmp_path / "gone").line
    assert "not a checkpoint of ours" in cli("evaluate", finished / "rollouts").line
    assert "unknown key 'evaluation.colour'" in cli("evaluate", finished, "--set", "evaluation.colour=1").line
    assert "unknown reward 'nosuch'" in cli(
        "evaluate", finished, "--episodes", 2, "--set", "evaluation.reward={terms: [{use: nosuch}]}"
    ).line  # fmt: skip
    assert cli("evaluate", finished, "--steps", 0).code == 2


# --- chat ------------------------------------------------------------------------------------------------------------


def test_chat_until_the_end_of_input(cli: Command, finished: Path) -> None:
    outcome = cli(
        "chat", finished, stdin="My dog is red.\n\n/save\n" + "long " * 200 + "\n/forget\nWhat colour is my dog?\n"
    )
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("rxt: ") == 2
    assert "/save: give a file" in outcome.out
    assert "tokens" in outcome.out  # of the message that is too long; the talk goes on
    assert "forgotten" in outcome.out
    assert "you: My dog is red.\nrxt: " in outcome.out  # what was piped in is shown
    assert "It knows no more than what it was trained on, dialogues like this one:" in outcome.out


def test_chat_keeps_its_memory_in_a_file(cli: Command, finished: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory.safetensors"
    talk = ("chat", finished / "checkpoints" / "mrl", "--memory", memory)
    assert "memory saved to" in cli(*talk, stdin="My dog is red.\n/quit\n").out
    assert "memory restored from" in cli(*talk, stdin="/quit\n").out


def test_chat_refuses(cli: Command, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("no memory")
    assert "is not a memory file" in cli("chat", finished, "--memory", tmp_path / "memory").line
    assert "no such directory" in cli("chat", tmp_path / "gone").line
    assert "not a checkpoint of ours" in cli("chat", tmp_path).line


# --- data ------------------------------------------------------------------------------------------------------------


def test_storyworld_writes_what_data_reads(cli: Command, tmp_path: Path) -> None:
    world = ("storyworld", "--steps", 2, "--episodes", 20, "--out", tmp_path / "world", "--seed", 3)
    assert cli(*world).out.count("wrote ") == 2
    outcome = cli("data", tmp_path / "world", "--write", tmp_path / "copy")
    assert outcome.code == 0
    assert "20 rows read, 20 kept, 0 bad" in outcome.out
    assert f"wrote      {tmp_path / 'copy' / 'train.parquet'} (" in outcome.out
    assert (tmp_path / "copy" / "train.parquet").is_file()
    assert "exists already" in cli(*world).line
    assert "level = 'odd'" in cli(*world[:-2], "--level", "odd").line
    assert "strategy = 'odd'" in cli(*world[:-2], "--strategy", "odd").line


def test_data_refuses(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"query": "Hi", "answer": ""}\n')
    assert "bad.jsonl line 1" in cli("data", tmp_path / "bad.jsonl").line
    assert "does not exist" in cli("data", tmp_path / "gone").line
    assert "unknown source 'nosuch'" in cli("data", "nosuch").line
    assert "unknown split 'odd'" in cli("data", "storyworld", "--split", "odd").line
    assert "on_bad_row = 'odd'" in cli("data", tmp_path / "bad.jsonl", "--on-bad-row", "odd").line


def test_convert_refuses(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no such folder" in cli("convert", tmp_path / "gone", "--out", tmp_path / "out").line
    assert "no config.json" in cli("convert", tmp_path / "empty", "--out", tmp_path / "out").line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", [("--out", ""), ("--out=",)])
def test_an_empty_out_is_not_the_working_directory(
    out: tuple[str, ...], cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("train", "demo", *out).line.startswith("--out is empty: a variable that is not set?")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="reads how a shell sees the exit status")
def test_the_installed_command_exits_as_documented(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("rxt-mrl")
    if not command.is_file():
        pytest.skip(f"no {command}: the package is not installed with its script")
    done = subprocess.run([command, "train", "dmo"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("rxt-mrl: unknown curriculum 'dmo'")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
