"""Dialogues as they went, with the asked facts marked: the ones that went best and worst."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from html import escape

import pandas as pd

SHOWN = 3
"""Of the best and of the worst."""


@dataclass(frozen=True)
class Chosen:
    """Dialogues to show, by number."""

    best: tuple[int, ...]
    worst: tuple[int, ...]


def chosen(questions: pd.DataFrame, count: int = SHOWN) -> Chosen:
    """The dialogues with the best and the worst answers: by recall, or by the score where nothing is annotated.

    Equals go by their score, then by their number; no dialogue is among both.
    """
    keys = [key for key in ("right", "score") if questions[key].notna().any()]
    if not keys:
        return Chosen((), ())
    means = questions.groupby("dialogue")[keys].mean().sort_values(keys, ascending=False, kind="stable")
    count = min(count, (len(means) + 1) // 2)
    best = tuple(int(row) for row in means.index[:count])
    worst = tuple(int(row) for row in means.index[::-1][: min(count, len(means) - count)])
    return Chosen(best, worst)


def transcript(questions: pd.DataFrame) -> str:
    """One dialogue as HTML.

    A fact that is asked for is marked where it was told, in the question's reference and in the answer.

    Args:
        questions: the rows of one dialogue, in the order of its steps.
    """
    rows = questions.sort_values("step").to_dict("records")
    told: dict[int, set[str]] = {}
    for row in rows:
        for value, place in zip(row["values"], row["told_at"], strict=True):
            if place >= 0 and value:
                told.setdefault(int(place), set()).add(str(value))
    turns = [_turn(0, rows[0]["written_query"], rows[0]["written_answer"], told.get(0, set()), "")]
    for row in rows:
        step = int(row["step"])
        asked = {str(value) for value in row["values"] if value}
        turns.append(_turn(step, row["query"], row["answer"], told.get(step, set()), _verdict(row, asked), asked))
    return "".join(turns)


def _turn(number: int, query: str, answer: str, told: set[str], verdict: str, asked: Set[str] = frozenset()) -> str:
    return (
        f'<div class="turn"><p><span class="who">{number} user</span> {marked(query, told)}</p>'
        f'<p><span class="who">model</span> {marked(answer, asked | (told if not asked else set()))}</p>{verdict}</div>'
    )


def _verdict(row: dict, asked: set[str]) -> str:
    """Whether the answer is right, what the reference says, and where the facts were told."""
    parts = []
    if row["right"] == row["right"]:  # not NaN
        right = row["right"] >= 1
        parts.append(f'<span class="{"right" if right else "wrong"}">{"right" if right else "wrong"}</span>')
    places = sorted({int(place) for place in row["told_at"] if place >= 0})
    if places:
        parts.append(f"told in {', '.join(map(str, places))}")
    if row["reference"] and row["reference"] != row["answer"]:
        parts.append(f"reference: {marked(row['reference'], asked)}")
    return f'<p class="who">{"; ".join(parts)}</p>' if parts else ""


def marked(text: str, values: Set[str]) -> str:
    """The text as HTML with whole words (or phrases) marked, in any case."""
    if not values:
        return escape(text)
    pattern = re.compile(
        r"(?<!\w)(" + "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True)) + r")(?!\w)",
        re.IGNORECASE,
    )
    pieces = pattern.split(text)
    return "".join(
        f"<mark>{escape(piece)}</mark>" if place % 2 else escape(piece) for place, piece in enumerate(pieces)
    )
