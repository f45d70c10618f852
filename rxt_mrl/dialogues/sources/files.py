"""Reading rows from files and from the Hub, every row with its number.

Tables are read as Arrow batches: those of the Hub by ``datasets``, local files by ``pyarrow``, streamed, so that
nothing is copied to a cache and a file's name is a name, never a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ...seeding import key
from .line_files import first_line as _first_line
from .opening import suffix_of
from .recognize import foreign
from .rows import FileError, Record, RowError

if TYPE_CHECKING:  # `datasets` takes a second to import: the readers do it when they are called
    import pyarrow as pa

BATCH = 1000
"""Rows converted to Python at a time."""

SPLIT_WORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev"),
    "supervised": ("supervised",),
}
"""Words in file and folder names that mark a split."""

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "arrow": (".arrow",),
    "chat": (".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".txt", ".csv", ".tsv"),
    "babi": (".txt",),
    "tinystories": (".txt",),
}
"""Which files belong to which local source; text files may also be packed with gzip (``.json.gz``)."""


# --- which files -----------------------------------------------------------------------------------------------------


def find_files(
    path: str | Path, source: str, split: str, *, theirs: str | None = None, config: str | None = None
) -> list[Path]:
    """The files of a split, sorted: a single file is ``train``; in a folder the names of files and folders tell.

    Args:
        path: a file, or a folder (Hub layout ``config/split-00000-of-00001.parquet``, ``data/split-*``, or plain
            ``split.jsonl``).
        source: the kind, which decides on the suffix.
        split: ``train``, ``validation`` or ``supervised``.
        theirs: the split's name in the data, or a file pattern relative to the folder; None: the usual words.
        config: the sub-set (a folder's name, ``steps-8``).

    Raises:
        UserError: nothing there, no such split, or several sub-sets to choose from.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f"data: path '{path}' does not exist")
    if path.is_file():
        if theirs not in (None, "train") or (split != "train" and theirs is None):
            raise UserError(
                f"data: '{path}' is a single file, so it has no split '{theirs or split}' "
                f"(set holdout for a validation share, splits: {{{split}: train}} to use all of it, or name a folder)"
            )
        return [path]
    if theirs and (path / theirs).is_file():
        return [path / theirs]
    if theirs and re.search(r"[*?\[./]", theirs):
        try:
            files = sorted(found for found in path.glob(theirs) if found.is_file())
        except (ValueError, NotImplementedError) as error:
            raise UserError(f"data: '{theirs}' is no file pattern inside of '{path}' ({error})") from error
        if not files:
            raise UserError(f"data: no file in '{path}' matches '{theirs}' (splits: {split})")
        return files
    suffixes = SUFFIXES[source]
    files = sorted(found for found in path.rglob("*") if found.is_file() and suffix_of(found) in suffixes)
    # save_to_disk and the Hub keep descriptions beside the data
    files = [found for found in files if not is_description(found)]
    if not files:
        raise UserError(f"data: no {' or '.join(suffixes)} file in '{path}'")
    files = _of_config(files, path, config)
    splits = _by_split(files, path)
    wanted = theirs or split
    if wanted not in splits:
        there = ", ".join(sorted(splits))
        raise UserError(f"data: '{path}' has no split '{wanted}'; it has: {there} (map ours to theirs with splits)")
    return splits[wanted]


def is_description(file: Path) -> bool:
    """Whether a file stands beside data and is none."""
    name = file.name.upper()
    return name.startswith(("LICENSE", "LICENCE", "README")) or name in (
        "STATE.JSON", "DATASET_INFO.JSON", "DATASET_INFOS.JSON", "DATASET_DICT.JSON",
    )  # fmt: skip


def _words(path: Path) -> list[str]:
    return re.split(r"[^a-z0-9]+", path.as_posix().lower())


def _split_of(relative: Path) -> str | None:
    """The split that a file belongs to by its name or else by its folder's; None where nothing tells."""
    for part in (Path(relative.stem), *relative.parents):
        words = _words(part)
        for split, names in SPLIT_WORDS.items():
            if any(name in words for name in names):
                return split
        if "test" in words or "tst" in words:
            return "test"
    return None


def _by_split(files: Iterable[Path], root: Path) -> dict[str, list[Path]]:
    found: dict[str | None, list[Path]] = {}
    for file in files:
        found.setdefault(_split_of(file.relative_to(root)), []).append(file)
    unnamed = found.pop(None, [])
    if not found:
        return {"train": unnamed}
    return {str(split): names for split, names in found.items()}


def _of_config(files: list[Path], root: Path, config: str | None) -> list[Path]:
    def subset(file: Path) -> str:
        parts = [part for part in file.relative_to(root).parts[:-1] if part != "data" and _split_of(Path(part)) is None]
        return "/".join(parts)

    by_name: dict[str, list[Path]] = {}
    for file in files:
        by_name.setdefault(subset(file), []).append(file)
    if config is not None:
        if config not in by_name:
            there = ", ".join(sorted(name for name in by_name if name)) or "none"
            raise UserError(f"data: '{root}' has no config '{config}'; it has: {there}")
        return by_name[config]
    if len(by_name) > 1:
        raise UserError(f"data: '{root}' has several sub-sets, set config to one of: {', '.join(sorted(by_name))}")
    return files


