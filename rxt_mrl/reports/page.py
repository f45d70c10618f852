"""``report.html``: the results of an evaluation on one page that needs nothing else.

Every figure says which value of ``retention.json`` it is (``data-key``, a JSON pointer); the JSON lies in the page too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

import pandas as pd

from .figures import Figures
from .sections import stage_table, summary
from .transcripts import chosen, transcript

Document = Mapping[str, Any]


def report_page(document: Document, questions: pd.DataFrame | None = None) -> str:
    """The page.

    Args:
        document: what ``retention.json`` holds.
        questions: the rows of ``answers.parquet``, for transcripts of the last stage; None: there are none.
    """
    stages = list(document["stages"])
    last = stages[-1]
    sources = list(document["stages"][last]["sources"])
    target = document.get("target") or {}
    models = target.get("kind") == "comparison"
    title = str(target["name"]) if models else f"What {target.get('name') or last} remembers"
    parts = [f"<h1>{escape(title)}</h1>", _about(Figures(document))]
    if len(sources) > 1:
        links = (f'<a href="#source-{number}">{escape(name)}</a>' for number, name in enumerate(sources))
        parts.append(f"<nav>{''.join(links)}</nav>")
    for number, source in enumerate(sources):
        if len(sources) > 1:
            parts.append(f'<h2 id="source-{number}">{escape(source)}</h2>')
        if models:
            parts.append(stage_table(Figures(document), source, "The models beside each other"))
        for stage in stages if models else [last]:
            if models:
                parts.append(f"<h3>{escape(stage)}</h3>")
            parts.append(summary(Figures(document, ("stages", stage, "sources", source))))
        if not models:
            parts.append(stage_table(Figures(document), source, "After each stage"))
        if questions is not None:
            parts.append(_transcripts(questions, last, source))
    style = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    kept = json.dumps(document, allow_nan=False).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f'\n</main>\n<script type="application/json" id="results">{kept}</script>\n</body>\n</html>\n'
    )


def _about(figures: Figures) -> str:
    target = figures.value("target") or {}
    said = [str(target["kind"])] if target.get("kind") else []
    if target.get("parameters") is not None:
        said.append(f"{figures.show('target', 'parameters', form='count')} parameters")
    partial = figures.value("partial")
    warning = ""
    if partial:
        warning = (
            f'<p class="wrong">Interrupted: {figures.show("partial", "answered", form="count")} of '
            f"{figures.show('partial', 'of', form='count')} dialogues are answered.</p>"
        )
    return (f'<p class="quiet">{", ".join(said)}</p>' if said else "") + warning


def _transcripts(questions: pd.DataFrame, stage: str, source: str) -> str:
    rows = questions
    for column, value in (("stage", stage), ("source", source)):
        if column in rows:
            rows = rows[rows[column] == value]
    if not len(rows):
        return ""
    picked = chosen(rows)
    parts = []
    for title, numbers in (("Best dialogues", picked.best), ("Worst dialogues", picked.worst)):
        if numbers:
            parts.append(f"<h3>{title}</h3>")
        for number in numbers:
            told = transcript(rows[rows["dialogue"] == number])
            parts.append(f"<details><summary>dialogue {number}</summary>{told}</details>")
    return "".join(parts)
