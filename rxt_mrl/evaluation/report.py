"""Results as a table in the terminal and as ``retention.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ..display import table
from ..errors import UserError
from ..runs import RunDir, write_json
from ..texts import counted

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""``Retention.to_json()`` by stage and by data source; stages in their order, the main source first."""


def write_retention(run: RunDir, results: Results, *, target: Mapping[str, Any] | None = None) -> Path:
    """Write ``evaluation/retention.json``; its layout is that of :func:`joined`.

    Args:
        run: where to.
        results: of every stage.
        target: what was measured.

    Raises:
        UserError: when there is no result.
    """
    path = run.evaluation_dir / "retention.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, joined(results, target=target))
    return path


def joined(
    results: Results, *, target: Mapping[str, Any] | None = None, partial: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """What ``retention.json`` holds: the last stage's result of the main source, then all results under ``stages``.

    The result of a stage for a source is ``stages[stage]["sources"][source]``. The results by dialogue are kept for
    the last stage and the one before it.

    Args:
        results: of every stage.
        target: what was measured: name, kind, parameters.
        partial: ``answered`` and ``of``, if the evaluation was interrupted.
    """
    if not results:
        raise UserError("evaluation: there is no result to write")
    names = list(results)
    main, result = next(iter(results[names[-1]].items()))
    return {
        **result,
        "target": target,
        "partial": partial,
        "source": main,
        "stages": {
            name: {"sources": {source: _kept(found, name in names[-2:]) for source, found in sources.items()}}
            for name, sources in results.items()
        },
    }


def _kept(result: Mapping[str, Any], by_dialogue: bool) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "by_dialogue" or by_dialogue}


_COLUMNS = (
    ("recall", "recall"),
    ("95 %", "recall_ci95"),
    ("wiped", "recall_wiped"),
    ("swapped", "recall_swapped"),
    ("told\nfirst", "recall_told_first"),
    ("told\nlater", "recall_told_later"),
)


def retention_table(results: Results, title: str | None = None) -> Table:
    """One row per stage, those of one data source together; shares in percent, the score from 0 to 10.

    Args:
        results: of every stage.
        title: of the table; None: says what was answered.
    """
    sources = list(dict.fromkeys(source for found in results.values() for source in found))
    if title is None and results:
        last = next(iter(list(results.values())[-1].values()))
        said = f"{counted(last['episodes'], 'held-out dialogue')} of {counted(last['steps'], 'step')}"
        title = f"Fact recall, %, on {said}: {', '.join(sources)}"
    names = (name for name, _ in _COLUMNS)
    made = table("after stage", *names, "score\n0-10", "PPL", "tokens\nright", title=title)
    for source in sources:
        if len(sources) > 1:
            made.add_section()
            made.add_row(Text(source, style="bold"))
        for stage, found in results.items():
            if source in found:
                made.add_row(stage, *_cells(found[source]))
    return made


def _cells(result: Mapping[str, Any]) -> list[str]:
    return [
        *(_percent(result.get(key)) for _, key in _COLUMNS),
        "-" if result.get("score_mean") is None else f"{result['score_mean']:.2f}",
        "-" if result["ppl"] is None else f"{result['ppl']:.2f}" if result["ppl"] < 100 else f"{result['ppl']:.3g}",
        _percent(result["accuracy"]),
    ]


def _percent(value: float | list[float] | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"{100 * value[0]:.1f}-{100 * value[1]:.1f}"
    return f"{100 * value:.1f}"
