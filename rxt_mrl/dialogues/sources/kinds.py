"""What a word on the command line stands for: a source, or a file whose suffix and first rows tell what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ...contracts import Dialogue
from ...errors import UserError
from ...settings import validate
from ...yaml12 import read
from .chat import ChatOptions, detect
from .chat.groups import group_column
from .chat.text_files import kind_of_text
from .chat.text_files import records as chat_files
from .files import SUFFIXES, is_description
from .line_files import lines_of
from .opening import suffix_of
from .recognize import foreign
from .rows import Columns, Record, RowError
from .settings import BUILT_IN, LOCAL, DataSettings

Content = Literal["dialogues", "pairs", "texts", "conversations"]

LOOKED_AT = 20
"""Rows that tell what a file holds."""

CHAT_COLUMNS = ("turns", "role", "content", "rows")
"""Names that ``--columns`` may give for conversations, beside those of the published schema."""

_TABLES = {".parquet": "parquet", ".arrow": "arrow", ".json": "jsonl", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def settings_of(
    source: str | Path, *, kind: str | None = None, columns: Mapping[str, str] | None = None, **changes: Any
) -> DataSettings:
    """The settings that a word on the command line stands for.

    ``storyworld``; ``kind:path`` (``babi:tasks/en``, ``hub:owner/name``, ``hub:owner/name/config``); a plug-in; a YAML
    file with one entry of a recipe's data section; or a file or folder, whose kind its suffixes and its first rows
    tell.

    Args:
        source: the word.
        kind: which source reads a file or folder; None: see above.
        columns: names of columns, ours to theirs; of conversations also ``turns``, ``role``, ``content``, ``rows``.
        changes: other keys of the settings; those that a YAML file gives go first.

    Raises:
        UserError: one line: neither a source nor a path, no reader for it, or wrong settings.
    """
    text = str(source)
    if not text:
        raise UserError("data: a source is named by a string, got ''")
    path = Path(text).expanduser()
    names, chat = _named_columns(columns or {})
    if kind is not None and kind not in LOCAL:
        raise UserError(f"data: --kind {kind}: unknown; allowed: {', '.join(LOCAL)}")
    if chat:
        kind = kind or "chat"
    if re.match(r"[a-z][a-z0-9+.-]*://", text):
        raise UserError(f"data: '{text}' is an address: download the file and name it, or a data set as hub:OWNER/NAME")
    head, colon, rest = text.partition(":")
    if colon and not rest and head in BUILT_IN:
        raise UserError(f"data: '{text}' names nothing; give {head}:{'OWNER/NAME' if head == 'hub' else 'PATH'}")
    if head in BUILT_IN:
        content: dict[str, Any] = {"source": text}
        if text.startswith("hub:"):
            name = text.removeprefix("hub:")
            sub_set = re.fullmatch(r"([^/]+/[^/]+)/([^/]+)", name)
            content = {"source": f"hub:{sub_set[1]}", "config": sub_set[2]} if sub_set else content
            if kind == "chat":
                content |= {"source": kind, "name": sub_set[1] if sub_set else name}
    elif path.suffix in (".yaml", ".yml") and path.is_file():
        content = read(path, "a source is a mapping with the key source")
    elif path.exists():
        content = {"source": kind or kind_of_path(path, Columns(**names)), "path": str(path)}
    elif ":" not in text and (len(path.parts) > 1 or path.suffix):
        raise UserError(f"data: '{text}' does not exist; a source is a file or folder, or: {', '.join(BUILT_IN)}")
    else:
        content = {"source": text}
    given = {key: value for key, value in changes.items() if value is not None}
    given |= {"columns": names} if names else {}
    given |= {"options": chat} if chat else {}
    return validate(DataSettings, {**given, **content}, "data")


def _named_columns(columns: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The names for rows of the schema, and those for conversations."""
    unknown = [name for name in columns if name not in (*Columns.model_fields, *CHAT_COLUMNS)]
    if unknown:
        allowed = ", ".join((*Columns.model_fields, *CHAT_COLUMNS))
        raise UserError(f"data: --columns {unknown[0]}={columns[unknown[0]]}: unknown name; allowed: {allowed}")
    rows = {ours: theirs for ours, theirs in columns.items() if ours in Columns.model_fields}
    return rows, {ours: theirs for ours, theirs in columns.items() if ours in CHAT_COLUMNS}


