"""What a recipe names is checked before the run starts: one line, exit code 2, and no run directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

GOOD = {
    "query": "My dog is called Rex.",
    "answer": "Nice.",
    "interactions": [{"query": "What is it called?", "answer": "Rex."}] * 3,
}
LONG = {**GOOD, "query": "very " * 200 + "long"}
SHORT = {**GOOD, "interactions": GOOD["interactions"][:1]}


def rows(*dialogues: dict) -> str:
    return "".join(json.dumps(dialogue) + "\n" for dialogue in dialogues)


@pytest.fixture
def refused(cli: Command, tiny: Path, tmp_path: Path) -> Callable[..., str]:
    """The one line with which ``train`` refuses assignments; nothing is left behind."""

    def run(*assignments: str) -> str:
        out = tmp_path / "out"
        options = [text for assignment in assignments for text in ("--set", assignment)]
        line = cli("train", tiny, "--out", out, *options).line
        assert not out.exists()
        return line

    return run


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("", "is empty: it has no rows"),
        (rows(GOOD, GOOD)[:-20], "line 2: not valid JSON"),
        (rows(GOOD) + "\n" + rows({"query": "Hi"}), "line 3: column 'answer' is missing; there are: query"),
        (rows(*[GOOD] * 3, SHORT), "line 4: the dialogue has 1 follow-ups, steps: 3 needs more"),
        (rows(*[GOOD] * 30, LONG, LONG), "the query has"),
        (rows(GOOD).replace("Rex", "\udcff").encode("utf-8", "surrogateescape"), "line 1: not"),
    ],
    ids=["missing", "empty", "broken", "column", "short", "long", "bytes"],
)
def test_a_data_set_that_does_not_fit(
    refused: Callable[..., str], tmp_path: Path, content: str | bytes | None, message: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for split in ("train", "validation"):
        if content is not None:
            (folder / f"{split}.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    path = folder if content is not None else folder / "gone.jsonl"
    assert message in refused(f"data.sources.main={{source: jsonl, path: {path}}}")


def test_a_data_set_without_validation_rows(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(rows(GOOD))
    line = refused(f"data.sources.main={{source: jsonl, path: {path}}}")
    assert "has no split 'validation'" in line
    assert "holdout" in line


def test_the_hub_out_of_reach(refused: Callable[..., str]) -> None:
    assert "the Hub cannot be reached for 'ReactiveAI/none'" in refused(
        "data.sources.main={source: hub, name: ReactiveAI/none}"
    )


def test_a_late_stage_is_checked_before_the_first(refused: Callable[..., str]) -> None:
    """The source of a stage, its reward and its environment; what an interrupted run would meet hours later."""
    gone = "data.sources.gone={source: parquet, path: gone.parquet}"
    assert "'gone.parquet' does not exist" in refused(gone, "curriculum.1.data=gone")
    assert "'gone.parquet' does not exist" in refused(gone, "data.pairs=gone")
    assert "unknown reward 'bleuu'" in refused("curriculum.1.reward={terms: [{use: bleuu}]}")
    assert "bleu: unknown option 'n'" in refused("reward.terms.1.options={n: 3}")
    assert "unknown reward 'nosuch'" in refused("evaluation.reward={terms: [{use: nosuch}]}")
    assert "unknown env 'nosuch'" in refused("env.use=nosuch")
    assert "unknown option 'colour'" in refused("env.options={colour: red}")


def test_what_needs_references_does_not_go_without(refused: Callable[..., str]) -> None:
    assert "data.sources.main: references is false, and stage" in refused("data.sources.main.references=false")
    bare = "data.sources.bare={source: storyworld, references: false}"
    line = refused(bare, "curriculum.1={steps: 3, updates: 2, data: bare, carry: reference}")
    assert "data.sources.bare: references is false, and carry needs references" in line


def test_a_model_that_cannot_be_had(refused: Callable[..., str], finished: Path) -> None:
    assert "device = 'tpu': torch cannot use it" in refused("device=tpu")
    assert "no memory_attention section" in refused("model={preset: alpha-micro-encoder}")
    assert "/gone: no such directory" in refused("model.init_from=/gone")
    assert "/gone: no such directory" in refused("tokenizer.path=/gone")
    assert "no tokenizer at" in refused(f"model.init_from={finished / 'evaluation'}")
    line = refused(f"model.init_from={finished / 'checkpoints' / 'mrl'}", "limits.query=90")
    assert "limits.query + limits.answer = 114 tokens exceed the 96 of model.init_from" in line


def test_a_recipe_that_trains_nothing(refused: Callable[..., str]) -> None:
    assert "trains nothing" in refused("supervised={memory_aware: {updates: 0}}", "curriculum=[]")


def test_longer_texts_can_be_cut(cli: Command, tiny: Path, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        (tmp_path / f"{split}.jsonl").write_text(rows(*[GOOD] * 12, LONG))
    source = f"data.sources.main={{source: jsonl, path: {tmp_path}}}"
    outcome = cli("recipe", "check", tiny, "--set", source, "--set", "limits.on_long=cut")
    assert outcome.code == 0, outcome.err
    assert "tiny is fine" in outcome.out
