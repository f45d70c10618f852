"""Storyworld dialogues as lists, as a ``datasets.Dataset``, and as parquet files in the published schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...contracts import Dialogue
from ...errors import UserError
from ..schema import features, to_dataset, to_row
from .config import Split, StoryworldConfig
from .generator import world

if TYPE_CHECKING:
    from datasets import Dataset

CHUNK = 2_000
"""Dialogues that are in memory at once while a file is written."""


def generate(config: StoryworldConfig, split: Split, index: int, seed: int = 0) -> Dialogue:
    """Dialogue ``index`` of a split: a pure function of its arguments."""
    return world(config).dialogue(split, index, seed)


def dialogues(
    config: StoryworldConfig, episodes: int, split: Split = "train", seed: int = 0, start: int = 0
) -> list[Dialogue]:
    """The dialogues ``start`` to ``start + episodes`` of a split."""
    make = world(config).dialogue
    return [make(split, index, seed) for index in range(start, start + episodes)]


def storyworld(config: StoryworldConfig, episodes: int, split: Split = "train", seed: int = 0) -> Dataset:
    """Dialogues as a ``datasets.Dataset`` in the published schema, with ``asks``."""
    return to_dataset(dialogues(config, episodes, split, seed))


def plain_stories(
    config: StoryworldConfig, count: int, split: Split = "train", seed: int = 0, *, facts: int | None = None
) -> list[str]:
    """Stories as plain texts of ``facts`` facts (None: as many as a first interaction tells), for stage 1."""
    make = world(config).story
    return [make(split, index, seed, facts=facts) for index in range(count)]


def pairs(
    config: StoryworldConfig, count: int, split: Split = "train", seed: int = 0, *, facts: int = 2
) -> list[tuple[str, str]]:
    """(query, answer) pairs: the query tells ``facts`` facts and asks for one of them; for stage 2."""
    make = world(config).pair
    return [make(split, index, seed, facts=facts) for index in range(count)]


def write(
    config: StoryworldConfig,
    episodes: int,
    out_dir: str | Path,
    *,
    validation: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Write ``train.parquet`` and ``validation.parquet``, which ``datasets.load_dataset(out_dir)`` reads.

    Args:
        config: the knobs.
        episodes: dialogues of the train split.
        out_dir: a directory; it is made.
        validation: dialogues of the validation split; None: a tenth of ``episodes``, at least one.
        seed: another seed gives other dialogues.
        overwrite: replace files that are there.

    Returns:
        The path of each split's file.

    Raises:
        UserError: no episodes, or a file is there already.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if episodes < 1:
        raise UserError(f"episodes {episodes} is too few: at least 1")
    if validation is not None and validation < 1:
        raise UserError(f"validation {validation} is too few: at least 1")
    directory = Path(out_dir)
    counts: dict[Split, int] = {
        "train": episodes,
        "validation": max(1, episodes // 10) if validation is None else validation,
    }
    paths: dict[str, Path] = {split: directory / f"{split}.parquet" for split in counts}
    for path in paths.values():
        if path.exists() and not overwrite:
            raise UserError(f"{path} exists already; choose another directory or overwrite")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror}") from error
    schema = features().arrow_schema
    for split, count in counts.items():
        part = paths[split].with_suffix(".part")
        with pq.ParquetWriter(part, schema) as writer:
            for start in range(0, count, CHUNK):
                made = dialogues(config, min(CHUNK, count - start), split, seed, start)
                writer.write_table(pa.Table.from_pylist([to_row(item) for item in made], schema=schema))
        part.replace(paths[split])
    return paths