def kind_of_path(path: Path, columns: Columns | None = None) -> str:
    """Which local source reads a file or a folder.

    Raises:
        UserError: none does, or several could.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    kinds: dict[str, Path] = {}
    seen = set[str]()
    for file in files:
        suffix = suffix_of(file)
        if suffix not in SUFFIXES["chat"] or is_description(file) or (suffix in seen and suffix != ".txt"):
            continue
        seen.add(suffix)
        kinds.setdefault(_kind_of_file(file, suffix, columns or Columns()), file)
    if len(kinds) > 1:
        raise UserError(f"data: '{path}' has files of several kinds: {', '.join(kinds)}; name one, for example a file")
    if not kinds:
        if path.is_file() and (what := foreign(path)):
            raise UserError(f"data: '{path}' is {what}")
        allowed = ", ".join(sorted({suffix for group in SUFFIXES.values() for suffix in group}))
        raise UserError(f"data: no data in '{path}'; files may be: {allowed} (text also packed: .gz)")
    return next(iter(kinds))


def _kind_of_file(file: Path, suffix: str, columns: Columns) -> str:
    if suffix == ".txt":
        _, first = next(iter(lines_of(file)), (0, ""))
        if kind_of_text(file) is not None:
            return "chat"
        return "babi" if isinstance(first, str) and first.startswith("1 ") else "tinystories"
    table = _TABLES.get(suffix)
    records = list(islice(chat_files([file], ChatOptions()), LOOKED_AT))
    rows = first_rows(iter(records))
    if table is None and not rows:  # of what has a reader of its own, that one says what is wrong
        raise UserError(f"data: '{file}': {records[0].value if records else 'the file is empty'}")
    named = {getattr(columns, name) for name in columns.model_fields_set & {"query", "answer", "interactions", "text"}}
    seen = {str(key) for row in rows if isinstance(row, Mapping) for key in row}
    if missing := sorted(named - seen):
        raise UserError(f"data: '{file}' has no column '{missing[0]}'; it has: {', '.join(sorted(seen)) or 'none'}")
    content = content_of_rows(rows, columns)
    if table is None and content == "dialogues":
        raise UserError(
            f"data: '{file}': a table has no room for '{columns.interactions}'; save it as JSON lines or parquet"
        )
    if content == "conversations" or (table is None and content is not None):
        return "chat"
    if table is None or (content is None and rows):
        raise UserError(f"data: '{file}': {no_reader(rows)}")
    return table


def first_rows(records: Iterator[Record]) -> list[Any]:
    """The first rows that can be read."""
    return [record.value for record in islice(records, LOOKED_AT) if not isinstance(record.value, RowError)]


def content_of_rows(rows: Sequence[Any], columns: Columns) -> Content | None:
    """What rows are, by their columns; None where nothing fits them."""
    for row in rows:
        if isinstance(row, Dialogue):
            return "dialogues"
        if isinstance(row, str):
            return "texts"
        if group_column(row) is not None:
            return "conversations"
        if isinstance(row, Mapping) and columns.query in row:
            if columns.interactions in row:
                return "dialogues"
            if columns.answer in row and not isinstance(row.get("history"), list):
                return "pairs"
    if detect(rows, ChatOptions()) is not None:
        return "conversations"
    return "texts" if any(isinstance(row, Mapping) and columns.text in row for row in rows) else None


def no_reader(rows: Sequence[Any]) -> str:
    """Why nothing fits the rows, and how to say what they are."""
    first = rows[0] if rows else {}
    there = f"its columns ({', '.join(map(str, first))})" if isinstance(first, Mapping) else f"a {type(first).__name__}"
    return (
        f"no reader fits {there}: name columns with --columns, query=A,answer=B,interactions=C for dialogues, "
        "query=A,answer=B for pairs, text=A for texts, turns=A,role=B,content=C for conversations (rows=A: where an "
        f"object holds them), or the reader with --kind: {', '.join(LOCAL)}"
    )
