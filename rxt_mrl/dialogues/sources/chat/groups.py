"""Rows that are one turn each, put together to conversations by the column that names these."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from ..rows import Passed, Record, RowError
from .checks import bad_turn, needed_id
from .names import GROUPS, ORDERS, named, turn_keys
from .options import ChatOptions
from .trees import grow


def grouped(records: Iterable[Record], options: ChatOptions) -> Iterator[Record]:
    """The records as they are, or, where each row is one turn, one record for each conversation.

    Rows with the same conversation (``conversation_id``, ``message_tree_id``) go together, in the order of their number
    (``turn_id``) or else of the file; rows that name their parents grow to trees. A row of no conversation is bad.
    """
    records = iter(records)
    before: list[Record] = []
    for record in records:
        before.append(record)
        if not isinstance(record.value, RowError | Passed):
            break
    column = group_column(before[-1].value) if before and options.layout is None and options.turns is None else None
    if column is None:
        yield from chain(before, records)
        return
    conversations: dict[str, list[Record]] = {}
    for record in chain(before, records):
        if isinstance(record.value, RowError | Passed) or not isinstance(record.value, Mapping):
            yield record
            continue
        try:
            name = needed_id(record.value, column, "the row belongs to no conversation")
        except RowError as error:
            yield bad_turn(record, error)
        else:
            conversations.setdefault(str(name), []).append(record)
    for members in conversations.values():
        if "parent_id" in members[0].value:
            yield from grow(members)
        else:
            yield replace(members[0], value={"turns": _ordered([record.value for record in members])})


def group_column(row: Any) -> str | None:
    """The column of the conversation, where a row is one turn; None where it is more."""
    if not isinstance(row, Mapping):
        return None
    keys = turn_keys(row)
    column = named(row, GROUPS)
    if keys is None or column is None or not isinstance(row.get(keys[1]), str):
        return None
    return column if isinstance(row[column], str | int | None) else None


def _ordered(rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    column = named(rows[0], ORDERS)
    if column is None or not all(re.fullmatch(r"\d{1,15}(\.0)?", str(row.get(column))) for row in rows):
        return rows
    return sorted(rows, key=lambda row: float(row[column]))
