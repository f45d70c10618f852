"""Results as a table in the terminal and as ``retention.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from ..errors import UserError
from ..runs import RunDir, write_json


def write_retention(run: RunDir, results: Mapping[str, Mapping[str, Any]], *, name: str = "retention.json") -> Path:
    """Write ``evaluation/retention.json``: the last result at the top level, all of them under ``stages``.

    Args:
        run: where to.
        results: ``Retention.to_json()`` of every stage, in their order.
        name: of the file.

    Raises:
        UserError: when there is no result.
    """
    path = run.evaluation_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, joined(results))
    return path


def joined(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What ``retention.json`` holds; the results by dialogue are kept for the last stage and the one before it."""
    if not results:
        raise UserError("evaluation: there is no result to write")
    names = list(results)
    return {
        **results[names[-1]],
        "stages": {
            name: {key: value for key, value in result.items() if key != "by_dialogue" or name in names[-2:]}
            for name, result in results.items()
        },
    }


_COLUMNS = (
    ("recall", "recall"),
    ("95 %", "recall_ci95"),
    ("wiped", "recall_wiped"),
    ("swapped", "recall_swapped"),
    ("told first", "recall_told_first"),
    ("told later", "recall_told_later"),
)


def retention_table(results: Mapping[str, Mapping[str, Any]], title: str | None = None) -> Table:
    """One row per stage; shares in percent, the score from 0 to 10.

    Args:
        results: ``Retention.to_json()`` of every stage.
        title: of the table; None: says what was played.
    """
    if title is None and results:
        last = list(results.values())[-1]
        title = f"Fact recall on {last['episodes']} held-out dialogues of {last['steps']} steps"
    table = Table(title=title)
    table.add_column("after stage")
    for heading in (*(name for name, _ in _COLUMNS), "score (min - max)", "PPL", "accuracy"):
        table.add_column(heading, justify="right")
    for stage, result in results.items():
        table.add_row(
            stage,
            *(_percent(result.get(key)) for _, key in _COLUMNS),
            _score(result),
            "-" if result["ppl"] is None else f"{result['ppl']:.2f}",
            _percent(result["accuracy"]),
        )
    return table


def _percent(value: float | list[float] | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"{100 * value[0]:.1f} - {100 * value[1]:.1f}"
    return f"{100 * value:.1f}"


def _score(result: Mapping[str, Any]) -> str:
    if result.get("score_mean") is None:
        return "-"
    return f"{result['score_mean']:.2f} ({result['score_min']:.1f} - {result['score_max']:.1f})"
