"""Results as tables for papers: one row a model, in Markdown and in LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .figures import Form, written

Document = Mapping[str, Any]
Column = tuple[str, tuple[str, ...], Form]

COLUMNS: tuple[Column, ...] = (
    ("parameters", ("subject", "parameters"), "count"),
    ("recall %", ("recall",), "percent"),
    ("95 %", ("recall_ci95",), "percent"),
    ("wiped %", ("recall_wiped",), "percent"),
    ("swapped %", ("recall_swapped",), "percent"),
    ("score", ("score_mean",), "two"),
    ("max", ("score_max",), "two"),
    ("min", ("score_min",), "two"),
    ("PPL", ("ppl",), "two"),
    ("accuracy %", ("accuracy",), "percent"),
    ("bits per answer", ("bits_per_answer",), "two"),
    ("memory gain, bits", ("memory_gain", "wiped", "mean"), "two"),
)
"""Heading, where the value is in a result, and how it is written."""


def rows_of(results: Mapping[str, Mapping[str, Document]]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: one row for each stage (or model) and source; no column without a value."""
    sources = list(dict.fromkeys(source for found in results.values() for source in found))
    several = len(sources) > 1
    every = [found for by_source in results.values() for found in by_source.values()]
    columns = [column for column in COLUMNS if any(_at(found, column[1]) is not None for found in every)]
    headings = ["", *(["data"] if several else []), *(name for name, _, _ in columns)]
    rows = [
        [name, *([source] if several else []), *(written(_at(found[source], path), form) for _, path, form in columns)]
        for source in sources
        for name, found in results.items()
        if source in found
    ]
    return headings, rows


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [_line(headings), _line(["---", *["---:"] * (len(headings) - 1)]), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def latex(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A LaTeX ``tabular`` with the rules of the package ``booktabs``."""
    body = [" & ".join(_tex(cell) for cell in row) + r" \\" for row in (headings, *rows)]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}", r"\toprule", body[0], r"\midrule", *body[1:],
        r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _at(found: Any, path: Sequence[str]) -> Any:
    for name in path:
        found = None if found is None else found.get(name)
    return found


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _tex(text: str) -> str:
    for plain, escaped in (
        ("\\", r"\textbackslash "),
        ("&", r"\&"),
        ("%", r"\%"),
        ("_", r"\_"),
        ("#", r"\#"),
        ("$", r"\$"),
    ):
        text = text.replace(plain, escaped)
    return text.replace("\u2013", "--")
