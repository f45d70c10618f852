"""What a model was trained on, as an example: a small model answers nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Turns = tuple[tuple[str, str], tuple[str, str]]
"""An interaction that tells something, and one that asks for it: message and answer."""

_LINES = 500


def example(run: Path) -> Turns | None:
    """Two turns of a dialogue that the run's model went through, the first of them where it was right; None: there is
    none.

    Args:
        run: its run directory, whose last evaluation or, without one, rollouts are read.
    """
    found = [*_evaluated(run / "evaluation" / "answers.parquet"), *_played(run / "rollouts")]
    right = [turns for turns, good in found if good]
    return next(iter(right or [turns for turns, _ in found]), None)


def _evaluated(path: Path) -> Iterator[tuple[Turns, bool]]:
    if not path.is_file():
        return
    columns = ["stage", "written_query", "written_answer", "query", "answer", "right"]
    try:
        rows: list[dict[str, Any]] = pq.read_table(path, columns=columns, filters=[("step", "=", 1)]).to_pylist()
    except (pa.ArrowException, OSError):  # damaged, or of another version: only an example is missing
        return
    for row in (row for row in rows if row["stage"] == rows[-1]["stage"]):
        yield ((row["written_query"], row["written_answer"]), (row["query"], row["answer"])), row["right"] == 1


def _played(folder: Path) -> Iterator[tuple[Turns, bool]]:
    for path in sorted(folder.glob("*.jsonl"))[-1:]:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in islice(lines, _LINES):
                try:
                    row = json.loads(line)
                    told = (row["memory_write"]["query"], row["memory_write"]["answer"])
                    if row["step"] == 1:
                        yield (told, (row["query"], row["generated"])), row["reward"] == 1
                except (ValueError, KeyError, TypeError):
                    continue
