"""Benchmarks that say where an answer was told: hand-made samples of the layouts of LoCoMo and LongMemEval."""

# ruff: noqa: E501 - rows as they stand in files
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rxt_mrl.contracts import NEVER_TOLD, Ask, Dialogue
from rxt_mrl.dialogues.sources import DataSettings, load_dialogues, load_pairs
from rxt_mrl.dialogues.sources.inspect import inspect_source
from rxt_mrl.dialogues.sources.load import LoadedDialogues
from rxt_mrl.errors import UserError


def turn(speaker: str, name: str, text: str, **more: str) -> dict[str, str]:
    return {"speaker": speaker, "dia_id": name, "text": text, **more}


LOCOMO = [{
    "sample_id": "a-1",
    "conversation": {
        "speaker_a": "Ann", "speaker_b": "Bob",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            turn("Ann", "D1:1", "I bought a boat."), turn("Bob", "D1:2", "Great!"),
            turn("Ann", "D1:3", "It is green.", img_url="x", blip_caption="a small boat"),
        ],
        "session_2_date_time": "9 May, 2023",
        "session_2": [turn("Bob", "D2:1", "I moved to Rome."), turn("Ann", "D2:2", "When?"),
                      turn("Bob", "D2:3", "In April."), turn("Ann", "D2:4", "Nice.")],
    },
    "qa": [
        {"question": "What color is the boat?", "answer": "green", "evidence": ["D1:3"], "category": 4},
        {"question": "Who moved where, and when?", "answer": "Bob, to Rome", "evidence": ["D2:1; D2:03"], "category": 1},
        {"question": "Who sank the boat?", "adversarial_answer": "Bob", "evidence": ["D1:1"], "category": 5},
        {"question": "Which year?", "answer": 2023, "evidence": [], "category": 2},
    ],
    "event_summary": {}, "session_summary": {},
}]  # fmt: skip
LONGMEMEVAL = [
    {
        "question_id": name, "question_type": "single-session-user", "question": "What color is my bike?",
        "answer": "blue", "question_date": "2023/05/30", "haystack_dates": ["2023/05/20", "2023/05/21", "2023/05/22"],
        "haystack_session_ids": ["s1", "answer_1", "s3"], "answer_session_ids": ["answer_1"],
        "haystack_sessions": [
            [{"role": "user", "content": "A joke?"}, {"role": "assistant", "content": "No."}],
            [{"role": "user", "content": "I got a blue bike.", "has_answer": True}, {"role": "assistant", "content": "Good."},
             {"role": "user", "content": "Bye."}],
            [{"role": "assistant", "content": "Welcome back."}, {"role": "user", "content": "Hi."},
             {"role": "assistant", "content": "Hi."}],
        ],
    }
    for name in ("q1", "q2_abs")
]  # fmt: skip


def load(tmp_path: Path, rows: Any, steps: int | None = None, **options: Any) -> LoadedDialogues:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    loaded = load_dialogues(DataSettings(source="chat", path=str(path), options=options), steps=steps)
    tally = loaded.report.tally
    assert tally is not None
    assert tally.in_data == tally.read + tally.joined + tally.dropped.total()
    return loaded


def asks(dialogue: Dialogue) -> list[Ask]:
    return [ask for turn in dialogue.turns for ask in turn.asks]


def test_locomo(tmp_path: Path) -> None:
    loaded = load(tmp_path, LOCOMO)
    (dialogue,) = loaded.dialogues
    assert dialogue.query == "(1:56 pm on 8 May, 2023) Ann: I bought a boat."
    assert dialogue.answer == "Bob: Great!"
    assert dialogue.interactions[0].query == "Ann: It is green. [shows a picture: a small boat]"
    assert [turn.query for turn in dialogue.interactions[1:3]] == [
        "(9 May, 2023) Bob: I moved to Rome.",
        "Bob: In April.",
    ]
    assert asks(dialogue) == [
        Ask("green", 1, (), "category 4"), Ask("Bob, to Rome", 2, (), "category 1"),
        Ask("", NEVER_TOLD, ("Bob",), "category 5"),
    ]  # fmt: skip
    assert [turn.answer for turn in dialogue.interactions[3:]] == ["green", "Bob, to Rome", "I do not know.", "2023"]
    assert loaded.report.to_dict()["turns"]["in_data"] == 7 + 2 * 4
    assert loaded.report.to_dict()["turns"]["dropped"] == 0


