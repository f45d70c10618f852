"""How a run learnt, in one picture: what it logged over its updates, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..display.pictures import MARKED, STYLES, Style, figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Mapping[str, Any]
MRL = "mrl"

_SUPERVISED = (
    ("loss, nats per token", 1.0, (("loss", "next token"), ("mlm_loss", "masked token"))),
    ("accuracy, %", 100.0, (("accuracy", "next token"), ("mlm_accuracy", "masked token"))),
)
_MRL = (
    ("reward", 1.0, (("reward_mean", "sampled answers"), ("validation_reward", "validation, greedy"))),
    ("fact recall, %", 100.0, (("recall", "sampled answers"), ("validation_recall", "validation, greedy"))),
    ("entropy, nats per token", 1.0, (("entropy", "policy"),)),
    (
        "KL, nats per token",
        1.0,
        (("approx_kl_last", "to the rollout's policy, before the last step"), ("reference_kl", "to the reference")),
    ),
)
_FLAT = 1e-4
_SMOOTH = 25
"""A mean runs over this part of all points."""


def plot_run(lines: Sequence[Line], path: Path, title: str) -> Path | None:
    """Loss and accuracy of the supervised stages; reward, recall, entropy and KL of MRL with its validation.

    Vertical lines are where a stage begins. What is logged at every update is drawn thin, with its running mean.

    Args:
        lines: of ``metrics.jsonl``.
        path: of the PNG.
        title: which run it is.

    Returns:
        The path; None where nothing was logged.
    """
    sections = list(dict.fromkeys(line["section"] for line in lines))
    taught = _joined(lines, [name for name in sections if name != MRL])
    played = _with_stages([line for line in lines if line["section"] == MRL])
    panels = [
        (axis, scale, kinds, of, marks)
        for wanted, (of, marks) in ((_SUPERVISED, taught), (_MRL, played))
        for axis, scale, kinds in wanted
        if any(line.get(key) is not None for line in of for key, _ in kinds)
    ]
    if not panels:
        return None
    rows = -(-len(panels) // 2)
    made = figure(10.0 if len(panels) > 1 else 5.4, 2.7 * rows + 0.5)
    grid = made.subplots(rows, min(2, len(panels)), squeeze=False).flatten()
    for axes, (axis, scale, kinds, of, marks) in zip(grid, panels, strict=False):
        for (key, label), style in zip(kinds, STYLES, strict=False):
            points = [(line["update"], scale * line[key]) for line in of if line.get(key) is not None]
            if points:
                _draw(axes, points, label, style)
        _mark(axes, marks)
        axes.set_ylabel(axis)
        axes.set_xlabel("updates of MRL" if of is played[0] else "updates of the supervised stages")
        axes.grid(alpha=0.25)
        low, high = axes.get_ylim()
        if high - low < _FLAT:  # rounding, and nothing else
            axes.set_ylim(-_FLAT, _FLAT)
        axes.legend(frameon=False, fontsize=8)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    made.suptitle(title, fontsize=11)
    return save(made, path)


def _joined(lines: Sequence[Line], sections: Sequence[str]) -> tuple[list[Line], list[tuple[float, str]]]:
    """Lines of several sections one after the other, and where each begins."""
    joined, marks, start = list[Line](), list[tuple[float, str]](), 0
    for name in sections:
        mine = [line for line in lines if line["section"] == name]
        marks.append((start, name.replace("_", " ")))
        said = any(key in line for line in mine for key in ("accuracy", "mlm_accuracy"))  # else it is no loss of tokens
        joined += [{**line, "update": start + line["step"], **({} if said else {"loss": None})} for line in mine]
        start += max(line["step"] for line in mine)
    return joined, marks


def _with_stages(lines: Sequence[Line]) -> tuple[list[Line], list[tuple[float, str]]]:
    """Lines of MRL, and where each stage of the curriculum begins."""
    marks: dict[int, float] = {}
    for line in lines:
        if line.get("stage") is not None:
            marks.setdefault(int(line["stage"]), line["step"] - 1)
    named = [(start, f"stage {number}") for number, start in marks.items()]
    return [{**line, "update": line["step"]} for line in lines], named


def _draw(axes: Axes, points: Sequence[tuple[float, float]], label: str, style: Style) -> None:
    places, values = (np.array(part, dtype=float) for part in zip(*points, strict=True))
    if len(points) <= MARKED:
        axes.plot(places, values, style.dashes, color=style.color, marker=style.marker, markersize=4, label=label)
        return
    window = max(2, len(points) // _SMOOTH)
    mean = np.convolve(values, np.ones(window) / window, mode="valid")
    axes.plot(places, values, color=style.color, linewidth=0.6, alpha=0.35)
    middle = places[window // 2 :][: len(mean)]
    axes.plot(middle, mean, style.dashes, color=style.color, linewidth=1.8, label=label)


def _mark(axes: Axes, marks: Sequence[tuple[float, str]]) -> None:
    for start, name in marks if len(marks) > 1 else ():
        axes.axvline(start, color="#444444", linewidth=0.8, linestyle=":")
        axes.annotate(
            name, (start, 1.0), xycoords=("data", "axes fraction"), xytext=(2, -2), textcoords="offset points",
            fontsize=7, color="#444444", rotation=90, va="top",
        )  # fmt: skip
