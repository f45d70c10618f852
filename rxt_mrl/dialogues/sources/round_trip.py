"""What was read, written as parquet in the published schema, and compared with what comes back."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...contracts import Dialogue
from ...errors import UserError
from ..schema import to_dataset
from .kinds import Content
from .load import load_dialogues, load_pairs, load_texts
from .settings import DataSettings


def round_trip(items: list[Any], content: Content, split: str, folder: Path | None = None) -> Path | None:
    """Write dialogues, pairs or texts as parquet in the published schema, read them back and compare.

    Returns:
        The file, or None where no folder was given (a temporary one is used).

    Raises:
        UserError: the file is there already, the folder cannot be written, or they come back different.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            _write_and_compare(items, content, Path(temporary) / f"{split}.parquet")
        return None
    path = folder / f"{split}.parquet"
    if path.exists():
        raise UserError(f"data: '{path}' is there already; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"data: cannot make folder '{folder}' ({error.strerror})") from error
    _write_and_compare(items, content, path)
    return path


def _write_and_compare(items: list[Any], content: Content, path: Path) -> None:
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        _table(items, content).to_parquet(str(path))
    except OSError as error:
        raise UserError(f"data: cannot write '{path}' ({error.strerror})") from error
    finally:
        if shown:
            datasets.enable_progress_bars()
    settings = DataSettings(source="parquet", path=str(path))
    if content == "dialogues":
        doubts = logging.getLogger(load_dialogues.__module__)  # were told when the data was read
        level = doubts.level
        doubts.setLevel(logging.ERROR)
        try:
            back: list[Any] = load_dialogues(settings).dialogues
        finally:
            doubts.setLevel(level)
    else:
        back = load_pairs(settings) if content == "pairs" else load_texts(settings)
    written = [_written(item) for item in items]
    if back != written:
        row = next((row for row, pair in enumerate(zip(written, back, strict=False), 1) if pair[0] != pair[1]), 0)
        raise UserError(f"data: '{path}' does not read back as it was written (row {row or 'count'})")


def _written(item: Any) -> Any:
    """What of a dialogue is written: the columns of the published schema."""
    if not isinstance(item, Dialogue):
        return item
    return replace(item, columns={}, interactions=tuple(replace(turn, columns={}) for turn in item.interactions))


def _table(items: list[Any], content: Content) -> Any:
    from datasets import Dataset

    if content == "dialogues":
        return to_dataset(items)
    if content == "texts":
        return Dataset.from_dict({"text": items})
    return Dataset.from_dict({"query": [query for query, _ in items], "answer": [answer for _, answer in items]})
