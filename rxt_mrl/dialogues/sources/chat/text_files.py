"""Conversations in plain text: bAbI's dialogs, DailyDialog's ``__eou__`` lines, tables of comma-separated values."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import arrow_records, parquet_records, twice_in
from ..line_files import NUMBER, json_records, lines_of, parse_json
from ..opening import suffix_of
from ..rows import FileError, Record, RowError
from .options import ChatOptions

END = "__eou__"


def records(files: Iterable[Path], options: ChatOptions) -> Iterator[Record]:
    """The rows of files of conversations, by their suffixes."""
    readers: dict[str, Callable[[Iterable[Path]], Iterator[Record]]] = {
        ".parquet": parquet_records, ".arrow": arrow_records, ".txt": _text_records, ".csv": _table_records,
        ".tsv": _table_records,
    }  # fmt: skip
    for file in files:
        reader = readers.get(suffix_of(file))
        yield from json_records([file], options.rows) if reader is None else reader([file])


def kind_of_text(file: Path) -> str | None:
    """``dialogs`` for bAbI's dialogs, ``utterances`` for lines of ``__eou__``; None for any other text."""
    for _, line in zip(range(20), (line for _, line in lines_of(file)), strict=False):
        if isinstance(line, RowError):
            return None
        if END in line:
            return "utterances"
        if re.match(r"1 [^\t]+\t[^\t]+$", line.rstrip("\r\n")):
            return "dialogs"
        if line.strip():
            return None
    return None


def _text_records(files: Iterable[Path]) -> Iterator[Record]:
    for file in files:
        kind = kind_of_text(file)
        if kind is None:
            yield Record(file.name, 1, RowError("no conversation: lines of bAbI's dialogs or of __eou__ are needed"))
        else:
            yield from _dialogs(file) if kind == "dialogs" else _utterances(file)


def _utterances(file: Path) -> Iterator[Record]:
    """One conversation a line, its turns ended by ``__eou__``."""
    for number, line in lines_of(file):
        if isinstance(line, RowError):
            yield Record(file.name, number, line, "line")
        elif line.strip():
            turns = [turn.strip() for turn in line.split(END)]
            yield Record(file.name, number, {"dialog": turns if turns[-1] else turns[:-1]}, "line")


@dataclass
class _Open:
    start: int
    last: int = 0
    turns: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""


def _dialogs(file: Path) -> Iterator[Record]:
    """Lines ``N user<TAB>bot``, or ``N what the knowledge base says``; ``N = 1`` or a blank line starts a new one."""
    current: _Open | None = None
    for number, line in lines_of(file):
        text = str(line) if isinstance(line, RowError) else line.rstrip("\r\n")
        head, _, rest = text.partition(" ")
        if not text.strip() or head == "1":
            if current is not None:
                yield _record(file, current)
            current = None
        if not text.strip():
            continue
        current = current or _Open(number)
        parts = rest.split("\t")
        if isinstance(line, RowError) or not NUMBER.fullmatch(head) or int(head) != current.last + 1 or len(parts) > 2:
            wrong = text if isinstance(line, RowError) else f"not a line of a bAbI dialog: {text[:40]!r}"
            current.problem = current.problem or f"line {number}: {wrong}"
            continue
        current.last += 1
        if len(parts) == 1:
            current.turns.append({"role": "tool", "content": rest})
        else:
            current.turns += [{"role": "user", "content": parts[0]}, {"role": "assistant", "content": parts[1]}]
    if current is not None:
        yield _record(file, current)


def _record(file: Path, dialog: _Open) -> Record:
    value = RowError(dialog.problem) if dialog.problem else {"messages": dialog.turns}
    return Record(file.name, dialog.start, value, "line")


def _table_records(files: Iterable[Path]) -> Iterator[Record]:
    """Rows of comma- or tab-separated values, with the names of the columns in the first line."""
    for file in files:
        good: list[str] = []
        numbers = []
        for number, line in lines_of(file):
            if isinstance(line, RowError):
                yield Record(file.name, number, line, "line")
            else:
                good.append(line)
                numbers.append(number)
        separator = "\t" if suffix_of(file) == ".tsv" else ","
        try:
            table = csv.DictReader(good, delimiter=separator)
            names = table.fieldnames or ()
            if twice := twice_in(names):
                yield Record(file.name, 1, FileError(f"there are two columns '{twice}'"), "line")
                continue
            for count, row in enumerate(table, start=1):
                yield Record(file.name, count, _table_row(row, len(names)))
        except csv.Error as error:
            yield Record(file.name, 1, FileError(f"not a table of separated values ({error})"))


def _table_row(row: Mapping[str | None, Any], width: int) -> dict[str, Any] | RowError:
    cells = sum(len(value) if key is None else value is not None for key, value in row.items())
    if cells != width:
        return RowError(f"the row has {cells} cells, and there are {width} columns")
    return {str(key): _cell(value) for key, value in row.items()}


_STRING = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_LIST = re.compile(rf"\[\s*(?:(?:{_STRING})[\s,]*)*\]", re.DOTALL)


def _cell(value: Any) -> Any:
    """The list of texts or turns that a cell holds as Python, NumPy or JSON write it; any other cell as it is."""
    text = value.strip() if isinstance(value, str) else ""
    if not text.startswith("[") or not text.endswith("]"):
        return value
    if _LIST.fullmatch(text):  # NumPy writes no commas, and Python would take its texts for one
        found = [_literal(part) for part in re.findall(_STRING, text, re.DOTALL)]
        return value if None in found else found
    found = parse_json(text)
    found = _literal(text) if isinstance(found, RowError) else found
    return found if isinstance(found, list) and all(isinstance(part, str | Mapping) for part in found) else value


def _literal(text: str) -> Any:
    """A value as Python writes it; None where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
