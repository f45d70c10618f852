"""Charts as inline SVG and heat maps as tables; their colors are those of the page, light or dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from .figures import Figures, Form, Path, written

_WIDTH, _HEIGHT = 480, 260
_SMALL = (300, 190)
"""One of several charts beside each other: its figures are as large on the page as those of a whole one."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 42
Place = Callable[[float], float]
"""From a value to its place in the picture."""

_LABELED = 17
"""A heat map with more columns has no room for figures."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        label: in the legend.
        points: x, and the path of the y value in the document.
        band: x, and the path of an interval of y; optional.
        style: number of the line's color and dashes.
    """

    label: str
    points: Sequence[tuple[float, Path]]
    band: Sequence[tuple[float, Path]] = field(default=())
    style: int = 0


def line_chart(
    figures: Figures,
    lines: Sequence[Line],
    *,
    x: str,
    y: str,
    form: Form = "percent",
    top: float | None = None,
    small: bool = False,
) -> str:
    """Lines over a common x axis, from 0 to ``top`` (None: the largest value); empty where there is no point."""
    width, height = _SMALL if small else (_WIDTH, _HEIGHT)
    drawn = []
    for line in lines:
        points = [
            (place, float(value), path) for place, path in line.points if (value := figures.value(*path)) is not None
        ]
        if points:
            drawn.append((line, points))
    if not drawn:
        return ""
    places = sorted({place for _, points in drawn for place, _, _ in points})
    low, high = places[0], max(places[-1], places[0] + 1)
    ticks = _ticks(top or max(0.0, *(value for _, points in drawn for _, value, _ in points)) or 1.0)

    def at_x(place: float) -> float:
        return _LEFT + (place - low) / (high - low) * (width - _LEFT - _RIGHT)

    def at_y(value: float) -> float:
        return height - _BOTTOM - max(0.0, min(value / ticks[-1], 1.05)) * (height - _TOP - _BOTTOM)

    parts = [_axes(places, ticks, at_x, at_y, x, form, width, height)]
    for line, points in drawn:
        band = [(place, interval) for place, path in line.band if (interval := figures.value(*path)) is not None]
        if band:
            edge = [(at_x(p), at_y(ends[1])) for p, ends in band] + [(at_x(p), at_y(ends[0])) for p, ends in band[::-1]]
            parts.append(f'<polygon class="band s{line.style}" points="{_coordinates(edge)}"/>')
        path = _coordinates([(at_x(place), at_y(value)) for place, value, _ in points])
        parts.append(f'<polyline class="line s{line.style}" points="{path}"/>')
        parts += [
            f'<circle class="dot s{line.style}" cx="{at_x(place):.1f}" cy="{at_y(value):.1f}" r="3.5">'
            f"<title{figures.mark(*key, form=form)}>{written(value, form)}</title></circle>"
            for place, value, key in points
        ]
    legend = "".join(f'<li class="s{line.style}">{escape(line.label)}</li>' for line, _ in drawn)
    label = escape(f"{y} over {x}: {', '.join(line.label for line, _ in drawn)}", quote=True)
    return (
        f'<figure><figcaption>{escape(y)}</figcaption><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
        f'<ul class="legend">{legend}</ul></figure>'
    )


def _ticks(most: float) -> list[float]:
    """Round values from 0 to no less than ``most``.

    >>> _ticks(9.7)
    [0.0, 2.5, 5.0, 7.5, 10.0]
    >>> _ticks(0.17)
    [0.0, 0.05, 0.1, 0.15, 0.2]
    """
    scale = 10.0 ** math.floor(math.log10(most / 4))
    step = next(scale * digit for digit in (1, 2, 2.5, 5, 10) if scale * digit >= 0.999 * most / 4)
    return [round(step * place, 12) for place in range(math.ceil(0.999 * most / step) + 1)]


def _axes(
    places: Sequence[float],
    ticks: Sequence[float],
    at_x: Place,
    at_y: Place,
    x: str,
    form: Form,
    width: int,
    height: int,
) -> str:
    parts = []
    for value in ticks:
        level = at_y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>')
        text = f"{100 * value if form == 'percent' else value:g}"
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{level + 4:.1f}" text-anchor="end">{text}</text>')
    every = -(-len(places) // (16 if width == _WIDTH else 9))
    for place in places[::every]:
        middle = f'x="{at_x(place):.1f}" y="{height - _BOTTOM + 18}" text-anchor="middle"'
        parts.append(f'<text class="tick" {middle}>{place:g}</text>')
    parts.append(
        f'<text class="axis" x="{(width + _LEFT) / 2}" y="{height - 6}" text-anchor="middle">{escape(x)}</text>'
    )
    return "".join(parts)


def _coordinates(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def heat_map(
    figures: Figures,
    rows: Sequence[str],
    columns: Sequence[str],
    paths: Sequence[Sequence[Path]],
    *,
    corner: str,
    form: Form = "percent",
    top: float | None = None,
) -> str:
    """A table whose cells are the darker the larger their value; a cell without value stays empty.

    Args:
        figures: of the document.
        rows, columns: headings.
        paths: of the values, ``[row][column]``.
        corner: what rows and columns are.
        form: of the figures.
        top: value of the darkest color; None: the largest.
    """
    values = [[figures.value(*path) for path in row] for row in paths]
    known = [value for row in values for value in row if value is not None]
    most = top or max(known, default=0.0) or 1.0
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = []
    for name, row, where in zip(rows, values, paths, strict=True):
        cells = []
        for value, path in zip(row, where, strict=True):
            if value is None:
                cells.append("<td></td>")
                continue
            share = max(0.0, min(value / most, 1.0))
            text, mark = written(value, form), figures.mark(*path, form=form)
            shown = f' title="{text}"></td>' if len(columns) > _LABELED else f"{mark}>{text}</td>"
            dark = " dark" if share > 0.55 else ""
            cells.append(f'<td class="cell{dark}" style="--share:{100 * share:.0f}%"{shown}')
        body.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="scroll"><table class="heat"><thead><tr><th>{escape(corner)}</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def bars(figures: Figures, rows: Sequence[tuple[str, Path]], *, form: Form = "percent") -> str:
    """Horizontal bars, one a row."""
    values = [(name, path, value) for name, path in rows if (value := figures.value(*path)) is not None]
    most = max((value for _, _, value in values), default=0.0) or 1.0
    return "".join(
        f'<div class="bar"><span>{escape(name)}</span><i style="--share:{100 * value / most:.1f}%"></i>'
        f"{figures.show(*path, form=form)}</div>"
        for name, path, value in values
    )
