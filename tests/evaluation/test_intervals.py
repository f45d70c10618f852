from __future__ import annotations

import numpy as np
import pytest

from rxt_mrl.evaluation.intervals import paired_gain, share_with_interval, wilson


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
    assert (share.low, share.high) == pytest.approx(wilson(0.7, 9), abs=1e-6)


def test_all_right_is_no_certainty():
    share = share_with_interval(np.ones(80), np.repeat(np.arange(10), 8))
    assert share is not None
    assert share.high == 1.0
    assert share.low == pytest.approx(wilson(1.0, 10)[0])
    assert share_with_interval(np.array([]), np.array([])) is None


def test_the_interval_holds_what_it_promises():
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        per_dialogue = draw.beta(8, 2, size=40)
        right = (draw.random((40, 6)) < per_dialogue[:, None]).astype(float)
        share = share_with_interval(right.ravel(), np.repeat(np.arange(40), 6))
        inside += share.low <= 0.8 <= share.high
    assert inside / 400 > 0.92


def test_paired_gain():
    before, after = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 5.0])
    gain = paired_gain(before, after)
    assert gain.mean == pytest.approx(4 / 3)
    assert gain.low == pytest.approx(4 / 3 - 1.959964 / 3)
    assert gain.pairs == 3
    with pytest.raises(ValueError, match="same two or more"):
        paired_gain(before, after[:2])
