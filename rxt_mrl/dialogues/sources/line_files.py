"""Reading text files, packed with gzip or not: lines of UTF-8, JSON lines, JSON arrays, JSON objects that hold rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import UserError
from .opening import BROKEN, opened, suffix_of
from .recognize import foreign
from .rows import FileError, Record, RowError

CONTAINERS = ("data", "rows", "dialogues", "dialogs", "conversations", "examples", "instances", "samples", "items")
"""Keys under which a JSON object usually holds its rows."""

TURNS = ("interactions", "messages", "conversations", "conversation", "dialog", "dialogue", "turns")
"""Keys under which a row usually holds its turns: a list of such is no conversation, but rows."""


NUMBER = re.compile(r"\d{1,9}")
"""A whole number that a line begins with or refers to; ``str.isdigit`` takes a superscript, which ``int`` refuses."""


def lines_of(file: Path) -> Iterator[tuple[int, str | RowError]]:
    """Numbered lines of a UTF-8 text file; a line that is not UTF-8 is a :class:`RowError`."""
    number = 0
    try:
        if what := foreign(file):
            yield 1, FileError(f"the file is {what}")
            return
        with opened(file) as stream:
            for number, raw in enumerate(stream, start=1):
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    yield number, RowError(f"not UTF-8 (byte {error.start + 1} of the line)")
    except BROKEN as error:
        yield number + 1, FileError(f"the gzip file breaks off ({first_line(error)})")
    except OSError as error:
        raise UserError(f"data: cannot read '{file}' ({error.strerror or error})") from error


def json_records(files: Iterable[Path], rows: str | None = None) -> Iterator[Record]:
    """Objects of JSON-lines files by line number (blank lines are passed over); those of a JSON array, or of the list
    inside of one top-level object, by position, whatever the file's suffix.

    Args:
        files: all of them UTF-8.
        rows: where in an object the list lies, dotted (``data.paragraphs``); None: seen from the object.

    Raises:
        UserError: an object has no list there.
    """
    for file in files:
        whole = _whole(file)
        if whole is not None:
            yield from _rows_of(file, whole, rows)
            continue
        for number, line in lines_of(file):
            if isinstance(line, RowError):
                yield Record(file.name, number, line, "line")
            elif line.strip():
                for row in _of_line(parse_json(line)):
                    yield Record(file.name, number, row, "line")


def _of_line(value: Any) -> list[Any]:
    """The row of a line; several where it is an array of them, and not one conversation as a list of turns."""
    rows = isinstance(value, list) and any(
        isinstance(item, Mapping) and not item.keys().isdisjoint(TURNS) for item in value
    )
    return value if rows else [value]


def _whole(file: Path) -> Any:
    """The content of a JSON file that is one value; None for JSON lines, and for what lines can say more about."""
    lines = (line for _, line in lines_of(file) if isinstance(line, RowError) or line.strip())
    first, second = next(lines, None), next(lines, None)
    if not isinstance(first, str) or isinstance(second, RowError):
        return None
    array = first.lstrip().startswith("[") and suffix_of(file) == ".json"
    if not array and _is_json(first) and (second is not None or suffix_of(file) != ".json"):
        return None  # JSON lines
    try:
        with opened(file) as stream:
            return _json(stream.read().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        if suffix_of(file) != ".json":
            return None
        if array or not (second is not None and _is_json(second)):
            return FileError(f"not valid JSON ({first_line(error)}); JSON lines can be read in part")
        return None
    except BROKEN:
        return None
    except OSError as error:
        raise UserError(f"data: cannot read '{file}' ({error.strerror or error})") from error


def _is_json(line: str) -> bool:
    return not isinstance(parse_json(line), RowError)


def _json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_mapping)


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key '{next(name for name in names if names.count(name) > 1)}' is given twice")
    return found


def parse_json(line: str) -> Any:
    """The value of a text; a :class:`RowError` where it is no JSON."""
    try:
        return _json(line)
    except json.JSONDecodeError as error:
        cut = ", the line breaks off" if error.pos >= len(line.rstrip()) or not line.endswith("\n") else ""
        return RowError(f"not valid JSON at column {error.colno} ({error.msg}{cut})")
    except RecursionError:
        return RowError("not valid JSON (nested too deeply)")
    except ValueError as error:  # a number of thousands of digits
        return RowError(f"not valid JSON ({first_line(error)})")


# --- the rows of one value -------------------------------------------------------------------------------------------


def _rows_of(file: Path, value: Any, rows: str | None) -> Iterator[Record]:
    if isinstance(value, RowError):
        yield Record(file.name, 1, value)
        return
    found = _under(file, value, rows) if rows is not None else rows_in(value)
    for number, row in enumerate(found, start=1):
        yield Record(file.name, number, row)


def _under(file: Path, value: Any, path: str) -> list[Any]:
    """The rows under a dotted path; lists on the way are walked through."""
    level = [value]
    for name in path.split("."):
        flat = [item for part in level for item in (part if isinstance(part, list) else [part])]
        level = [item[name] for item in flat if isinstance(item, Mapping) and name in item]
        if not level:
            there = ", ".join(str(key) for item in flat[:1] if isinstance(item, Mapping) for key in item) or "none"
            raise UserError(f"data: {file.name}: no '{name}' on the way to the rows '{path}'; there are: {there}")
    return [row for part in level for row in (part if isinstance(part, list) else [part])]


def rows_in(value: Any) -> list[Any]:
    """The rows of a JSON value: an array's items; of an object the list that it holds, or, where every value is a
    row, these; else the object itself."""
    if isinstance(value, list):
        return value
    if not isinstance(value, Mapping) or not value:
        return [value]
    lists = {str(key): items for key, items in value.items() if _are_rows(items)}
    known = next((name for name in CONTAINERS if name in lists), None)
    if known is not None or (len(lists) == 1 and len(value) <= 4):
        rows = lists[known] if known is not None else next(iter(lists.values()))
        if all("paragraphs" in row for row in rows):  # SQuAD, QuAC
            return [part for row in rows for part in row["paragraphs"]]
        return list(rows)
    parts = list(value.values())
    if all(isinstance(part, Mapping) and any(isinstance(inner, list) for inner in part.values()) for part in parts):
        return parts  # rows by their ids
    return parts if _conversations_by_id(value) else [value]


def _are_rows(items: Any) -> bool:
    """Whether a list holds rows, and not turns of one conversation."""
    return (
        isinstance(items, list)
        and bool(items)
        and all(isinstance(item, Mapping) for item in items)
        and not _is_turn(items[0])
    )


def _conversations_by_id(value: Mapping[str, Any]) -> bool:
    """Whether every value is the turns of one conversation, and the keys are no names of columns."""
    from .chat.names import LISTS

    turns = [isinstance(part, list) and bool(part) and all(map(_is_turn, part)) for part in value.values()]
    return len(turns) > 1 and all(turns) and not {str(key).lower() for key in value} & set(LISTS)


def _is_turn(item: Any) -> bool:
    from .chat.names import pair_of, turn_keys  # the rows of a conversation are known by their keys

    if not isinstance(item, Mapping) or any(isinstance(part, list | Mapping) and part for part in item.values()):
        return isinstance(item, Mapping) and turn_keys(item) is not None
    return turn_keys(item) is not None or (pair_of(item) is not None and len(item) == 2)


def first_line(error: BaseException) -> str:
    """What an error says, in one line of at most 200 characters."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    return line if len(line) <= 200 else line[:197] + "..."
