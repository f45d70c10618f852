"""From questions to scores: recall with its controls, abilities, the score, what the memory is worth in bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from .config import CONTROLS
from .intervals import Mean, Share, ci95, mean_with_interval, share_with_interval

MODES = ("on", *CONTROLS)


def column(mode: str) -> str:
    """Where the questions say whether an answer is right, with the real memory (``on``) or a control."""
    return "right" if mode == "on" else f"right_{mode}"


def recall_of(questions: pd.DataFrame, mode: str = "on") -> Share | None:
    """Recall over questions for told facts; choices, at distance 0, need no memory and do not count."""
    return _share(questions[questions["distance"] > 0], mode)


def by_distance(questions: pd.DataFrame, mode: str = "on") -> dict[int, Share]:
    """Recall at each distance that occurs; at 0 the share of valid choices (own words)."""
    return _by(questions[questions["asked"]], "distance", lambda part: _share(part, mode))


def by_distance_and_step(questions: pd.DataFrame) -> dict[int, dict[int, Share]]:
    """Recall at each distance and step."""
    told = questions[questions["distance"] > 0]
    return _by(told, "distance", lambda part: _by(part, "step", _share) or None)


def scores(questions: pd.DataFrame) -> dict[str, Any]:
    """The scores of one source, as they stand in ``retention.json``."""
    modes = {mode: recall_of(questions, mode) for mode in MODES}
    distances = {mode: by_distance(questions, mode) for mode in MODES}
    first, later = (recall_of(questions[told]) for told in (questions["told"] == 0, questions["told"] > 0))
    recall = modes["on"]
    return {
        "episodes": questions["dialogue"].nunique(),
        "steps": int(questions["steps"].max()),
        "recall": _value(recall),
        "recall_ci95": ci95(recall),
        **{f"recall_{control}": _value(modes[control]) for control in CONTROLS},
        "recall_by_distance": _values(distances["on"]),
        "recall_by_distance_ci95": {str(d): ci95(share) for d, share in distances["on"].items()} or None,
        **{f"recall_{control}_by_distance": _values(distances[control]) for control in CONTROLS},
        "recall_by_distance_and_step": {
            str(distance): {str(step): _cell(share) for step, share in steps.items()}
            for distance, steps in by_distance_and_step(questions).items()
        }
        or None,
        "recall_told_first": _value(first),
        "recall_told_first_ci95": ci95(first),
        "recall_told_later": _value(later),
        "recall_told_later_ci95": ci95(later),
        "questions": 0 if recall is None else recall.answers,
        "abilities": abilities(questions) or None,
        **_score(questions),
        "metrics": {
            name.removeprefix("metric_"): _known(questions[name].mean())
            for name in questions.columns
            if name.startswith("metric_")
        },
        **_tokens(questions),
        "memory_gain": {name: memory_gain(questions, name) for name in ("wiped", "swapped")},
        "dropped": _dropped(questions),
        "by_dialogue": {
            "recall": [_known(value) for value in dialogue_recall(questions)],
            "score": [_known(value) for value in dialogue_scores(questions)],
        },
    }


def abilities(questions: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Recall by what a question takes, with the controls; for abstention, the share that is recognised."""
    found: dict[str, dict[str, Any]] = {}
    for name, part in questions.dropna(subset=["ability", "right"]).groupby("ability"):
        part = part[~(part["distance"] == 0)]
        share = _share(part)
        if share is not None:
            found[str(name)] = _cell(share)
            found[str(name)].update({control: _value(_share(part, control)) for control in CONTROLS})
    return found


def memory_gain(questions: pd.DataFrame, control: str) -> dict[str, Any] | None:
    """Bits per reference answer that the memory saves over another one, with a 95 % interval (null of one dialogue)."""
    return _mean(mean_of(questions[f"bits_{control}"] - questions["bits"], questions["dialogue"]))


def mean_of(values: pd.Series, dialogue: pd.Series) -> Mean | None:
    """Mean of what is known, with an interval for answers that come in dialogues."""
    known = values.notna()
    return mean_with_interval(values[known].to_numpy(dtype=float), dialogue[known].to_numpy())


def dialogue_recall(questions: pd.DataFrame) -> pd.Series:
    """Mean recall of each dialogue, NaN where it asks for nothing; for paired comparisons."""
    right = questions["right"].where(questions["distance"] > 0)
    return right.groupby(questions["dialogue"]).mean()


def dialogue_scores(questions: pd.DataFrame) -> pd.Series:
    """Mean score of each dialogue over its steps, NaN where the reward applies to none."""
    return questions.groupby("dialogue")["score"].mean()


def _score(questions: pd.DataFrame) -> dict[str, Any]:
    known = dialogue_scores(questions).dropna()
    some = len(known) > 0
    steps = questions.groupby("step")["score"].mean()
    return {
        "score_mean": _round(known.mean()) if some else None,
        "score_min": _round(known.min()) if some else None,
        "score_max": _round(known.max()) if some else None,
        "score_by_step": [_known(value) for value in steps] if some else None,
    }


def _tokens(questions: pd.DataFrame) -> dict[str, Any]:
    bits, tokens = questions["bits"].sum(skipna=False), questions["tokens"].sum()
    if math.isnan(bits):
        return {"ppl": None, "accuracy": None, "bits_per_answer": None}
    return {
        "ppl": _round(math.exp(min(bits * math.log(2) / tokens, 50.0))),
        "accuracy": _round(questions["correct"].sum() / tokens),
        "bits_per_answer": _round(questions["bits"].mean()),
    }


def _dropped(questions: pd.DataFrame) -> dict[str, Any]:
    lacking = questions["dropped"] > 0
    return {"questions": int(lacking.sum()), "share": _round(lacking.mean())}


def _share(questions: pd.DataFrame, mode: str = "on") -> Share | None:
    name = column(mode)
    if name not in questions:
        return None
    known = questions[questions[name].notna()]
    return share_with_interval(known[name].to_numpy(dtype=float), known["dialogue"].to_numpy())


def _by(questions: pd.DataFrame, name: str, made: Callable[[pd.DataFrame], Any]) -> dict[int, Any]:
    found = {int(value): made(part) for value, part in questions.groupby(name)}
    return {value: share for value, share in found.items() if share is not None}


def _round(value: float) -> float:
    return round(float(value), 4)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else _round(value)


def _value(share: Share | None) -> float | None:
    return None if share is None else _round(share.value)


def _values(shares: dict[int, Share]) -> dict[str, float] | None:
    return {str(distance): _round(share.value) for distance, share in shares.items()} or None


def _cell(share: Share) -> dict[str, Any]:
    return {"recall": _round(share.value), "ci95": ci95(share), "questions": share.answers}


def _mean(mean: Mean | None) -> dict[str, Any] | None:
    return None if mean is None else {"mean": _round(mean.value), "ci95": ci95(mean)}