# --- tables ----------------------------------------------------------------------------------------------------------


def table_records(place: str, tables: Iterable[pa.Table]) -> Iterator[Record]:
    """Rows of Arrow tables as records; a row that is not UTF-8 or a file that breaks off becomes a bad record."""
    import pyarrow as pa

    number = 0
    batches = iter(tables)
    while True:
        try:
            table = next(batches)
        except StopIteration:
            return
        except (pa.ArrowException, OSError, ValueError) as error:
            yield Record(place, number + 1, FileError(f"the file cannot be read from here on ({_first_line(error)})"))
            return
        if twice := twice_in(table.column_names):
            yield Record(place, number + 1, FileError(f"there are two columns '{twice}'"))
            return
        for row in _python_rows(table):
            number += 1
            yield Record(place, number, row)


def twice_in(names: Sequence[str]) -> str | None:
    """The first name that is there more than once."""
    return next((name for name in names if names.count(name) > 1), None)


def _python_rows(table: pa.Table) -> Iterable[Any]:
    try:
        return table.to_pylist()
    except (ValueError, OverflowError):  # bytes that are not UTF-8, a date outside of time
        return [_python_row(table.slice(index, 1)) for index in range(table.num_rows)]


def _python_row(table: pa.Table) -> Any:
    try:
        return table.to_pylist()[0]
    except UnicodeDecodeError as error:
        return RowError(f"not UTF-8 ({error.reason})")
    except (ValueError, OverflowError) as error:
        return RowError(f"not readable ({_first_line(error)})")


def parquet_records(files: Iterable[Path]) -> Iterator[Record]:
    """Rows of parquet files, streamed."""
    for file in files:
        yield from _table_file(file, "parquet", _parquet)


def arrow_records(files: Iterable[Path]) -> Iterator[Record]:
    """Rows of Arrow files (stream or file format, also a ``save_to_disk`` folder's), streamed."""
    for file in files:
        yield from _table_file(file, "Arrow", _arrow)


def _table_file(file: Path, kind: str, read: Callable[[Path], Iterator[pa.RecordBatch]]) -> Iterator[Record]:
    """Rows of one file; of what is not of this kind, or lost its end, one bad record that says what it is."""
    import pyarrow as pa

    batches = read(file)
    try:
        first = next(batches, None)
    except (pa.ArrowException, OSError, ValueError) as error:
        empty = file.stat().st_size == 0
        what = None if empty else foreign(file)
        reason = "the file is empty" if empty else f"truncated or not {kind} ({_first_line(error)})"
        yield Record(file.name, 1, FileError(f"the file is {what}" if what and kind not in what else reason))
        return
    if first is not None:
        yield from table_records(file.name, map(_table, chain([first], batches)))


def _table(batch: pa.RecordBatch) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches([batch])


def _parquet(file: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        yield from opened.iter_batches(BATCH)


def _arrow(file: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    with pa.OSFile(str(file)) as opened:
        try:
            batches: Any = pa.ipc.open_stream(opened)
        except pa.ArrowInvalid:
            opened.seek(0)
            found = pa.ipc.open_file(opened)
            batches = map(found.get_batch, range(found.num_record_batches))
        yield from batches


def hub_records(
    name: str, *, split: str, config: str | None = None, revision: str | None = None, streaming: bool = False
) -> Iterator[Record]:
    """Rows of a data set on the Hub (or of a local copy of its repository).

    Raises:
        UserError: no such data set, config or split, or the Hub cannot be reached.
    """
    import datasets

    place = f"{name}/{config}" if config else name
    if re.search(r"[*?\[\]]", name):
        raise UserError(
            f"data: hub:{name}: a name on the Hub, or a local copy's, has no {re.findall(r'[*?[]|]', name)[0]}"
        )
    try:
        data = datasets.load_dataset(name, config, split=split, revision=revision, streaming=streaming)
    except ConnectionError as error:
        raise UserError(f"data: the Hub cannot be reached for '{place}' ({_first_line(error)})") from error
    except Exception as error:  # a data set's folder can hold anything, and the library raises what it meets
        raise UserError(f"data: cannot load '{place}' [{split}]: {_first_line(error)}") from error
    yield from table_records(place, data.with_format("arrow").iter(BATCH))


# --- splits ----------------------------------------------------------------------------------------------------------


def hold_out(records: Iterable[Record], share: float, *, validation: bool) -> Iterator[Record]:
    """The records of the validation share, or the others; the same rows each time, whatever the order of reading."""
    for record in records:
        held = key("holdout", record.place, record.number) / 2**63 < share
        if held == validation:
            yield record
