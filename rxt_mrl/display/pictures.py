"""What all pictures share: a figure that needs no display, and lines that everybody can tell apart.

The colors are near those of Okabe and Ito (2008): people without red, green or blue receptors tell them apart too;
markers and dashes say the same a second time, also in print. ``tests/display/test_pictures.py`` checks both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ..files import whole


class Style(NamedTuple):
    """How a line is drawn."""

    color: str
    marker: str
    dashes: str


STYLES = (
    Style("#0060a0", "o", "-"),
    Style("#d55e00", "s", "--"),
    Style("#009e73", "D", "-."),
    Style("#e69f00", "v", (0, (6, 1, 1, 1, 1, 1))),  # type: ignore[arg-type]
    Style("#7cc8f5", "P", (0, (8, 2))),  # type: ignore[arg-type]
    Style("#882255", "X", (0, (1, 1))),  # type: ignore[arg-type]
)
"""Lines of one picture, the most important one first."""
CONTROL = Style("#000000", "^", ":")
"""What a line is compared with: the same without a memory; and, as ``OTHER``, with another one's."""
OTHER = Style("#a6a6a6", "d", "--")

MARKED = 40
"""Points of a line, at most, that are marked one by one."""


def figure(width: float, height: float) -> Any:
    """A figure without pyplot: no global state, no display needed, usable from threads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def save(made: Any, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        made.savefig(part, dpi=150, format="png")
    return path
