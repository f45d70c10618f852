from __future__ import annotations

import math

import numpy as np
import pytest

from rxt_mrl.evaluation.intervals import ci95, mean_with_interval, paired_gain, share_with_interval, wilson


def test_wilson_against_a_textbook_value():
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_independent_answers_have_wilsons_interval():
    right = np.array([1.0] * 70 + [0.0] * 30)
    share = share_with_interval(right, np.arange(100))
    assert share is not None
    # Every answer is a dialogue of its own: the design effect is n / (n - 1), which is next to nothing.
    assert (share.low, share.high) == pytest.approx(wilson(0.7, 100), abs=1e-2)


def test_answers_of_one_dialogue_count_less():
    right = np.repeat([1.0] * 7 + [0.0] * 3, 10)
    share = share_with_interval(right, np.repeat(np.arange(10), 10))
    assert share is not None
    assert share.value == 0.7
    assert (share.low, share.high) == pytest.approx(wilson(0.7, 9, 2.262157), abs=1e-6)  # Student's, 9 degrees


def test_all_right_is_no_certainty():
    share = share_with_interval(np.ones(80), np.repeat(np.arange(10), 8))
    assert share is not None
    assert share.high == 1.0
    assert share.low == pytest.approx(wilson(1.0, 10)[0])
    assert share_with_interval(np.array([]), np.array([])) is None


def recalls(kind: str, draw: np.random.Generator, dialogues: int, steps: int) -> np.ndarray:
    """Chances of being right ``(dialogues, steps)``, of mean 0.8: alike, by dialogue, or falling with the step."""
    if kind == "by dialogue":
        return np.repeat(draw.beta(8, 2, size=(dialogues, 1)), steps, 1)
    chances = np.full(steps, 0.8) if kind == "alike" else np.linspace(0.95, 0.65, steps)
    return np.broadcast_to(chances, (dialogues, steps))


@pytest.mark.parametrize("kind", ["alike", "by dialogue", "by step"])
@pytest.mark.parametrize(("dialogues", "steps"), [(20, 8), (100, 8), (300, 1)])
def test_a_policy_of_known_recall_is_covered(kind: str, dialogues: int, steps: int) -> None:
    """Simulated evaluations: twice 500, since of 500 a true 95 % may be 93 by chance."""
    draw = np.random.default_rng(2)
    number = np.repeat(np.arange(dialogues), steps)
    mean = recalls("by step", draw, 1, steps).mean() if kind == "by step" else 0.8
    inside = 0
    for _ in range(1000):
        right = draw.random((dialogues, steps)) < recalls(kind, draw, dialogues, steps)
        share = share_with_interval(right.ravel().astype(float), number)
        assert share is not None
        inside += share.low <= mean <= share.high
    assert 0.93 <= inside / 1000 <= 0.97


def test_the_interval_of_a_mean_covers_it_too():
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(500):
        values = draw.exponential(size=(25, 1)) + draw.normal(size=(25, 8))
        mean = mean_with_interval(values.ravel(), np.repeat(np.arange(25), 8))
        assert mean is not None
        inside += mean.low <= 1.0 <= mean.high
    assert 0.92 <= inside / 500 <= 0.97
    assert mean_with_interval(np.array([]), np.array([])) is None


def test_one_dialogue_says_nothing_of_the_spread_of_others():
    one = mean_with_interval(np.array([0.2, 0.4]), np.array([7, 7]))
    assert one is not None
    assert (one.value, one.answers) == (pytest.approx(0.3), 2)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert ci95(one) is None
    assert ci95(mean_with_interval(np.array([0.2, 0.4]), np.array([0, 1]))) == [-0.9706, 1.5706]


def test_paired_gain():
    before, after = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 5.0])
    gain = paired_gain(before, after)
    assert gain.mean == pytest.approx(4 / 3)
    assert gain.low == pytest.approx(4 / 3 - 1.959964 / 3)
    assert gain.pairs == 3
    with pytest.raises(ValueError, match="same two or more"):
        paired_gain(before, after[:2])
