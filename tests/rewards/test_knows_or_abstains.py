"""Abstaining: less than right and more than wrong, and most where nobody told the fact."""

from __future__ import annotations

import pytest
import torch
from rxt_mrl.rewards import answer_shares
from rxt_mrl.rewards.abstaining import abstains
from rxt_mrl.rewards.knows_or_abstains import KnowsOrAbstains

from rxt_mrl.contracts import NEVER_TOLD, Ask, RewardContext, RewardSpec
from rxt_mrl.errors import UserError
from rxt_mrl.scoring import WeightedReward

TOLD = (Ask("red", 0, ("blue",), "color"),)
UNTOLD = (Ask("", NEVER_TOLD, ("red", "blue"), "color"),)
QUERY = "What colour was the boy's toy?"


def context(answers: list[str], asks: list[tuple[Ask, ...]], **options: object) -> RewardContext:
    return RewardContext.from_text([QUERY] * len(answers), answers, "It was red.", asks=asks, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer",
    [
        "I do not know.",
        "I don't know what colour the toy was.",
        "I'm not sure.",
        "No idea!",
        "Sorry, you never told me.",
        "I cannot tell.",
        "The boy's toy was something unknown.",
        "I do not know whether it is red.",
    ],
)
def test_abstentions(answer: str) -> None:
    assert abstains(answer, QUERY, UNTOLD)


@pytest.mark.parametrize(
    "answer",
    ["", "It was red.", "It was not red.", "I do not know. It was red.", "I do not know but it was pink.", "I know."],
)
def test_claims_beside_an_abstention_are_claims(answer: str) -> None:
    assert not abstains(answer, QUERY, UNTOLD)


def test_what_each_answer_earns() -> None:
    answers = ["It was red.", "I do not know.", "It was blue.", ""]
    batch = context(answers * 2, [TOLD] * 4 + [UNTOLD] * 4)
    scores, applies = KnowsOrAbstains(abstain=0.4)(batch)
    assert scores.tolist() == pytest.approx([1, 0.4, 0, 0, 0, 1, 0, 0])
    assert applies.all()
    assert KnowsOrAbstains(recognised=0.7)(batch)[0][5].item() == pytest.approx(0.7)
    assert not KnowsOrAbstains()(context(["It was red."], [()]))[1].any()


def test_abstaining_pays_less_where_the_other_answers_from_the_memory_are_right() -> None:
    answers = ["It was red.", "It was red.", "It was blue.", "I do not know.", "I do not know.", "I do not know."]
    pasts = [[("One story.", "Yes.")]] * 4 + [[("Another story.", "Yes.")]] * 2
    batch = context(answers, [TOLD] * 6, history=pasts)
    scores, _ = KnowsOrAbstains(abstain=0.6, relative=True)(batch)
    assert scores.tolist() == pytest.approx([1, 1, 0, 0.2, 0.6, 0.6])


def test_shares_of_told_questions_add_up() -> None:
    answers = ["It was red.", "I do not know.", "It was blue.", "I do not know.", "It was blue."]
    batch = context(answers, [TOLD] * 3 + [UNTOLD] * 2)
    path = "rxt_mrl.rewards.answer_shares"
    names = ("right", "wrong", "abstained", "right_of_answered", "recognised")
    spec = {"terms": [{"use": "knows_or_abstains"}], "metrics": [{"use": f"{path}:{name}"} for name in names]}
    result = WeightedReward(RewardSpec.model_validate(spec))(batch)
    means = {name: float(values.nanmean()) for name, values in result.metrics.items()}
    third = pytest.approx(1 / 3)
    assert means == {"right": third, "wrong": third, "abstained": third, "right_of_answered": 0.5, "recognised": 0.5}
    assert torch.equal(answer_shares.right(batch)[1], torch.tensor([True] * 3 + [False] * 2))


@pytest.mark.parametrize(
    ("options", "message"), [({"abstain": 1.0}, "abstain 1.0"), ({"recognised": 2}, "recognised 2: from 0 to 1")]
)
def test_bad_options_are_one_line(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        KnowsOrAbstains(**options)
