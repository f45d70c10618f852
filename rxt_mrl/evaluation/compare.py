"""Two evaluations on the same questions: paired differences, dialogue by dialogue, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from ..errors import UserError
from .intervals import Gain, paired_gain
from .scores import dialogue_recall, dialogue_scores

_KEYS = ["dialogue", "step"]
_SAME = ("query", "reference")


def _mean_of(column: str, minus: str | None = None) -> Callable[[pd.DataFrame], pd.Series]:
    def by_dialogue(questions: pd.DataFrame) -> pd.Series:
        values = questions[column] if minus is None else questions[column] - questions[minus]
        return values.groupby(questions["dialogue"]).mean()

    return by_dialogue


METRICS: Mapping[str, Callable[[pd.DataFrame], pd.Series]] = {
    "recall": dialogue_recall,
    "score": dialogue_scores,
    "bits_per_answer": _mean_of("bits"),
    "memory_gain_wiped": _mean_of("bits_wiped", "bits"),
    "memory_gain_swapped": _mean_of("bits_swapped", "bits"),
}
"""What is compared: a mean per dialogue, then the mean over dialogues."""


class Difference(NamedTuple):
    """A metric of two evaluations: means over dialogues, and the paired difference."""

    first: float
    second: float
    gain: Gain


class Comparison(NamedTuple):
    """Two evaluations on the questions that they share.

    Attributes:
        questions: how many they share.
        left_out: questions of either that the other does not have, or has with another query, reference or fact.
        differences: by metric; those that both have.
    """

    questions: int
    left_out: int
    differences: dict[str, Difference]

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded to six places."""
        return {
            "questions": self.questions,
            "left_out": self.left_out,
            "differences": {
                name: {
                    "first": round(found.first, 6),
                    "second": round(found.second, 6),
                    "difference": round(found.gain.mean, 6),
                    "ci95": [round(found.gain.low, 6), round(found.gain.high, 6)],
                    "dialogues": found.gain.pairs,
                }
                for name, found in self.differences.items()
            },
        }


def compare(first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
    """The second evaluation against the first.

    Args:
        first, second: the questions of one source each.

    Raises:
        UserError: when they share no questions, or those of a single dialogue only.
    """
    shared = shared_questions(first, second)
    if shared["dialogue"].nunique() < 2:
        raise UserError(
            f"compare: the evaluations share {len(shared)} questions of {shared['dialogue'].nunique()} dialogues; "
            "at least two dialogues have to be the same"
        )
    parts = [frame.merge(shared, on=_KEYS) for frame in (first, second)]
    differences = {}
    for name, metric in METRICS.items():
        pairs = pd.concat([metric(part) for part in parts], axis=1, keys=("first", "second")).dropna()
        if len(pairs) > 1:
            before, after = pairs["first"].to_numpy(), pairs["second"].to_numpy()
            differences[name] = Difference(float(before.mean()), float(after.mean()), paired_gain(before, after))
    if not differences:
        raise UserError("compare: no measure is known in both of the evaluations")
    left_out = len(first) + len(second) - 2 * len(shared)
    return Comparison(len(shared), left_out, differences)


def shared_questions(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """``dialogue`` and ``step`` of the questions that both ask in the same words, for the same facts."""
    both = first.merge(second, on=_KEYS, suffixes=("", "_second"))
    same = pd.Series(True, index=both.index)
    for name in _SAME:
        same &= both[name] == both[f"{name}_second"]
    for name in ("values", "told_at"):
        if name in first and name in second:
            same &= both[name].map(list) == both[f"{name}_second"].map(list)
    return both.loc[same, _KEYS]
