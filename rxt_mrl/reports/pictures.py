"""Pictures of a result (PNG): bits by told and asked, recall by distance and step, what the memory does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Document = Mapping[str, Any]


def plot_bits(result: Document, path: Path) -> bool:
    """Bits by told and asked as a heat map; False where there are none."""
    if not result.get("bits"):
        return False
    table = np.array(result["bits"]["told_by_asked"], dtype=float)
    size = len(table)
    figure, [axes] = _figure(1, (4.0 + size / 8, 3.4 + size / 10))
    _heat(figure, axes, table, [*range(size)], [*range(1, size + 1)], "bits")
    axes.set_xlabel("asked in step")
    axes.set_ylabel("told in interaction")
    axes.set_title("What each interaction was worth")
    return _saved(figure, path)


def plot_heat(result: Document, path: Path) -> bool:
    """Recall by distance and step as a heat map; False where there is none."""
    found = result.get("recall_by_distance_and_step")
    if not found:
        return False
    distances = sorted(found, key=int)
    steps = sorted({step for row in found.values() for step in row}, key=int)
    table = np.array([[found[d].get(s, {}).get("recall", np.nan) for s in steps] for d in distances], dtype=float)
    figure, [axes] = _figure(1, (4.0 + len(steps) / 8, 3.4 + len(distances) / 10))
    _heat(figure, axes, 100 * table, distances, steps, "fact recall, %", most=100)
    axes.set_xlabel("asked in step")
    axes.set_ylabel("interactions since it was told")
    axes.set_title("Recall by distance and step")
    return _saved(figure, path)


def plot_memory(result: Document, path: Path) -> bool:
    """Norm, effective rank, change, gate, slots and capacity; False where none is known."""
    memory = result.get("memory") or {}
    state, capacity = memory.get("state"), memory.get("capacity")
    if not state:
        return False
    figure, axes = _figure(4, (9.0, 5.6))
    for place, (name, label, first) in enumerate(
        (("effective_rank", "effective rank of the slots", 0), ("change", "change by a write, share", 1))
    ):
        values = state[name][first:]
        axes[place].plot(range(first, first + len(values)), values, "o-", markersize=4)
        axes[place].set_xlabel("write")
        axes[place].set_title(label)
    axes[2].bar(range(len(state["slot_usage"])), state["slot_usage"])
    axes[2].set_xlabel("slot")
    axes[2].set_title("share of the writing by slot")
    if capacity:
        for name, style in (("told", "s--"), ("kept", "o-")):
            axes[3].plot(range(1, len(capacity[name]) + 1), capacity[name], style, label=f"facts {name}", markersize=4)
        axes[3].legend(frameon=False)
        axes[3].set_xlabel("step")
        axes[3].set_title("capacity")
    else:
        axes[3].set_axis_off()
    return _saved(figure, path)


def _figure(panels: int, size: tuple[float, float]) -> tuple[Any, list[Axes]]:
    # without pyplot: no global state, no display needed, usable from threads
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    columns = 1 if panels == 1 else 2
    return figure, [figure.add_subplot(-(-panels // columns), columns, place + 1) for place in range(panels)]


def _heat(
    figure: Any, axes: Axes, table: np.ndarray, rows: Sequence[Any], columns: Sequence[Any], label: str,
    most: float | None = None,
) -> None:  # fmt: skip
    image = axes.imshow(table, cmap="Blues", vmin=0, vmax=most, aspect="auto")
    figure.colorbar(image, ax=axes, label=label)
    for set_ticks, names in ((axes.set_xticks, columns), (axes.set_yticks, rows)):
        every = -(-len(names) // 16)
        set_ticks(range(0, len(names), every), [str(name) for name in names[::every]])


def _saved(figure: Any, path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return True
