"""What a layout needs of a row, a list or a name; anything else makes it a bad row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..rows import Record, RowError
from ..tally import Tally


def list_of(value: Any, name: str) -> Sequence[Any]:
    """A list; an empty one where there is none.

    Raises:
        RowError: it is something else.
    """
    if value is not None and not isinstance(value, list | tuple):
        raise RowError(f"'{name}' is {type(value).__name__}, a list is needed")
    return value or ()


def id_of(row: Mapping[str, Any], column: str) -> str | int | float | None:
    """What names a row, or another row in it; None where the column is missing or empty.

    Raises:
        RowError: it is something else.
    """
    value = row.get(column)
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str | int | float):
        raise RowError(f"'{column}' is {type(value).__name__}, a text or a number is needed")
    return value


def needed_id(row: Mapping[str, Any], column: str, without: str) -> str | int | float:
    """What names a row.

    Args:
        row: the row.
        column: of the name.
        without: what a row without it is, for the message.

    Raises:
        RowError: there is none.
    """
    value = id_of(row, column)
    if value is None:
        raise RowError(f"'{column}' is empty: {without}")
    return value


def bad_turn(record: Record, problem: RowError) -> Record:
    """A row that is one turn, and cannot be used."""
    return replace(record, value=problem, tally=Tally(read=1))  # the report drops it, with its reason
