"""One reward's values: in which forms they may come, and what the reward is called."""

from __future__ import annotations

import functools

import numpy as np
import torch
from rxt_mrl.rewards.length import Length

from rxt_mrl.contracts import RewardContext, reward
from rxt_mrl.scoring import evaluate_reward
from rxt_mrl.scoring.values import name_of

THREE = RewardContext.from_text(["q one", "q two", "q three"], ["a", "b b", "c c c"], "a reference")


def test_values_come_in_many_forms() -> None:
    mask = np.array([True, False, True])
    for scores in (
        [0.5, 0.5, 0.5],
        (0.5, 0.5, 0.5),
        [True, False, True],
        np.full(3, 0.5),
        torch.full((3,), 0.5, dtype=torch.float64, requires_grad=True),
        (torch.full((3,), 0.5), mask),
        ([0.5, None, 0.5], [True, True, False]),
        [np.float32(0.5)] * 3,
        torch.tensor([1.00001, -0.00001, 0.5]),
    ):
        values, problems = evaluate_reward(lambda context, s=scores: s, THREE, "x")
        assert not problems
        assert values.dtype == torch.float32
        known = values[~values.isnan()]
        assert ((known >= 0) & (known <= 1)).all()


def test_what_a_reward_does_wrong_is_returned_and_not_raised() -> None:
    def broken(context: RewardContext) -> list[float]:
        return [float(text) for text in context.generated.text]

    values, problems = evaluate_reward(broken, THREE, "broken")
    assert values.isnan().all()
    assert [problem.row for problem in problems] == [0, 1, 2]


def test_a_reward_is_called_what_it_declares() -> None:
    @reward(name="kind")
    def nice(context: RewardContext, more: int = 0) -> list[float]:
        return [1.0] * len(context)

    assert name_of(functools.partial(nice, more=1)) == "kind"
    assert name_of(Length()) == "Length"
    assert name_of(functools.partial(here)) == "here"


def here(context: RewardContext) -> list[float]:
    return [0.0] * len(context)


def test_what_a_reward_does_to_its_context_reaches_nobody() -> None:
    """Neither the memory, which is written from the same arrays, nor the other terms."""
    context = RewardContext.from_text(["q one", "q two"], ["a b", "c d"], "r", history=[[("h", "i")], [("j", "k")]])
    before = [part.ids.clone() for part in (context.query, context.generated, context.reference, *context.history)]

    def writing(given: RewardContext) -> list[float]:
        for part in (given.query, given.generated, given.reference, *given.history):
            part.ids.numpy()[:] = 1
            part.mask.zero_()
            part.text[0] = "changed"
        return [1.0, 1.0]

    for _ in range(2):
        assert evaluate_reward(writing, context, "x")[1] == []
    after = [part.ids for part in (context.query, context.generated, context.reference, *context.history)]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert context.generated.mask.any()
    assert context.generated.text == ["a b", "c d"]

    def into_embedding(given: RewardContext) -> list[float]:
        assert given.embedding is not None
        given.embedding.mul_(0)
        return [1.0, 1.0]

    problems = evaluate_reward(into_embedding, context, "x")[1]
    assert "changed context.embedding, which all rewards share" in str(problems[0])


def test_a_reward_that_ends_the_program_is_an_error() -> None:
    def leaving(context: RewardContext) -> list[float]:
        raise SystemExit(0)

    values, problems = evaluate_reward(leaving, THREE, "x")
    assert values.isnan().all()
    assert "SystemExit: 0" in str(problems[0])
