"""Results as pictures (PNG)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MODES = (
    ("memory on", "recall_by_distance", "#1f6fb4", "o-"),
    ("swapped", "recall_swapped_by_distance", "#c8632b", "s--"),
    ("wiped", "recall_wiped_by_distance", "#7a7a7a", "^:"),
)


def plot_retention(result: Mapping[str, Any], path: Path, title: str = "Retention curve") -> Path:
    """Recall by distance for memory on, swapped and wiped; the band is the 95 % interval of memory on.

    Args:
        result: ``Retention.to_json()``.
        path: of the PNG.
        title: above the curve.

    Raises:
        ValueError: when the result has no recall (data without annotated facts).
    """
    if not result.get("recall_by_distance"):
        raise ValueError("the result has no recall by distance: the dialogues have no annotated facts")
    figure, axes = _figure()
    for label, key, colour, style in _MODES:
        if result.get(key):
            _curve(axes, result[key], label, colour, style)
    band = result.get("recall_by_distance_ci95") or {}
    distances = sorted(int(distance) for distance in band)
    low, high = ([band[str(distance)][side] for distance in distances] for side in (0, 1))
    axes.fill_between(distances, low, high, color=_MODES[0][2], alpha=0.15, linewidth=0)
    axes.set_title(f"{title}: {result['episodes']} dialogues of {result['steps']} steps")
    return _save(figure, axes, path)


def plot_stages(results: Mapping[str, Mapping[str, Any]], path: Path, title: str = "Recall after each stage") -> Path:
    """Recall by distance, one line per stage; stages without recall are left out.

    Raises:
        ValueError: when no stage has recall.
    """
    shown = {name: result for name, result in results.items() if result.get("recall_by_distance")}
    if not shown:
        raise ValueError("no stage has recall by distance: the dialogues have no annotated facts")
    figure, axes = _figure()
    from matplotlib import colormaps

    for place, (name, result) in enumerate(shown.items()):
        colour = colormaps["viridis"](0.9 * (1 - (place + 1) / len(shown)))
        _curve(axes, result["recall_by_distance"], name, colour, "o-")
    axes.set_title(title)
    return _save(figure, axes, path)


def _figure() -> tuple[Any, Axes]:
    # The figure is made without pyplot: no global state, no display needed, usable from threads.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _curve(axes: Axes, shares: Mapping[str, float], label: str, colour: Any, style: str) -> None:
    points = sorted((int(distance), value) for distance, value in shares.items())
    axes.plot([x for x, _ in points], [y for _, y in points], style, color=colour, label=label, markersize=5)


def _save(figure: Any, axes: Axes, path: Path) -> Path:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("interactions between telling and asking")
    axes.set_ylabel("fact recall")
    axes.set_ylim(-0.02, 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        figure.savefig(part, dpi=150, format="png")
    return path
