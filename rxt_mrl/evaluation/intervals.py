"""95 % intervals for shares and for paired differences, when the answers of a dialogue are not independent."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_Z95 = 1.959963984540054


class Share(NamedTuple):
    """A share of right answers with its 95 % interval."""

    value: float
    low: float
    high: float
    answers: int


def share_with_interval(right: np.ndarray, dialogue: np.ndarray) -> Share | None:
    """Share of right answers, with a Wilson interval for answers that come in groups.

    Wilson's interval assumes independent answers. Answers of one dialogue share a memory, so the number of answers is
    divided by the design effect: the variance of the share over dialogues by that of independent answers (at least
    1). Where it cannot be estimated - all answers alike, or one dialogue - it is taken as the answers per dialogue:
    every dialogue counts once.

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
    _, group = np.unique(dialogue, return_inverse=True)
    sizes = np.bincount(group).astype(float)
    groups = len(sizes)
    independent = value * (1 - value) / count
    if groups < 2 or independent <= 0:
        effective = float(groups)
    else:
        residuals = np.bincount(group, weights=right - value)
        clustered = groups / (groups - 1) * float((residuals**2).sum()) / count**2
        effective = count / max(1.0, clustered / independent)
    low, high = wilson(value, effective)
    return Share(value, low, high, count)


def wilson(value: float, count: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share out of ``count`` independent trials."""
    z2 = _Z95**2
    centre = (value + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 / (1 + z2 / count) * math.sqrt(value * (1 - value) / count + z2 / (4 * count**2))
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
