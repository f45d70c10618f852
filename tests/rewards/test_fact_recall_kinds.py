"""Fact recall reads values as a careful reader would: numbers, units, names, symbols, scripts, markup."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from rxt_mrl.rewards.fact_recall import FactRecall

from rxt_mrl.contracts import Ask
from rxt_mrl.dialogues.sources import DataSettings, load_dialogues

KINDS = {
    str(value): kind
    for name in ("kinds.yaml", "spellings.yaml")
    for value, kind in yaml.safe_load((Path(__file__).parent / name).read_text(encoding="utf-8")).items()
}


def score(value: str, answer: str, wrong: tuple[str, ...] = ()) -> float:
    return FactRecall().score(answer, KINDS[value]["reference"], "What is it?", [Ask(value, 0, wrong)])


@pytest.mark.parametrize("value", KINDS)
def test_a_value_is_read_as_what_it_is(value: str) -> None:
    kind = KINDS[value]
    assert score(value, kind["reference"]) == 1.0, "the reference earns everything"
    assert [answer for answer in (value, *kind["right"]) if score(value, answer) != 1.0] == []
    assert [answer for answer in kind["wrong"] if score(value, answer) != 0.0] == []


def test_a_wrong_value_is_not_found_within_the_right_one() -> None:
    assert score("C++", "C++", wrong=("C", "C#")) == 1.0
    assert score("3.5", "3.5", wrong=("3", "5")) == 1.0
    assert score("New York", "New York", wrong=("York",)) == 1.0
    assert score("dark-red", "dark-red", wrong=("red",)) == 1.0


def test_a_unit_that_was_asked_for_may_be_said() -> None:
    judge = FactRecall()
    assert judge.score("3 km", "3", "How many kilometers is it?", [Ask("3", 0)]) == 1.0
    assert judge.score("10 years old", "Tom is 10.", "How old is Tom?", [Ask("10", 0)]) == 1.0
    assert judge.score("3 kg", "There are 3.", "How many apples are there?", [Ask("3", 0)]) == 0.0


def test_a_unit_that_was_asked_for_need_not_be_said() -> None:
    judge = FactRecall()
    assert judge.score("10", "He is 10 years old.", "How old is Tom?", [Ask("10 years old", 0)]) == 1.0
    assert judge.score("10 months", "He is 10 years old.", "How old is Tom?", [Ask("10 years old", 0)]) == 0.0
    assert judge.score("3", "It is 3 km.", "How many kilometers is it?", [Ask("3 km", 0)]) == 1.0
    assert judge.score("3 miles", "It is 3 km.", "How many kilometers is it?", [Ask("3 km", 0)]) == 0.0
    assert judge.score("3", "It is 3 km.", "How far is it?", [Ask("3 km", 0)]) == 0.0


def test_a_part_of_something_longer_counts_where_the_reference_says_no_more() -> None:
    judge = FactRecall()
    assert judge.score("It is dark-red.", "The hat was dark-red.", "What color?", [Ask("red", 0)]) == 1.0
    assert judge.score("$3", "It costs $3.", "What does it cost?", [Ask("3", 0)]) == 1.0


def test_the_words_of_the_question_are_no_other_values() -> None:
    judge = FactRecall()
    assert judge.score("Three apples.", "There were three.", "How many apples did she have?", [Ask("three", 0)]) == 1.0
    assert judge.score("red blue", "It was red.", "Was it red or blue?", [Ask("red", 0)]) == 0.0


def test_exact_reads_markup_too() -> None:
    exact = FactRecall(match="exact")
    for answer in ("**Rex**", "Answer: Rex", '{"answer": "Rex"}', "Rex \U0001f436"):
        assert exact.score(answer, "", "", [Ask("Rex", 0)]) == 1.0, answer


def test_every_loaded_row_is_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def row(reference: str, value: str, *wrong: str) -> dict[str, object]:
        asks = [{"value": value, "told_at": 0, "wrong": list(wrong)}]
        turn = {"query": "What is it?", "answer": reference, "asks": asks}
        return {"query": "It is so.", "answer": "Yes.", "interactions": [turn]}

    rows = [
        row("It is red.", "red", "blue"),
        row("It is 3.", "4"),
        row("It is three.", "three", "3"),
        row("Yes: 1,000.", "1000"),
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(item) + "\n" for item in rows))
    report = load_dialogues(DataSettings(source="jsonl", path=str(tmp_path / "train.jsonl"))).report
    assert [(item.number, item.problem.partition(" which")[0][:45]) for item in report.doubtful] == [
        (2, "interaction 1: the reference 'It is 3.' does "),
        (3, "interaction 1: wrong lists '3',"),
    ]
    assert "2 doubtful facts" in caplog.text
    assert any(line.startswith("  doubtful: train.jsonl line 2") for line in report.lines())
