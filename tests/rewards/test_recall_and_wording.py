"""Recall times wording: right answers are ranked by their words, wrong ones are not."""

from __future__ import annotations

import pytest
from rxt_mrl.rewards.recall_and_wording import RecallAndWording

from rxt_mrl.contracts import Ask, RewardContext
from rxt_mrl.errors import UserError

ASK = Ask("red", 0, ("blue",))


def scores(*answers: str, asked: bool = True, wording: float = 0.2) -> tuple[list[float], list[bool]]:
    asks = [(ASK,) if asked else ()] * len(answers)
    told = RewardContext.from_text(["Which?"] * len(answers), answers, "The ball of the girl was red.", asks=asks)
    values, applies = RecallAndWording(wording)(told)
    return values.tolist(), applies.tolist()


def test_the_wording_of_right_answers_counts_and_of_wrong_ones_does_not() -> None:
    (right, other, bare, wrong, garbled), applies = scores(
        "The ball of the girl was red.", "The boy was red.", "red", "The ball of the girl was blue.", "The boy blue."
    )
    assert all(applies)
    assert right == pytest.approx(1)
    assert 0.8 <= bare <= other < 0.95
    assert wrong == garbled == 0


def test_nothing_is_scored_where_nothing_is_asked() -> None:
    assert scores("What a nice story.", asked=False)[1] == [False]


def test_without_weight_it_is_recall() -> None:
    assert scores("red", "blue", wording=0.0)[0] == [1.0, 0.0]


def test_a_share_is_a_share() -> None:
    with pytest.raises(UserError, match=r"wording 2: allowed: 0 \.\. 1"):
        RecallAndWording(2)
