"""Results as pictures (PNG): recall by distance with its controls, of one model and stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..display.pictures import CONTROL, MARKED, OTHER, STYLES, Style, figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEY = "recall_by_distance"
_ASIDE = 0.09
_MOST_ASIDE = 0.45
_CONTROLS = (("swapped", OTHER), ("wiped", CONTROL))


def plot_retention(result: Mapping[str, Any], path: Path, title: str = "Retention curve") -> Path:
    """Recall by distance for memory on, swapped and wiped, with the 95 % interval of memory on.

    Args:
        result: ``Retention.to_json()``.
        path: of the PNG.
        title: what was measured: the model, its seed and stage.

    Raises:
        ValueError: when the result has no recall (data without annotated facts).
    """
    if not result.get(_KEY):
        raise ValueError("the result has no recall by distance: the dialogues have no annotated facts")
    made = figure(7.0, 4.4)
    axes = made.add_subplot()
    said = "95 % interval of memory on"
    _curve(axes, result[_KEY], "memory on", STYLES[0], result.get(f"{_KEY}_ci95"), band=said)
    for name, style in _CONTROLS:
        if result.get(f"recall_{name}_by_distance"):
            _curve(axes, result[f"recall_{name}_by_distance"], f"memory {name}", style)
    _titles(axes, title, f"{result['episodes']} held-out dialogues of {result['steps']} steps, greedy answers")
    return _finish(made, axes, path)


def plot_stages(results: Mapping[str, Mapping[str, Any]], path: Path, title: str = "Recall after each stage") -> Path:
    """Recall by distance, one line per stage with its 95 % interval, and the controls of the last; stages without
    recall are left out.

    Args:
        results: ``Retention.to_json()`` by stage.
        path: of the PNG.
        title: what was measured: the model and its seed.

    Raises:
        ValueError: when no stage has recall.
    """
    shown = {name: result for name, result in results.items() if result.get(_KEY)}
    if not shown:
        raise ValueError("no stage has recall by distance: the dialogues have no annotated facts")
    made = figure(8.4, 4.6)
    axes = made.add_subplot()
    aside = min(_ASIDE, _MOST_ASIDE / len(shown))
    for place, (name, result) in enumerate(reversed(shown.items())):  # the last one has the same look in all pictures
        label = f"{name.replace('_', ' ')}: {100 * result['recall']:.1f} %"
        _curve(axes, result[_KEY], label, STYLES[place % len(STYLES)], result.get(f"{_KEY}_ci95"), aside=aside * place)
    last, final = list(shown.items())[-1]
    for name, style in _CONTROLS:
        if final.get(f"recall_{name}_by_distance"):
            label = f"{name} after {last.replace('_', ' ')}: {100 * final[f'recall_{name}']:.1f} %"
            _curve(axes, final[f"recall_{name}_by_distance"], label, style)
    counts = [result["episodes"] for result in shown.values()]
    many = f"{min(counts)} to {max(counts)}" if len(set(counts)) > 1 else f"{counts[0]}"
    _titles(axes, title, f"{many} held-out dialogues of {final['steps']} steps; bars: 95 % intervals")
    return _finish(made, axes, path, beside=True)


def _curve(
    axes: Axes,
    shares: Mapping[str, float],
    label: str,
    style: Style,
    intervals: Mapping[str, Any] | None = None,
    *,
    aside: float = 0.0,
    band: str | None = None,
) -> None:
    """A line; few points are marked, with a bar for the interval of each, many get a band.

    Lines that are drawn ``aside`` of the first one do not hide each other where they are equal.
    """
    points = sorted((int(distance), value) for distance, value in shares.items())
    few = len(points) <= MARKED
    places = [x + (aside if few else 0) for x, _ in points]
    values = [100 * y for _, y in points]
    look: dict[str, Any] = {"color": style.color, "linestyle": style.dashes, "linewidth": 1.6 if few else 1.0}
    axes.plot(places, values, marker=style.marker if few else "", markersize=5, label=label, **look)
    if intervals:
        low, high = ([100 * intervals[str(x)][side] for x, _ in points] for side in (0, 1))
        named: dict[str, Any] = {} if band is None else {"label": band}
        if few:
            axes.vlines(places, low, high, color=style.color, linewidth=1.2, alpha=0.7, **named)
        else:
            axes.fill_between(places, low, high, color=style.color, alpha=0.2, linewidth=0, **named)


def _titles(axes: Axes, title: str, below: str) -> None:
    axes.set_title(f"{title}\n", fontsize=11, loc="left")
    axes.text(0.0, 1.02, below, transform=axes.transAxes, fontsize=8.5, color="#444444")


def _finish(made: Any, axes: Axes, path: Path, *, beside: bool = False) -> Path:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("interactions between telling and asking")
    axes.set_ylabel("fact recall, %")
    axes.set_ylim(-2, 103)
    low, high = axes.dataLim.intervalx
    if high - low < 1:  # one distance: room beside it
        axes.set_xlim(low - 0.5, high + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25)
    handles, labels = axes.get_legend_handles_labels()
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if beside else {"loc": "best"}
    axes.legend(handles, labels, frameon=False, fontsize=8.5, **place)
    return save(made, path)
