"""Bad rows of every kind: named by file and number, stopped at or skipped and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rxt_mrl.contracts import Ask, Dialogue, Interaction
from rxt_mrl.dialogues.sources import DataSettings, load_dialogues, load_pairs, load_texts
from rxt_mrl.dialogues.sources.rows import Columns, RowError, dialogue_from_row, long_enough
from rxt_mrl.errors import UserError

TURN = {"query": "Who?", "answer": "Tom."}


def row(**changes: Any) -> dict[str, Any]:
    return {"query": "Tom has a cat.", "answer": "I see.", "interactions": [TURN, TURN]} | changes


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in row().items() if key != name}


BAD_ROWS = {
    "missing column": (without("interactions"), "'interactions' is missing; there are: query, answer"),
    "missing query": (without("query"), "'query' is missing"),
    "empty answer": (row(answer="  "), "answer is empty"),
    "no follow-ups": (row(interactions=[]), "no follow-ups"),
    "wrong type": (row(query=7), "query is int"),
    "interactions are text": (row(interactions="hello"), "interactions is str"),
    "empty answer inside": (
        row(interactions=[TURN, {"query": "Who?", "answer": ""}]),
        "interaction 2: answer is empty",
    ),
    "missing inside": (row(interactions=[{"query": "Who?"}]), "interaction 1: answer is missing"),
    "ragged": (row(interactions={"query": ["a", "b"], "answer": ["c"]}), "different lengths"),
    "told later than asked": (
        row(interactions=[{**TURN, "asks": [{"value": "Tom", "told_at": 1}]}]),
        "told_at 1 is not an earlier interaction (0 to 0)",
    ),
    "not an object": ([1, 2], "the row is list"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row_says_what_is_wrong(case: str) -> None:
    value, message = BAD_ROWS[case]
    with pytest.raises(RowError) as caught:
        dialogue_from_row(value)
    assert message in str(caught.value)


def write_lines(path: Path, lines: list[Any]) -> DataSettings:
    path.write_bytes(b"".join(x if isinstance(x, bytes) else json.dumps(x).encode() + b"\n" for x in lines))
    return DataSettings(source="jsonl", path=str(path))


@pytest.mark.parametrize("case", BAD_ROWS)
def test_jsonl_stops_or_skips_by_line(case: str, tmp_path: Path) -> None:
    value, message = BAD_ROWS[case]
    settings = write_lines(tmp_path / "rows.jsonl", [row(), value, row()])
    with pytest.raises(UserError) as caught:
        load_dialogues(settings)
    assert "rows.jsonl line 2" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    loaded = load_dialogues(settings.model_copy(update={"on_bad_row": "skip"}))
    assert (loaded.report.read, loaded.report.kept, len(loaded)) == (3, 2, 2)
    assert [(bad.number, bad.place) for bad in loaded.report.bad] == [(2, "rows.jsonl")]


def test_jsonl_broken_bytes_and_cut_line(tmp_path: Path) -> None:
    good = json.dumps(row()).encode() + b"\n"
    bad = [b'{"query": "\xff\xfe"}\n', b'{"query": nothing}\n', b'{"query": "Tom has a c']
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([b"\xef\xbb\xbf" + good.strip(), b"", *map(bytes.strip, bad[:2]), good + bad[2]]))
    loaded = load_dialogues(DataSettings(source="jsonl", path=str(path), on_bad_row="skip"))
    assert len(loaded) == 2
    problems = {bad.number: bad.problem for bad in loaded.report.bad}
    assert sorted(problems) == [3, 4, 6]
    assert "not UTF-8" in problems[3]
    assert "not valid JSON" in problems[4]
    assert "breaks off" in problems[6]


def test_json_array(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row(), row(answer="")]))
    loaded = load_dialogues(DataSettings(source="jsonl", path=str(path), on_bad_row="skip"))
    assert [bad.number for bad in loaded.report.bad] == [2]
    path.write_text(json.dumps([row()])[:-5])
    with pytest.raises(UserError, match="not valid JSON"):
        load_dialogues(DataSettings(source="jsonl", path=str(path)))


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_parquet_not_utf8_is_one_bad_row(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([row(), row(), row()])
    raw = pa.array([b"fine", b"\xff\xfe", b"fine"], type=pa.binary())
    query = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(table.set_column(0, "query", query), tmp_path / "rows.parquet")
    settings = DataSettings(source="parquet", path=str(tmp_path / "rows.parquet"))
    with pytest.raises(UserError, match=r"rows.parquet row 2: not UTF-8"):
        load_dialogues(settings)
    assert len(load_dialogues(settings.model_copy(update={"on_bad_row": "skip"}))) == 2


def test_parquet_wrong_type_of_a_column(tmp_path: Path) -> None:
    path = parquet(tmp_path / "rows.parquet", [row(answer=1)])
    with pytest.raises(UserError, match="row 1: answer is int"):
        load_dialogues(DataSettings(source="parquet", path=str(path)))


def test_truncated_parquet(tmp_path: Path) -> None:
    parquet(tmp_path / "train-0.parquet", [row()] * 4)
    broken = parquet(tmp_path / "train-1.parquet", [row()] * 4)
    broken.write_bytes(broken.read_bytes()[:-40])
    settings = DataSettings(source="parquet", path=str(tmp_path))
    with pytest.raises(UserError, match=r"train-1.parquet row 1: truncated or not parquet"):
        load_dialogues(settings)
    loaded = load_dialogues(settings.model_copy(update={"on_bad_row": "skip"}))
    assert len(loaded) == 4
    assert len(loaded.report.bad) == 1
    with pytest.raises(UserError, match="none of 1 rows can be used"):
        load_dialogues(DataSettings(source="parquet", path=str(broken), on_bad_row="skip"))


def test_damage_in_the_middle_of_a_parquet_file(tmp_path: Path) -> None:
    path = parquet(tmp_path / "rows.parquet", [row(query=f"Tom has {i} cats.") for i in range(2000)])
    content = bytearray(path.read_bytes())
    content[200:1200] = bytes(1000)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"rows.parquet row \d+: ") as caught:
        load_dialogues(DataSettings(source="parquet", path=str(path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "source"), [("a.parquet", "parquet"), ("a.jsonl", "jsonl"), ("a.arrow", "arrow"), ("a.txt", "babi")]
)
def test_missing_and_empty_files(name: str, source: str, tmp_path: Path) -> None:
    settings = DataSettings(source=source, path=str(tmp_path / name))
    with pytest.raises(UserError, match="does not exist"):
        load_dialogues(settings)
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"empty|cannot be read") as caught:
        load_dialogues(settings)
    assert "\n" not in str(caught.value)


def test_all_rows_bad_is_an_error_also_with_skip(tmp_path: Path) -> None:
    settings = write_lines(tmp_path / "rows.jsonl", [row(answer="")] * 3)
    with pytest.raises(
        UserError, match=r"none of 3 rows can be used; first problem: rows.jsonl line 1: answer is empty"
    ):
        load_dialogues(settings.model_copy(update={"on_bad_row": "skip"}))


def test_steps_cut_and_too_short(tmp_path: Path) -> None:
    settings = write_lines(tmp_path / "rows.jsonl", [row(), row(interactions=[TURN] * 5)])
    assert {len(item.interactions) for item in load_dialogues(settings, steps=2).dialogues} == {2}
    with pytest.raises(UserError, match="line 1: the dialogue has 2 follow-ups, steps: 4 needs more"):
        load_dialogues(settings, steps=4)
    skipping = settings.model_copy(update={"on_bad_row": "skip"})
    assert len(load_dialogues(skipping, steps=4)) == 1
    with pytest.raises(UserError, match="none of 2 rows"):
        load_dialogues(skipping, steps=9)


def test_columns_are_mapped(tmp_path: Path) -> None:
    turn = {"q": "Who?", "a": "Tom.", "facts": [{"value": "Tom", "told_at": 0, "wrong": ["Ann"]}], "note": 1}
    settings = write_lines(
        tmp_path / "rows.jsonl", [{"prompt": "Tom sits.", "reply": "Yes.", "turns": [turn], "id": 3}]
    )
    columns = Columns(
        query="prompt", answer="reply", interactions="turns", follow_up_query="q", follow_up_answer="a", asks="facts"
    )
    (dialogue,) = load_dialogues(settings.model_copy(update={"columns": columns})).dialogues
    asked = Interaction("Who?", "Tom.", (Ask("Tom", 0, ("Ann",)),), columns={"note": 1})
    assert dialogue == Dialogue("Tom sits.", "Yes.", (asked,), columns={"id": 3})
    with pytest.raises(UserError, match="'query' is missing; there are: prompt, reply, turns, id"):
        load_dialogues(settings)


def test_columns_of_lists_are_mapped() -> None:
    columns = Columns(follow_up_query="q", follow_up_answer="a")
    found = dialogue_from_row(row(interactions={"q": ["x", "y"], "a": ["z", "w"]}), columns)
    assert [(turn.query, turn.answer) for turn in found.interactions] == [("x", "z"), ("y", "w")]


def test_pairs_and_texts(tmp_path: Path) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", [{"query": "Hi.", "answer": "Hello."}, row()])
    assert load_pairs(pairs)[:2] == [("Hi.", "Hello."), ("Tom has a cat.", "I see.")]
    assert len(load_pairs(pairs)) == 4
    assert load_texts(pairs, limit=1) == ["Hi. Hello."]
    texts = write_lines(tmp_path / "texts.jsonl", [{"text": "Tom sat. He ate."}, {"text": "One."}])
    assert load_texts(texts) == ["Tom sat. He ate.", "One."]
    assert load_pairs(texts) == [("Tell me how this story goes on: Tom sat.", "He ate.")]


def test_long_enough_keeps_the_first_follow_ups() -> None:
    dialogue = dialogue_from_row(row(interactions=[{"query": str(i), "answer": "x"} for i in range(4)]))
    assert [turn.query for turn in long_enough(dialogue, 2).interactions] == ["0", "1"]
    assert long_enough(dialogue, None) is dialogue


@pytest.mark.parametrize("reader", [load_texts, load_pairs])
def test_bad_rows_of_texts_and_pairs_are_named(reader: Callable[..., Any], tmp_path: Path) -> None:
    settings = write_lines(tmp_path / "rows.jsonl", [{"query": "Hi.", "answer": "Hello."}, {"query": "Hi."}])
    with pytest.raises(UserError, match="line 2: column 'answer' is missing"):
        reader(settings)
