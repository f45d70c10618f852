"""What a caller may hand over in place of settings: a path, a mapping, a data set, rows or dialogues that it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...contracts import Dialogue
from ...errors import UserError
from ...settings import validate
from ..schema import rows_of_table
from .kinds import settings_of
from .rows import Record
from .settings import DataSettings

Given = DataSettings | Mapping[str, Any] | str | Path | Iterable[Dialogue | Mapping[str, Any] | str]
"""Settings, also as a mapping; what ``rxt-mrl data`` reads; or rows: a ``datasets.Dataset`` or ``DatasetDict``, a
table of pandas, a mapping of columns, dialogues."""


def source_of(given: Given, split: str) -> tuple[DataSettings, Iterator[Record] | None]:
    """The settings of a source; and its rows, where the caller has them already.

    Args:
        given: see :data:`Given`.
        split: of a data set with several.

    Raises:
        UserError: for something else, wrong settings, or a split that is not there.
    """
    if isinstance(given, DataSettings):
        return given, None
    if isinstance(given, str | Path):
        return settings_of(given), None
    name = type(given).__name__
    rows: Any = given
    if isinstance(given, Mapping) and name.endswith("DatasetDict"):
        if split not in given:
            raise UserError(f"data: the {name} has no split {split!r}; it has: {', '.join(map(str, given))}")
        rows = given[split]
    elif isinstance(given, Mapping) and "query" not in given and "text" not in given:
        return validate(DataSettings, dict(given), "data"), None
    elif isinstance(given, Mapping):
        rows = _of_columns(given)
    elif isinstance(given, bytes) or not isinstance(given, Iterable):
        raise UserError(
            f"data: got a {name}; allowed: settings, a path, a mapping of settings, a Dataset, rows or dialogues"
        )
    settings = DataSettings().model_copy(update={"source": name})
    return settings, (Record(name, number, row) for number, row in enumerate(rows_of_table(rows), start=1))


def _of_columns(given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows of a mapping of columns; a row alone is one row."""
    if isinstance(given.get("query", given.get("text")), str):
        return [given]
    lengths = {name: len(column) if isinstance(column, Sequence) else 0 for name, column in given.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(
            f"data: the columns differ in length: {', '.join(f'{n} {size}' for n, size in lengths.items())}"
        )
    return [dict(zip(given, values, strict=True)) for values in zip(*given.values(), strict=True)]
