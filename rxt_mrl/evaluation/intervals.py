"""95 % intervals for shares and for paired differences, when the answers of a dialogue are not independent."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

_Z95 = 1.959963984540054
_LEAST_EFFECT = 0.5
"""A design effect that is estimated lower is luck: some of its dialogues happen to have as many right answers."""


class Share(NamedTuple):
    """A share of right answers with its 95 % interval."""

    value: float
    low: float
    high: float
    answers: int


class Mean(NamedTuple):
    """A mean with its 95 % interval, whose ends are NaN where it is unknown."""

    value: float
    low: float
    high: float
    answers: int


def share_with_interval(right: np.ndarray, dialogue: np.ndarray) -> Share | None:
    """Share of right answers, with a Wilson interval for answers that come in groups.

    Wilson's interval assumes independent answers. Answers of one dialogue share a memory, so the number of answers is
    divided by the design effect, the variance of the share over dialogues by that of independent answers; since that
    variance is estimated, the quantile is Student's. Where it cannot be estimated (all answers alike, or one dialogue),
    it is taken as the answers per dialogue: every dialogue counts once.

    Args:
        right: float ``(answers,)`` in [0, 1].
        dialogue: int ``(answers,)``, the dialogue of each.

    Returns:
        The share; None without any answer.
    """
    count = len(right)
    if not count:
        return None
    value = float(right.mean())
    independent = value * (1 - value) / count
    variance, groups = _clustered(right, dialogue)
    if groups < 2 or independent <= 0:
        low, high = wilson(value, groups)
    else:
        effect = max(_LEAST_EFFECT, variance / independent)
        low, high = wilson(value, count / effect, _student(groups - 1))
    return Share(value, low, high, count)


def mean_with_interval(values: np.ndarray, dialogue: np.ndarray) -> Mean | None:
    """Mean of values that come in groups, with Student's interval over the groups; unknown of one.

    Args:
        values: float ``(answers,)``.
        dialogue: int ``(answers,)``, the dialogue of each.

    Returns:
        The mean; None without any value.
    """
    if not len(values):
        return None
    value = float(values.mean())
    variance, groups = _clustered(values, dialogue)
    half = _student(groups - 1) * math.sqrt(variance) if groups > 1 else math.nan
    return Mean(value, value - half, value + half, len(values))


def ci95(found: Share | Mean | None) -> list[float] | None:
    """The interval as ``retention.json`` has it; None where it is unknown."""
    return None if found is None or math.isnan(found.low) else [round(found.low, 4), round(found.high, 4)]


def _clustered(values: np.ndarray, dialogue: np.ndarray) -> tuple[float, int]:
    """Variance of the mean when answers of one dialogue depend on each other, and the number of dialogues."""
    _, group = np.unique(dialogue, return_inverse=True)
    residuals = np.bincount(group, weights=values - values.mean())
    groups = len(residuals)
    return groups / max(1, groups - 1) * float((residuals**2).sum()) / len(values) ** 2, groups


@cache
def _student(freedom: int) -> float:
    return float(student.ppf(0.975, freedom))


def wilson(value: float, count: float, quantile: float = _Z95) -> tuple[float, float]:
    """Wilson's interval of a share out of ``count`` independent trials; 95 % for the default ``quantile``."""
    squared = quantile**2
    centre = (value + squared / (2 * count)) / (1 + squared / count)
    half = quantile / (1 + squared / count) * math.sqrt(value * (1 - value) / count + squared / (4 * count**2))
    return max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half))


class Gain(NamedTuple):
    """A mean paired difference with its 95 % interval."""

    mean: float
    low: float
    high: float
    pairs: int


def paired_gain(before: np.ndarray, after: np.ndarray) -> Gain:
    """Mean of ``after - before`` over the same dialogues, with a normal 95 % interval.

    Raises:
        ValueError: when the two are not of the same dialogues, or there are fewer than two.
    """
    before, after = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if before.shape != after.shape or before.ndim != 1 or len(before) < 2:
        raise ValueError(f"needs the same two or more dialogues twice, got {before.shape} and {after.shape}")
    difference = after - before
    mean = float(difference.mean())
    half = _Z95 * float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return Gain(mean, mean - half, mean + half, len(difference))