def test_locomo_by_sessions(tmp_path: Path) -> None:
    loaded = load(tmp_path, LOCOMO, unit="session", questions=1)
    assert len(loaded) == 4
    assert {len(dialogue.turns) for dialogue in loaded.dialogues} == {3}
    assert loaded.dialogues[1].interactions[0].query.endswith("Bob: In April.\nAnn: Nice.")
    assert asks(loaded.dialogues[1]) == [Ask("Bob, to Rome", 1, (), "category 1")]


def test_steps_leave_out_what_nobody_asks_for(tmp_path: Path) -> None:
    loaded = load(tmp_path, LOCOMO, steps=2, questions=1)  # two interactions are told, then comes one question
    first = loaded.dialogues[0]
    assert [turn.query for turn in first.turns] == [
        "Ann: It is green. [shows a picture: a small boat]", "Bob: In April.", "What color is the boat?",
    ]  # fmt: skip
    assert asks(first) == [Ask("green", 0, (), "category 4")]
    assert {len(dialogue.interactions) for dialogue in loaded.dialogues} == {2}
    assert len(load(tmp_path, LOCOMO, steps=6)) == 1, "4 interactions and 3 questions; the fourth is counted"
    assert load(tmp_path, LOCOMO, steps=6).report.to_dict()["turns"]["reasons"] == {"questions over": 2}
    with pytest.raises(UserError, match="nothing left of 1 rows"):
        load(tmp_path, LOCOMO, steps=20)


def test_longmemeval(tmp_path: Path) -> None:
    loaded = load(tmp_path, LONGMEMEVAL)
    told, never = loaded.dialogues
    assert [turn.query for turn in told.turns] == [
        "(2023/05/20) A joke?", "(2023/05/21) I got a blue bike.", "Bye.", "(2023/05/22) Welcome back.", "Hi.",
        "(2023/05/30) What color is my bike?",
    ]  # fmt: skip
    assert asks(told) == [Ask("blue", 1, (), "single-session-user")]
    assert asks(never) == [Ask("", NEVER_TOLD, (), "single-session-user")]
    assert never.interactions[-1].answer == "I do not know."
    assert loaded.report.to_dict()["turns"]["in_data"] == 2 * (8 + 2)
    assert loaded.report.to_dict()["turns"]["dropped"] == 0
    short = load(tmp_path, LONGMEMEVAL, steps=2)
    assert [turn.query for turn in short.dialogues[0].turns[:2]] == ["(2023/05/21) I got a blue bike.", "Hi."]
    assert asks(short.dialogues[0])[0].told_at == 0


def test_evidence_of_whole_sessions(tmp_path: Path) -> None:
    sessions = [[{**turn, "has_answer": False} for turn in session] for session in LONGMEMEVAL[0]["haystack_sessions"]]
    loaded = load(tmp_path, [{**LONGMEMEVAL[0], "haystack_sessions": sessions}])
    assert asks(loaded.dialogues[0])[0].told_at == 1


def test_what_is_no_such_row(tmp_path: Path) -> None:
    broken = {**LONGMEMEVAL[0], "haystack_sessions": [[{"text": "?"}]]}
    with pytest.raises(UserError, match="row 2: session 1: turn 1 has no role and content"):
        load(tmp_path, [LONGMEMEVAL[0], broken])
    with pytest.raises(UserError, match="nothing is asked"):
        load(tmp_path, [{**LOCOMO[0], "qa": []}])


@pytest.mark.parametrize("rows", [LOCOMO, LONGMEMEVAL], ids=["LoCoMo", "LongMemEval"])
def test_they_are_recognized_and_survive_a_round_trip(rows: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    assert inspect_source(path)["statistics"]["asked"] >= 1
    pairs = load_pairs(DataSettings(source="chat", path=str(path)))
    assert pairs[0][0].endswith("?")
    assert pairs[0][1] in pairs[0][0], "the pair holds its support"
