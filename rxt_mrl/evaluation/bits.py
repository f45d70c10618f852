"""What each interaction was worth: bits that the reference answers lose when it is left out, by told and asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .intervals import ci95, mean_with_interval, share_with_interval

_PLACES = 4


def told_by_asked(questions: pd.DataFrame) -> np.ndarray:
    """Mean bits ``(steps, steps)``: ``[told, asked - 1]``; NaN where the told one is not before, or was not measured.

    No annotation is looked at.
    """
    measured = questions[questions["lost"].notna()]
    steps = int(questions["steps"].max())
    table = np.full((steps, steps), np.nan)
    for step, lost in measured.groupby("step")["lost"]:
        table[: int(step), int(step) - 1] = np.stack(lost.to_list()).mean(0)
    return table


def bits(questions: pd.DataFrame) -> dict[str, Any] | None:
    """What ``retention.json`` says of the bits; None where they were not measured."""
    if "lost" not in questions or not questions["lost"].notna().any():
        return None
    table = told_by_asked(questions)
    if np.isnan(table[0]).any():  # a subject without probabilities
        return None
    measured = questions[questions["lost"].notna()]
    return {
        "dialogues": int(measured["dialogue"].nunique()),
        "told_by_asked": [[None if np.isnan(value) else _round(value) for value in row] for row in table],
        **_against_annotation(measured),
    }


def _against_annotation(measured: pd.DataFrame) -> dict[str, Any]:
    """Whether the costliest interaction is the one that the annotation says; facts of one interaction only."""
    single = measured[[_told_in_one(*row) for row in zip(measured["told_at"], measured["step"], strict=True)]]
    keys = ("agreement", "agreement_ci95", "told_median", "told_mean", "others_median", "others_p95", "by_distance")
    if not len(single):
        return {"questions": 0, **dict.fromkeys(keys)}
    told = single["told"].to_numpy(dtype=int)
    lost = single["lost"].to_list()
    worth = np.array([row[place] for row, place in zip(lost, told, strict=True)])
    others = [np.delete(row, place) for row, place in zip(lost, told, strict=True)]
    best = [not len(rest) or value > rest.max() for value, rest in zip(worth, others, strict=True)]
    # A lone interaction has no rival: it has to be worth something.
    agrees = np.array(best) & (worth > 0)
    dialogue, distance = single["dialogue"].to_numpy(), single["distance"].to_numpy(dtype=int)
    share = share_with_interval(agrees.astype(float), dialogue)
    assert share is not None
    rest = np.concatenate(others)
    return {
        "questions": len(single),
        "agreement": _round(share.value),
        "agreement_ci95": ci95(share),
        "told_median": _round(np.median(worth)),
        "told_mean": _round(worth.mean()),
        "others_median": _round(np.median(rest)) if len(rest) else None,
        "others_p95": _round(np.percentile(rest, 95)) if len(rest) else None,
        "by_distance": {str(d): _at(worth[distance == d], dialogue[distance == d]) for d in np.unique(distance)},
    }


def _told_in_one(told_at: Any, step: int) -> bool:
    places = set(told_at)
    return len(places) == 1 and 0 <= min(places) < step


def _at(worth: np.ndarray, dialogue: np.ndarray) -> dict[str, Any]:
    mean = mean_with_interval(worth, dialogue)
    assert mean is not None
    return {"mean": _round(mean.value), "ci95": ci95(mean), "questions": mean.answers}


def _round(value: float) -> float:
    return round(float(value), _PLACES)
