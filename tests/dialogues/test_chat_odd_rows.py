"""Rows that have something else where their layout has a list or a name: each is named and its turns are counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rxt_mrl.dialogues.sources import DataSettings, load_dialogues, load_pairs
from rxt_mrl.dialogues.sources.load import LoadedDialogues
from rxt_mrl.errors import UserError

SAID = [("Hi", "prompter"), ("Hello", "assistant"), ("Who?", "prompter"), ("Me", "assistant")]
LOCOMO: dict[str, Any] = {
    "sample_id": "a",
    "conversation": {
        "session_1_date_time": "8 May",
        "session_1": [{"speaker": "Ann", "dia_id": "D1:1", "text": "I bought a boat."},
                      {"speaker": "Bob", "dia_id": "D1:2", "text": "Great!"}],
        "session_2": [{"speaker": "Bob", "dia_id": "D2:1", "text": "I moved."}],
    },
    "qa": [{"question": "What did Ann buy?", "answer": "a boat", "evidence": ["D1:1"]}],
}  # fmt: skip
LONGMEMEVAL: dict[str, Any] = {
    "question": "What color is my bike?", "answer": "blue", "haystack_dates": ["8 May", None],
    "haystack_session_ids": ["s1", "s2"], "answer_session_ids": ["s1"],
    "haystack_sessions": [
        [{"role": "user", "content": "My bike is blue."}, {"role": "assistant", "content": "Nice."}],
        [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hi."}],
    ],
}  # fmt: skip
HUGE = 10**400
LONG = "9" * 5000


def settings(tmp_path: Path, rows: list[Any], skip: bool, **options: Any) -> DataSettings:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return DataSettings(source="chat", path=str(path), options=options, on_bad_row="skip" if skip else "stop")


def load(tmp_path: Path, rows: list[Any], skip: bool = True, **options: Any) -> LoadedDialogues:
    return load_dialogues(settings(tmp_path, rows, skip, **options), steps=None)


def turns(loaded: LoadedDialogues) -> tuple[int, dict[str, int]]:
    counts = loaded.report.to_dict()["turns"]
    return counts["in_data"], counts["reasons"]


def message(name: Any, parent: Any, text: str, role: str, **more: Any) -> dict[str, Any]:
    return {"message_id": name, "parent_id": parent, "text": text, "role": role, "message_tree_id": "t"} | more


CHAIN = [message(str(number), str(number - 1) if number else None, *said) for number, said in enumerate(SAID)]


def tree(**root: Any) -> dict[str, Any]:
    replies: list[Any] = []
    for text, role in reversed(SAID):
        replies = [{"text": text, "role": role, "replies": replies}]
    return {"prompt": replies[0] | root}


def export(**row: Any) -> dict[str, Any]:
    nodes = {
        str(number): {
            "parent": str(number - 1) if number else None, "children": [str(number + 1)][: number < 3],
            "message": {"author": {"role": role}, "content": {"parts": [text]}},
        }
        for number, (text, role) in enumerate(SAID)
    }  # fmt: skip
    return {"mapping": nodes, "current_node": "3"} | row


def locomo(**told: Any) -> dict[str, Any]:
    return LOCOMO | {"conversation": LOCOMO["conversation"] | told}


# --- a row is a message ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "problems"),
    [
        ([(None, "3"), ("", "3")], ["'message_id' is empty: the message has no place in a tree"] * 2),
        ([("2", "3")], ["'message_id' is '2', as in line 3; each message needs its own"]),
        ([("8", "9"), ("9", "8"), ("7", "9")], ["the parents of the message go in a circle"] * 3),
        ([(["4"], "3")], ["'message_id' is list, a text or a number is needed"]),
        ([("4", ["3"])], ["'parent_id' is list, a text or a number is needed"]),
    ],
    ids=["no id", "an id twice", "circle", "id a list", "parent a list"],
)
def test_messages_without_a_place_in_a_tree(rows: list[tuple[Any, Any]], problems: list[str], tmp_path: Path) -> None:
    odd = [message(*names, "Lost", "prompter") for names in rows]
    loaded = load(tmp_path, CHAIN + odd)
    assert [turn.answer for turn in loaded.dialogues[0].turns] == ["Hello", "Me"]
    assert [(row.number, row.problem) for row in loaded.report.bad] == list(enumerate(problems, start=5))
    assert turns(loaded) == (4 + len(odd), {"in a bad row": len(odd)})
    with pytest.raises(UserError, match=rf"rows\.jsonl line 5: {problems[0][:20]}.* \(on_bad_row: stop"):
        load(tmp_path, CHAIN + odd, skip=False)


def test_a_message_whose_parent_is_not_there_begins_a_tree(tmp_path: Path) -> None:
    other = [row | {"message_id": f"b{row['message_id']}", "parent_id": row["parent_id"] and f"b{row['parent_id']}"}
             for row in CHAIN]  # fmt: skip
    other[0]["parent_id"] = "gone"
    loaded = load(tmp_path, CHAIN + other)
    assert len(loaded) == 2
    assert turns(loaded) == (8, {})


# --- a row is a turn -------------------------------------------------------------------------------------------------


def turn_row(name: Any, number: int, **more: Any) -> dict[str, Any]:
    return {"conversation_id": name, "turn_id": number, "speaker": ("user", "bot")[number % 2], "text": "x"} | more


TURNS = [turn_row("1", number) for number in range(4)]
EMPTY = "'conversation_id' is empty: the row belongs to no conversation"


@pytest.mark.parametrize("before", [False, True], ids=["last", "first"])
@pytest.mark.parametrize("name", [None, "", " "])
def test_turns_of_no_conversation(name: Any, before: bool, tmp_path: Path) -> None:
    odd = [turn_row(name, 0)] * 120  # more than the layout is seen from
    loaded = load(tmp_path, [*odd, *TURNS] if before else [*TURNS, *odd])
    assert [row.problem for row in loaded.report.bad] == [EMPTY] * 120
    assert loaded.report.bad[0].number == (1 if before else 5)
    assert turns(loaded) == (124, {"in a bad row": 120})
    with pytest.raises(UserError, match=f"line {1 if before else 5}: {EMPTY}"):
        load(tmp_path, [*odd, *TURNS] if before else [*TURNS, *odd], skip=False)


def test_a_turn_without_the_column_of_the_conversation(tmp_path: Path) -> None:
    loaded = load(tmp_path, [*TURNS, {"speaker": "user", "text": "x"}])
    assert [str(row) for row in loaded.report.bad] == [f"rows.jsonl line 5: {EMPTY}"]
    assert turns(loaded) == (5, {"in a bad row": 1})


def test_a_number_of_a_turn_that_is_no_place(tmp_path: Path) -> None:
    loaded = load(tmp_path, [TURNS[0] | {"turn_id": HUGE}, *TURNS[1:]])
    assert turns(loaded) == (4, {})
    assert [turn.query for turn in loaded.dialogues[0].turns] == ["x", "x"]


def test_a_turn_that_only_calls_a_tool_comes_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column holds the turns of a conversation; there are: conversation_id"):
        load(tmp_path, [{"conversation_id": "1", "role": "assistant", "tool_calls": []}])


# --- trees and benchmarks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "odd", "problem", "lost"),
    [
        (tree(), tree(replies=5), "'replies' is int, a list is needed", 2),
        (tree(), {"other": 1}, "the row is no tree of messages; there are: other", 0),
        (export(), export(current_node=["3"]), "'current_node' is list, a text or a number is needed", 4),
        (LOCOMO, locomo(session_3=5), "'session_3' is int, a list is needed", 5),
        (LOCOMO, locomo(session_3="nothing"), "'session_3' is str, a list is needed", 5),
        (LOCOMO, LOCOMO | {"qa": 7}, "'qa' is int, a list is needed", 3),
        (LONGMEMEVAL, LONGMEMEVAL | {"haystack_session_ids": 5}, "'haystack_session_ids' is int, a list", 6),
        (LONGMEMEVAL, LONGMEMEVAL | {"haystack_dates": 5}, "'haystack_dates' is int, a list is needed", 6),
        (LONGMEMEVAL, LONGMEMEVAL | {"answer_session_ids": 5}, "'answer_session_ids' is int, a list", 6),
        (LONGMEMEVAL, LONGMEMEVAL | {"haystack_sessions": [[], 5]}, "'session 2' is int, a list is needed", 2),
        (LONGMEMEVAL, LONGMEMEVAL | {"haystack_sessions": 5}, "'haystack_sessions' is no list of sessions", 2),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_something_else_in_place_of_a_list_or_a_name(
    good: dict[str, Any], odd: dict[str, Any], problem: str, lost: int, tmp_path: Path
) -> None:
    whole = turns(load(tmp_path, [good]))[0]
    loaded = load(tmp_path, [good, odd])
    assert len(loaded) == 1
    (bad,) = loaded.report.bad
    assert str(bad).startswith(f"rows.jsonl line 2: {problem}")
    assert turns(loaded) == (whole + lost, {"in a bad row": lost} if lost else {})
    with pytest.raises(UserError, match=r"line 2: .* \(on_bad_row: stop"):
        load_pairs(settings(tmp_path, [good, odd], skip=False))


def test_a_parent_that_is_a_list(tmp_path: Path) -> None:
    odd = export()
    odd["mapping"]["3"]["parent"] = ["2"]
    loaded = load(tmp_path, [export(), odd])
    assert [row.problem for row in loaded.report.bad] == ["'parent' is list, a text or a number is needed"]
    assert turns(loaded) == (8, {"in a bad row": 4})


def test_replies_that_are_no_messages_are_counted(tmp_path: Path) -> None:
    (best,) = tree()["prompt"]["replies"]
    loaded = load(tmp_path, [tree(replies=[5, {"text": "No", "rank": HUGE, "replies": 7}, best | {"rank": 0}])])
    assert [turn.answer for turn in loaded.dialogues[0].turns] == ["Hello", "Me"]
    assert turns(loaded) == (4 + 3, {"other branches": 3})


def test_sessions_whose_numbers_begin_with_zeros(tmp_path: Path) -> None:
    told = dict(LOCOMO["conversation"])
    for name in ("session_1", "session_1_date_time"):
        told[name.replace("1", "01", 1)] = told.pop(name)
    told[f"session_{LONG}"] = [{"speaker": "Ann", "text": "Bye.", "dia_id": f"D{LONG}:1"}]
    loaded = load(tmp_path, [LOCOMO | {"conversation": told}])
    (dialogue,) = loaded.dialogues
    assert dialogue.query == "(8 May) Ann: I bought a boat."
    assert dialogue.turns[2].query == "Ann: Bye."
    assert turns(loaded) == (6, {})


def test_what_is_no_turn_and_no_question_is_counted(tmp_path: Path) -> None:
    loaded = load(tmp_path, [locomo(session_3=[5, None]) | {"qa": [5, *LOCOMO["qa"]]}])
    assert turns(loaded) == (5 + 2 + 2, {"empty": 4})


def test_a_line_that_is_none_and_a_row_that_is_not_chosen(tmp_path: Path) -> None:
    loaded = load(tmp_path, [LOCOMO, "{broken", LOCOMO | {"sample_id": "b"}], where={"sample_id": "a"})
    assert [str(row)[:36] for row in loaded.report.bad] == ["rows.jsonl line 2: not valid JSON at"]
    assert loaded.report.passed == {"sample_id is not a": 1}
    assert turns(loaded) == (5, {})
