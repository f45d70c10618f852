"""Names that look like patterns, texts that no file can hold, and files that are not what they are called."""

from __future__ import annotations

import bz2
import json
import lzma
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rxt_mrl.contracts import Dialogue, Interaction
from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.dialogues.schema import to_row
from rxt_mrl.dialogues.sources import DataSettings, load_dialogues, load_texts
from rxt_mrl.dialogues.sources.inspect import inspect_source, settings_of
from rxt_mrl.errors import UserError

NAMES = ["a[1]", "a[!x]", "a*", "a?", "a#b", "a b", "ä", "a{b,c}", "-a", "a'b", "hf:a"]
HALF = "hi \ud83d"


def told(name: str) -> Dialogue:
    return Dialogue(f"The cat is called {name}.", "Good.", (Interaction("What is it called?", f"It is {name}."),))


def write(path: Path, dialogue: Dialogue) -> None:
    row = to_row(dialogue, asks=False)
    table = pa.Table.from_pylist([row])
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    else:
        path.write_text(json.dumps(row) + "\n", encoding="utf-8")


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".arrow"])
def test_a_name_is_a_name_and_no_pattern(suffix: str, tmp_path: Path) -> None:
    """A file of every odd name, with others beside that its name would match as a pattern."""
    for other in ("a1", "a2", "ab", "aXb", "ac", "ax"):
        write(tmp_path / f"{other}{suffix}", told("Wrong"))
    for number, name in enumerate(NAMES):
        folder = tmp_path / name
        folder.mkdir()
        for path in (tmp_path / f"{name}{suffix}", folder / f"train{suffix}"):
            write(path, told(f"Tom{number}"))
        for path in (tmp_path / f"{name}{suffix}", folder):
            assert load_dialogues(settings_of(path)).dialogues == [told(f"Tom{number}")], path


def test_a_split_is_a_name_first_and_a_pattern_then(tmp_path: Path) -> None:
    write(tmp_path / "a[1].jsonl", told("Tom"))
    write(tmp_path / "a1.jsonl", told("Kim"))
    for theirs, name in (("a[1].jsonl", "Tom"), ("a[0-9].jsonl", "Kim")):
        source = DataSettings(source="jsonl", path=str(tmp_path), splits={"train": theirs})
        assert load_dialogues(source).dialogues == [told(name)]
    for theirs in ("/etc/*", "**x", "b*"):
        source = DataSettings(source="jsonl", path=str(tmp_path), splits={"train": theirs})
        with pytest.raises(UserError, match=r"data: .*(pattern|matches)"):
            load_dialogues(source)


@pytest.mark.parametrize("place", ["query", "answer", "follow-up", "value", "wrong", "slot"])
def test_half_a_character_is_a_bad_row(place: str, tmp_path: Path) -> None:
    ask = {"value": "Tom", "told_at": 0, "wrong": ["Kim"], "slot": "name"}
    row = {"query": "q", "answer": "a", "interactions": [{"query": "q", "answer": "a", "asks": [ask]}]}
    if place == "follow-up":
        row["interactions"][0]["query"] = HALF  # type: ignore[index]
    elif place in ask:
        ask[place] = [HALF] if place == "wrong" else HALF
    else:
        row[place] = HALF
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=r"rows\.jsonl line 1: .* holds half a character \(\\ud83d at position 4\)"):
        load_dialogues(settings_of(path))
    path.write_text(json.dumps({"text": HALF}) + "\n")
    with pytest.raises(UserError, match=r"line 1: 'text' holds half a character"):
        load_texts(settings_of(path))


def test_half_a_character_is_not_encoded() -> None:
    tokenizer = DialogueTokenizer.train(["hello"], 300)
    for encode in (tokenizer.encode_text, tokenizer.encode_query, lambda text: tokenizer.encode_texts(["a", text])):
        with pytest.raises(UserError, match=r"a text holds half a character .*: 'hi \\ud83d'"):
            encode(HALF)
    with pytest.raises(UserError, match="half a character"):
        DialogueTokenizer.train([HALF], 300)
    with pytest.raises(UserError, match="only a text can be encoded, got NoneType"):
        tokenizer.encode_texts([None])  # type: ignore[list-item]


TEXT = json.dumps({"query": "q", "answer": "a", "interactions": [{"query": "q", "answer": "a"}]}) + "\n"
FOREIGN = {
    "bzip2": (bz2.compress(TEXT.encode()), "compressed with bzip2"),
    "xz": (lzma.compress(TEXT.encode()), "compressed with xz"),
    "utf-16": (TEXT.encode("utf-16"), "UTF-16: save it as UTF-8"),
    "utf-16 without a mark": (TEXT.encode("utf-16-le"), "UTF-16: save it as UTF-8"),
    "pickle": (pickle.dumps([TEXT]), "a pickle, which is never loaded"),
    "page": (b"\n<!DOCTYPE html><html>", "a web page: download the file itself"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
    "zip": (b"PK\x03\x04" + bytes(40), "a zip archive"),
    "parquet": (b"PAR1" + bytes(40), "parquet: read it as source parquet"),
    "binary": (b"\x01\x02\x03\x00" * 20, "binary, not text"),
}


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.parametrize("source", ["jsonl", "babi", "tinystories", "parquet", "arrow"])
def test_a_file_that_is_something_else(case: str, source: str, tmp_path: Path) -> None:
    content, what = FOREIGN[case]
    path = tmp_path / "rows"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_dialogues(DataSettings(source=source, path=str(path)))
    line = str(caught.value)
    assert "\n" not in line
    assert what in line or (case == source == "parquet" and "truncated or not parquet" in line)
    if source == "jsonl":
        with pytest.raises(UserError, match=what.partition("(")[0]):
            settings_of(path)


def test_addresses_are_not_read() -> None:
    for address in ("https://example.org/a.jsonl", "s3://bucket/a", "hf://datasets/a/b"):
        with pytest.raises(UserError, match=f"data: '{address}' is an address: download the file"):
            settings_of(address)


def test_a_folder_with_a_data_script(tmp_path: Path) -> None:
    folder = tmp_path / "quiz"
    folder.mkdir()
    (folder / "quiz.py").write_text("raise SystemExit(7)")
    for name in (str(folder), str(tmp_path / "qu*")):
        with pytest.raises(UserError, match=r"data: .*quiz|data: .* has no \*"):
            load_dialogues(DataSettings(source="hub", name=name))


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["query", "query"]), path)
    with pytest.raises(UserError, match=r"rows\.parquet row 1: there are two columns 'query'$"):
        load_dialogues(settings_of(path))


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_rows_is_no_conversation_whatever_the_file_is_called(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps([to_row(told(name)) for name in ("Rex", "Tom")], indent=indent))
    assert load_dialogues(settings_of(path)).dialogues == [told("Rex"), told("Tom")]


def test_other_columns_stay_out_of_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(to_row(told("Rex")) | {"topic": {"names": ["pets"], "size": 1e400}}) + "\n")
    assert inspect_source(path, write=tmp_path / "written")["round_trip"] == 1
    assert load_dialogues(settings_of(tmp_path / "written")).dialogues == [told("Rex")]


def test_doubts_are_told_of_the_file_and_not_of_its_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = to_row(told("Rex"))
    row["interactions"][0]["asks"] = [{"value": "Tom", "told_at": 0}]
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    inspect_source(tmp_path / "mine.jsonl")
    assert [record.message.partition(", the first")[0] for record in caplog.records] == [
        f"1 doubtful fact in jsonl {tmp_path / 'mine.jsonl'}"
    ]
