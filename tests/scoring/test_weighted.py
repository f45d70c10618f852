"""The weighted reward: weights, masks, errors and where they are reported."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rxt_mrl.contracts import Ask, RewardContext, RewardSpec, reward
from rxt_mrl.errors import UserError
from rxt_mrl.scoring import RewardError, WeightedReward, build_reward

THREE = RewardContext.from_text(["q one", "q two", "q three"], ["a", "b b", "c c c"], "a reference")


@reward()
def half(context: RewardContext) -> list[float]:
    return [0.5] * len(context)


@reward()
def ones(context: RewardContext) -> torch.Tensor:
    return torch.ones(len(context))


@reward()
def second_is_missing(context: RewardContext) -> list[float | None]:
    return [None if text == "b b" else 1.0 for text in context.generated.text]


@reward()
def breaks_on_second(context: RewardContext) -> list[float]:
    return [1.0 / (text != "b b") for text in context.generated.text]  # the line that fails


@reward()
def breaks_on_batches(context: RewardContext) -> list[float]:
    if len(context) > 1:
        raise RuntimeError("one at a time")
    return [0.5]


@reward()
def nan_on_second(context: RewardContext) -> np.ndarray:
    return np.array([math.nan if text == "b b" else 0.25 for text in context.generated.text])


@reward()
def too_high_on_second(context: RewardContext) -> list[float]:
    return [3.0 if text == "b b" else 0.25 for text in context.generated.text]


@reward()
def too_short(context: RewardContext) -> list[float]:
    return [0.5]


@reward()
def text_instead(context: RewardContext) -> Any:
    return ["good"] * len(context)


@reward()
def nothing(context: RewardContext) -> Any:
    return None


@reward()
def length(context: RewardContext) -> torch.Tensor:
    return context.generated.content_mask.sum(1).float()


@reward(weight=3.0, name="declared")
def declared(context: RewardContext) -> torch.Tensor:
    return torch.ones(len(context))


@reward(weight=2.0)
class Sized:
    def __init__(self, size: float = 1.0) -> None:
        self.size = size

    def __call__(self, context: RewardContext) -> list[float]:
        return [self.size] * len(context)


def here(function: Callable[..., Any]) -> str:
    return f"{function.__module__}:{function.__name__}"


def spec(*terms: Any, **more: Any) -> RewardSpec:
    return RewardSpec.model_validate({"terms": [t if isinstance(t, dict) else {"use": t} for t in terms], **more})


def test_weights_are_normalised_and_declared_ones_hold_unless_given() -> None:
    total = WeightedReward(spec(here(half), here(declared)))
    assert total.weights == {"half": 0.25, "declared": 0.75}
    assert total(THREE).total.tolist() == [0.875] * 3
    given = WeightedReward(spec({"use": here(half), "weight": 1}, {"use": here(declared), "weight": 1}))
    assert given(THREE).total.tolist() == [0.75] * 3
    sized = WeightedReward(spec({"use": here(Sized), "options": {"size": 0.5}}, here(half)))
    assert sized.weights == pytest.approx({"Sized": 2 / 3, "half": 1 / 3})


def test_two_terms_of_one_name_are_told_apart() -> None:
    twice = WeightedReward(spec({"use": "length"}, {"use": "length", "options": {"target": 3}}))
    assert list(twice.weights) == ["length", "length_2"]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([{"use": "bleu", "weight": 0}], "sum to 0"),
        ([{"use": "blue"}], "did you mean 'bleu'"),
        ([{"use": "length", "options": {"targt": 3}}], "unknown option 'targt'"),
    ],
)
def test_impossible_specs_are_one_line(terms: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        WeightedReward(spec(*terms))
    assert "\n" not in str(caught.value)


def test_where_a_term_does_not_apply_the_others_share_its_weight() -> None:
    result = WeightedReward(spec({"use": here(second_is_missing), "weight": 3}, {"use": here(half), "weight": 1}))(
        THREE
    )
    assert result.valid.all()
    assert result.total.tolist() == pytest.approx([0.875, 0.5, 0.875])
    assert result.terms["second_is_missing"].isnan().tolist() == [False, True, False]
    alone = WeightedReward(spec(here(second_is_missing)))(THREE)
    assert alone.valid.tolist() == [True, False, True]
    assert alone.total.tolist() == [1.0, 0.0, 1.0]


def test_fact_recall_beside_bleu_on_data_without_annotations() -> None:
    batch = RewardContext.from_text(["q"] * 2, ["Rex", "Rex"], "Rex", asks=[[Ask("Rex", 0)], []])
    result = WeightedReward(spec({"use": "fact_recall", "weight": 4}, {"use": "length", "weight": 1}))(batch)
    assert result.valid.all()
    assert result.total.tolist() == [1.0, 1.0]


def test_metrics_are_logged_and_not_rewarded() -> None:
    total = WeightedReward(spec(here(half), metrics=[{"use": here(length)}]))
    result = total(THREE)
    assert total.metric_names == ["length"]
    assert result.metrics["length"].tolist() == [1, 2, 3]
    assert result.total.tolist() == [0.5] * 3
    summary = result.summary()
    assert summary["metrics/length/mean"] == 2.0
    assert summary["terms/half/weighted"] == 0.5
    assert summary["total/std"] == 0.0
    assert summary["valid"] == 1.0


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (breaks_on_second, "ZeroDivisionError: float division by zero"),
        (nan_on_second, "returned nan, expected a float in [0, 1]"),
        (too_high_on_second, "returned 3, expected a float in [0, 1]"),
    ],
)
def test_a_failure_names_term_line_and_example(function: Callable[..., Any], what: str) -> None:
    with pytest.raises(RewardError) as caught:
        WeightedReward(spec(here(function)))(THREE)
    message = str(caught.value)
    assert f"reward {function.__name__!r}" in message
    assert what in message
    assert f"{Path(__file__).name}:" in message
    assert "episode 1: query 'q two', answer 'b b', reference 'a reference'" in message
    assert "\n" not in message
    assert caught.value.row == 1


def test_the_line_is_the_one_that_failed() -> None:
    line = next(
        i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if text.endswith("line that fails")
    )
    with pytest.raises(RewardError, match=f"test_weighted.py:{line};"):
        WeightedReward(spec(here(breaks_on_second)))(THREE)


@pytest.mark.parametrize("function", [breaks_on_second, nan_on_second, too_high_on_second])
def test_skipped_examples_are_masked_and_nothing_else_is_lost(function: Callable[..., Any]) -> None:
    result = WeightedReward(spec(here(function), here(half), on_error="skip"))(THREE)
    assert result.valid.tolist() == [True, False, True]
    assert result.terms[function.__name__].isnan().tolist() == [False, True, False]
    assert (result.total[[0, 2]] > 0).all()
    assert len(result.errors) == 1
    assert result.summary()["errors"] == 1.0


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (too_short, "returned shape (1,), expected (3,)"),
        (text_instead, "returned a list that is not 1 floats"),
        (nothing, "returned a NoneType"),
        (breaks_on_batches, "RuntimeError: one at a time"),
    ],
)
def test_a_failure_of_the_batch_is_reported(function: Callable[..., Any], what: str) -> None:
    with pytest.raises(RewardError) as caught:
        WeightedReward(spec(here(function)))(THREE)
    assert what in str(caught.value)
    assert f"{Path(__file__).name}:" in str(caught.value)
    skipped = WeightedReward(spec(here(function), here(half), on_error="skip"))(THREE)
    assert not skipped.valid.any()
    assert skipped.total.tolist() == [0.0] * 3


def test_a_failing_metric_masks_nothing() -> None:
    result = WeightedReward(spec(here(half), metrics=[{"use": here(breaks_on_second)}], on_error="skip"))(THREE)
    assert result.valid.all()
    assert not result.failed.any()
    assert result.metrics["breaks_on_second"].isnan().tolist() == [False, True, False]


def test_an_empty_batch() -> None:
    result = WeightedReward(spec("bleu", here(half)))(THREE.select([]))
    assert result.total.shape == (0,)
    assert result.summary()["valid"] == 0.0


def test_it_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(WeightedReward(spec("bleu", "fact_recall"))))
    assert again.weights == {"bleu": 0.5, "fact_recall": 0.5}


def test_a_list_of_rewards_is_their_sum():
    context = RewardContext.from_text(["q"], ["a b"], "a b")
    for given in (["bleu", "length"], [{"use": "bleu"}, "length"], {"terms": ["bleu", "length"]}):
        assert build_reward(given)(context).weights == {"bleu": 0.5, "length": 0.5}
    assert RewardSpec.model_validate({"use": "bleu", "weight": 2}).terms[0].weight == 2
    with pytest.raises(UserError, match=r"a list .* names and terms, got the builtin_function_or_method 'len'"):
        build_reward(["bleu", len])


async def _judge(context):
    return [0.5] * len(context)


@pytest.mark.parametrize(
    ("reward", "line"),
    [
        (lambda context: _judge(context), "returned a coroutine: declare the reward itself 'async def'"),
        (lambda context: (0.5 for _ in range(len(context))), "returned a generator: it must return a list"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_score_yet_says_what_to_do(reward, line):
    with pytest.raises(UserError, match=line):
        build_reward(reward)(RewardContext.from_text(["q"], ["a"], "a"))


@pytest.mark.filterwarnings("error")
def test_a_call_in_place_of_a_function_says_so():
    with pytest.raises(UserError, match="the reward is a coroutine: give the function, and do not call it"):
        build_reward(_judge(None))
