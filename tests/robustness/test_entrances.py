"""What is handed to functions and constructors from Python is checked as what stands in a recipe is: one line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import DatasetDict
from rxt_mrl.envs import MemoryRetentionVectorEnv
from rxt_mrl.envs.repeat_previous import repeat_previous_dialogues

from rxt_mrl.contracts import Dialogue
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer, encode_dialogues, to_dataset, to_row
from rxt_mrl.dialogues.sources import load_dialogues, load_pairs, load_texts
from rxt_mrl.errors import UserError

Encoded = tuple[DialogueTensors, DialogueTokenizer]
LIMITS = {"max_query": 72, "max_answer": 24}


@pytest.fixture(scope="module")
def rows() -> list[Dialogue]:
    return repeat_previous_dialogues(6, steps=3)


@pytest.fixture(scope="module")
def tokenizer(rows: list[Dialogue]) -> DialogueTokenizer:
    return DialogueTokenizer.train([turn.query for row in rows for turn in row.turns], 280)


@pytest.fixture(scope="module")
def encoded(rows: list[Dialogue], tokenizer: DialogueTokenizer) -> Encoded:
    return encode_dialogues(rows, tokenizer, **LIMITS), tokenizer


WAYS: dict[str, Callable[[list[Dialogue]], Any]] = {
    "a Dataset": to_dataset,
    "rows": lambda rows: [to_row(row) for row in rows],
    "a table of pandas": lambda rows: to_dataset(rows).to_pandas(),
    "a generator": iter,
    "what load_dialogues gives": load_dialogues,
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_to_hand_dialogues_over(way: str, rows: list[Dialogue], encoded: Encoded) -> None:
    expected, tokenizer = encoded
    found = encode_dialogues(WAYS[way](rows), tokenizer, **LIMITS)
    assert torch.equal(found.query.ids, expected.query.ids)
    assert found.asks == expected.asks
    if way != "what load_dialogues gives":
        assert load_dialogues(WAYS[way](rows)).dialogues == rows


def test_ways_to_name_a_source(rows: list[Dialogue], tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(to_row(row)) + "\n" for row in rows))
    columns = to_dataset(rows).to_dict()
    for given in (file, str(file), {"source": "jsonl", "path": str(file)}, columns):
        assert load_dialogues(given, steps=2, episodes=4).dialogues[3].turns[2] == rows[3].turns[2]
    assert load_dialogues(to_row(rows[0])).dialogues == rows[:1]
    assert load_dialogues(DatasetDict(train=to_dataset(rows)), "train").dialogues == rows
    assert len(load_dialogues("storyworld", steps=2, episodes=3)) == 3
    assert load_pairs([{"query": "a", "answer": "b"}]) == [("a", "b")]
    assert load_texts([{"text": "One. Two."}, "Three."]) == ["One. Two.", "Three."]


ENCODED: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "a path": (
        lambda rows, t: encode_dialogues("x.jsonl", t, **LIMITS),
        "got a str; .*load_dialogues reads",
    ),
    "a Path": (lambda rows, t: encode_dialogues(Path("x"), t, **LIMITS), "got a PosixPath"),
    "a mapping": (lambda rows, t: encode_dialogues(to_row(rows[0]), t, **LIMITS), "got a dict"),
    "splits": (
        lambda rows, t: encode_dialogues(DatasetDict(train=to_dataset(rows)), t, **LIMITS),
        "got a DatasetDict; name a split: train",
    ),
    "nothing": (lambda rows, t: encode_dialogues([], t, **LIMITS), "no dialogues to encode"),
    "None": (lambda rows, t: encode_dialogues(None, t, **LIMITS), "got a NoneType"),
    "texts": (lambda rows, t: encode_dialogues(["a"], t, **LIMITS), "dialogue 0 is a str; allowed: Dialogue"),
    "a bad row": (
        lambda rows, t: encode_dialogues([to_row(rows[0]), {"query": "a", "answer": 5}], t, **LIMITS),
        "dialogue 1: answer is int, text is needed",
    ),
    "half a character": (
        lambda rows, t: encode_dialogues([{**to_row(rows[0]), "query": "a\ud83d"}], t, **LIMITS),
        "dialogue 0: query holds",
    ),
    "no tokenizer": (lambda rows, t: encode_dialogues(rows, t.tokenizer, **LIMITS), "tokenizer: got a Tokenizer"),
    "a width": (lambda rows, t: encode_dialogues(rows, t, max_query="72", max_answer=24), "max_query = '72'; allowed"),
    "steps": (lambda rows, t: encode_dialogues(rows, t, **LIMITS, steps=-2), "steps = -2; allowed: a whole number"),
    "on_long": (lambda rows, t: encode_dialogues(rows, t, **LIMITS, on_long="x"), "on_long = 'x'; allowed: cut, error"),
    "strategy": (lambda rows, t: encode_dialogues(rows, t, **LIMITS, strategy="x"), "strategy = 'x'; allowed: multi"),
    "load None": (lambda rows, t: load_dialogues(None), "data: got a NoneType; allowed: settings, a path"),
    "load bytes": (lambda rows, t: load_dialogues(b"x"), "data: got a bytes"),
    "load gone": (lambda rows, t: load_dialogues("gone/x.jsonl"), "'gone/x.jsonl' does not exist"),
    "load key": (lambda rows, t: load_dialogues({"sourc": "x"}), r"data: unknown key 'sourc' \(did you mean 'source'"),
    "load row": (lambda rows, t: load_dialogues([{"query": "a"}]), "data: list row 1: column 'answer' is missing"),
    "load columns": (
        lambda rows, t: load_dialogues({"query": ["a"], "answer": ["b", "c"], "interactions": [[]]}),
        "data: the columns differ in length: query 1, answer 2, interactions 1",
    ),
    "load split": (
        lambda rows, t: load_dialogues(DatasetDict(train=to_dataset(rows)), "validation"),
        "the DatasetDict has no split 'validation'; it has: train",
    ),
    "load count": (lambda rows, t: load_dialogues("storyworld", episodes=0), "data: episodes = 0; allowed: a whole"),
    "load steps": (lambda rows, t: load_dialogues("storyworld", steps="2"), "data: steps = '2'; allowed: a whole"),
}


@pytest.mark.parametrize("case", ENCODED)
def test_dialogues_that_will_not_do(case: str, rows: list[Dialogue], tokenizer: DialogueTokenizer) -> None:
    call, line = ENCODED[case]
    with pytest.raises(UserError, match=line) as raised:
        call(rows, tokenizer)
    assert "\n" not in str(raised.value)


CONSTRUCTOR: list[tuple[dict[str, Any], str]] = [
    ({"dialogues": []}, "dialogues: got a list; encode_dialogues makes what is needed"),
    ({"dialogues": None}, "dialogues: got a NoneType"),
    ({"tokenizer": None}, "tokenizer: got a NoneType; allowed: the DialogueTokenizer"),
    ({"tokenizer": DialogueTokenizer.train(["a"], 263)}, r"it has 263 tokens and the dialogues have id \d+: they were"),
    ({"num_envs": "3"}, "num_envs: '3' is not a whole number of at least 1"),
    ({"num_envs": 2.5}, "num_envs: 2.5 is not"),
    ({"num_envs": None}, "num_envs: None is not"),
    ({"num_envs": True}, "num_envs: True is not"),
    ({"steps": "2"}, "steps: '2' is not"),
    ({"steps": 9}, "steps: 9 is longer than the dialogues, which have 3"),
    ({"max_new_tokens": 2.5}, "max_new_tokens: 2.5 is not"),
    ({"embedding": [[1.0]]}, r"embedding: list is not a tensor \(\d+, dim\), with a row for each token"),
    ({"embedding": torch.zeros(3, 8)}, r"embedding: \(3, 8\) is not a tensor"),
    ({"embedding": torch.zeros(999)}, r"embedding: \(999,\) is not a tensor"),
    ({"seed": "a"}, "seed: 'a' is not a whole number of at least 0"),
    ({"seed": -1}, "seed: -1 is not"),
    ({"reward": 5}, "a reward is named by a string, got 5"),
    ({"reward": [len]}, "a list of rewards holds names and terms"),
    ({"autoreset": "next_step"}, "autoreset: 'next_step' is not one of"),
    ({"render_mode": "human"}, "render_mode: 'human' is not one of ansi"),
]


@pytest.mark.parametrize(("given", "line"), CONSTRUCTOR, ids=lambda value: str(value)[:30])
def test_arguments_of_an_environment(given: dict[str, Any], line: str, encoded: Encoded) -> None:
    dialogues, tokenizer = encoded
    with pytest.raises(UserError, match=line):
        MemoryRetentionVectorEnv(**{"dialogues": dialogues, "tokenizer": tokenizer, **given})


def test_arguments_of_its_methods(encoded: Encoded) -> None:
    env = MemoryRetentionVectorEnv(*encoded, num_envs=2)
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: env.reset(options=5), "reset options: got a int; allowed: a mapping of episodes"),  # type: ignore[arg-type]
        (lambda: env.reset(seed="a"), "seed: 'a' is not"),  # type: ignore[arg-type]
        (lambda: env.reset(seed=-1), "seed: -1 is not"),
        (lambda: env.reset(options={"episode": [0]}), "unknown reset option 'episode'"),
        (lambda: env.step({"ids": [[1, 2], [3]], "mask": [[1, 1], [1]]}), "got rows of different lengths"),
        (lambda: env.transcript(9), r"row 9 does not exist; allowed: 0 .. 1"),
        (lambda: env.transcript("a"), "row 'a' does not exist"),  # type: ignore[arg-type]
    ]
    env.reset(seed=np.int64(3))  # type: ignore[arg-type]
    for call, line in cases:
        with pytest.raises(UserError, match=line):
            call()
