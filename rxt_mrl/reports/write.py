"""What an evaluation leaves to be read: a page, tables and pictures beside ``retention.json``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from .page import report_page
from .pictures import plot_bits, plot_heat, plot_memory
from .tables import latex, markdown, rows_of


def write_report(
    folder: Path, document: Mapping[str, Any], questions: pd.DataFrame | None = None, *, prefix: str = ""
) -> list[Path]:
    """Write ``report.html``, ``table.md``, ``table.tex`` and pictures of the last stage's main source.

    Args:
        folder: where to; it is made.
        document: what ``retention.json`` holds.
        questions: the rows of ``answers.parquet``, for transcripts.
        prefix: in front of each name.

    Returns:
        What was written, the page first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    headings, rows = rows_of({name: stage["sources"] for name, stage in document["stages"].items()})
    written = [
        _put(folder / f"{prefix}report.html", report_page(document, questions)),
        _put(folder / f"{prefix}table.md", markdown(headings, rows)),
        _put(folder / f"{prefix}table.tex", latex(headings, rows)),
    ]
    for name, plot in (("bits", plot_bits), ("heat", plot_heat), ("memory", plot_memory)):
        path = folder / f"{prefix}{name}.png"
        if plot(document, path):
            written.append(path)
    return written


def _put(path: Path, text: str) -> Path:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
    return path
