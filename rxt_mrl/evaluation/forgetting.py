"""What becomes of facts: how fast they fade, what each further interaction costs them, and how many are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ..seeding import numpy_generator

RESAMPLES = 400
"""Of dialogues, for intervals."""
_LONGEST = 4096.0
"""Half-lives are looked for up to so many interactions; a longer one is none."""
_HALF_LIVES = np.geomspace(0.25, _LONGEST, 120)
_STARTS = np.linspace(0.02, 1.0, 50)
_PLACES = 4


def forgetting(questions: pd.DataFrame) -> dict[str, Any] | None:
    """What ``retention.json`` says of facts that fade; None without annotated questions.

    Args:
        questions: the rows of ``answers.parquet``.

    Returns:
        ``half_life`` (``interactions``, ``ci95``, ``start``), ``interference`` (``per_interaction`` and
        ``written_between``, each with ``ci95``) and ``capacity`` (``told``, ``kept`` by step); see
        ``docs/evaluation.md``.
    """
    asked = questions[questions["asked"].astype(bool) & (questions["distance"] > 0) & questions["right"].notna()]
    if not len(asked):
        return None
    return {"half_life": half_life(asked), "interference": interference(asked), "capacity": capacity(asked)}


def half_life(asked: pd.DataFrame) -> dict[str, Any]:
    """After how many interactions half of what was there is lost: recall is ``start * 2 ** (-d / half_life)``.

    The likelihood of all answers is maximized; the interval is that of resampled dialogues, null of one alone. Null
    where nothing fades.
    """
    distance = asked["distance"].to_numpy(int)
    right = asked["right"].to_numpy(float)
    where, place = np.unique(distance, return_inverse=True)
    dialogues, row = np.unique(asked["dialogue"].to_numpy(), return_inverse=True)
    counts, rights = (np.zeros((len(dialogues), len(where))) for _ in range(2))
    np.add.at(counts, (row, place), 1.0)
    np.add.at(rights, (row, place), right)
    if len(where) < 2:
        return {"interactions": None, "ci95": None, "start": None}
    weights = _weights(len(dialogues))
    starts, halves = _fitted(where, weights @ counts, weights @ rights)
    ends = [_finite(end) for end in np.percentile(halves[1:], [2.5, 97.5])]
    return {
        "interactions": _finite(halves[0]),
        "ci95": ends if len(dialogues) > 1 else None,
        "start": _round(starts[0]),
    }


def _fitted(distance: np.ndarray, counts: np.ndarray, rights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest starts and half-lives on a grid, for rows of counts ``(rows, distances)``."""
    share = (_STARTS[:, None, None] * 2.0 ** (-distance / _HALF_LIVES[:, None])).clip(1e-6, 1 - 1e-6)
    share = share.reshape(-1, len(distance)).T
    fit = rights @ np.log(share) + (counts - rights) @ np.log1p(-share)
    start, half = np.unravel_index(fit.argmax(-1), (len(_STARTS), len(_HALF_LIVES)))
    return _STARTS[start], _HALF_LIVES[half]


def interference(asked: pd.DataFrame) -> dict[str, Any] | None:
    """What further interactions cost a fact, in bits of the reference answer; None without probabilities.

    ``per_interaction``: how many more bits an answer costs for each interaction between telling and asking (least
    squares). ``written_between``: how many bits an answer would save if one interaction between the two had not been
    written (where that was measured); it is what that interaction overwrote.
    """
    known = asked[asked["bits"].notna()]
    if not len(known):
        return None
    between = (known["distance"] - 1).to_numpy(float)
    slope = _resampled(known["dialogue"].to_numpy(), between, known["bits"].to_numpy(float), _slope)
    cost = None
    if "lost" in known and known["lost"].notna().any():
        measured = known[known["lost"].notna() & (known["distance"] > 1)]
        saved = [
            -float(np.mean(lost[int(told) + 1 : int(step)]))
            for lost, told, step in zip(measured["lost"], measured["told"], measured["step"], strict=True)
        ]
        if saved:
            values = np.array(saved)
            cost = _resampled(measured["dialogue"].to_numpy(), np.zeros(len(values)), values, _mean)
    return {"per_interaction": slope, "written_between": cost}


def capacity(asked: pd.DataFrame) -> dict[str, list[float]]:
    """Facts told and facts kept, by step, as a mean over dialogues.

    Told are the annotated facts of earlier interactions that the dialogue ever asks for. Of each, as much is kept as
    questions at this step find of facts that were told as long ago (where none is asked, as the whole distance's).
    """
    facts = {
        (dialogue, told, value)
        for dialogue, places, values in zip(asked["dialogue"], asked["told_at"], asked["values"], strict=True)
        for told, value in zip(places, values, strict=True)
        if told >= 0
    }
    born = np.array(sorted(told for _, told, _ in facts))
    dialogues = asked["dialogue"].nunique()
    by_distance = asked.groupby("distance")["right"].mean()
    cells = asked.groupby(["step", "distance"])["right"].mean()
    overall = float(asked["right"].mean())
    told, kept = [], []
    for step in range(1, int(asked["steps"].max()) + 1):
        ages = step - born[born < step]
        shares = [cells.get((step, age), by_distance.get(age, overall)) for age in ages]
        told.append(_round(len(ages) / dialogues))
        kept.append(_round(float(np.sum(shares)) / dialogues))
    return {"told": told, "kept": kept}


Sums = tuple[np.ndarray, ...]
"""Of n, x, y, x x and x y."""


def _slope(sums: Sums) -> np.ndarray:
    n, x, y, xx, xy = sums
    spread = n * xx - x**2
    return np.where(spread > 0, (n * xy - x * y) / np.where(spread > 0, spread, 1), np.nan)


def _mean(sums: Sums) -> np.ndarray:
    return sums[2] / np.maximum(sums[0], 1)


def _resampled(
    dialogue: np.ndarray, x: np.ndarray, y: np.ndarray, statistic: Callable[[Sums], np.ndarray]
) -> dict[str, Any] | None:
    """A statistic of points with the interval of resampled dialogues, None of one; None where it is not defined."""
    names, row = np.unique(dialogue, return_inverse=True)
    sums = np.zeros((len(names), 5))
    np.add.at(sums, row, np.stack([np.ones_like(x), x, y, x * x, x * y], axis=1))
    found = statistic(tuple((_weights(len(names)) @ sums).T))
    if np.isnan(found[0]):
        return None
    ends = [_round(end) for end in np.nanpercentile(found[1:], [2.5, 97.5])]
    return {"bits": _round(found[0]), "ci95": ends if len(names) > 1 else None}


def _weights(dialogues: int) -> np.ndarray:
    """How often each dialogue counts: once each, then as it is drawn in each of the resamples."""
    rng = numpy_generator("evaluation", "forgetting")
    drawn = rng.multinomial(dialogues, np.full(dialogues, 1 / dialogues), RESAMPLES)
    return np.vstack([np.ones(dialogues), drawn])


def _finite(value: float) -> float | None:
    return None if value >= _LONGEST * 0.99 else round(float(value), 2)


def _round(value: float) -> float:
    return round(float(value), _PLACES)
