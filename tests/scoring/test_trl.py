"""Rewards in TRL's convention, in both directions."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rxt_mrl.contracts import Ask, Columns, MissingColumnError, RewardContext, RewardSpec
from rxt_mrl.errors import UserError
from rxt_mrl.scoring import RewardError, WeightedReward, build_reward, from_trl, load_reward, to_trl

CONTEXT = RewardContext.from_text(
    ["q one", "q two"], ["a", "b b"], ["a", "b"], history=[[("x", "y")], [("z", "w")]], asks=[[Ask("a", 0)], []]
)


def starts_right(
    prompts: list[str], completions: list[str], reference: list[str], **columns: Any
) -> list[float | None]:
    assert prompts == ["q one", "q two"][: len(prompts)] or len(prompts) == 1
    assert set(columns) >= {"history", "asks", "step", "completion_ids", "trainer_state", "log_metric"}
    columns["log_metric"]("seen", 1.0)
    return [float(c.startswith(r)) if r == "a" else None for c, r in zip(completions, reference, strict=True)]


def signed(completions: list[str], prompts: list[str]) -> list[float]:
    return [-1.0 if " " in text else 1.0 for text in completions]


def wants_solution(prompts: list[str], completions: list[str], solution: list[str]) -> list[float]:
    return [float(a == b) for a, b in zip(completions, solution, strict=True)]


def chat(prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
    return [
        float(c[-1]["content"] == "a" and p[-1]["role"] == "user") for p, c in zip(prompts, completions, strict=True)
    ]


async def later(prompts: list[str], completions: list[str]) -> list[float]:
    return [0.0] * len(prompts)


def test_a_trl_function_is_recognised_and_adapted() -> None:
    adapted = load_reward(starts_right)
    assert adapted(CONTEXT) == [1.0, None]
    result = WeightedReward(RewardSpec.model_validate({"terms": [{"use": f"{__name__}:starts_right"}]}))(CONTEXT)
    assert result.valid.tolist() == [True, False]
    assert list(result.terms) == ["starts_right"]


def test_values_of_another_range_are_rescaled() -> None:
    assert load_reward(signed, low=-1, high=1)(CONTEXT) == [1.0, 0.0]
    with pytest.raises(UserError, match="below"):
        from_trl(signed, low=1, high=0)


def test_options_of_an_adapted_function() -> None:
    with pytest.raises(UserError, match="unknown option 'lo'; allowed: low, high, columns, conversational"):
        load_reward(signed, lo=-1)


class Judge:
    def __init__(self, wanted: str) -> None:
        self.wanted = wanted

    def __call__(self, prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        return [float(text == self.wanted) for text in completions]


def test_a_class_that_is_called_as_trl_calls() -> None:
    assert load_reward(Judge, wanted="a")(CONTEXT) == [1.0, 0.0]


def test_columns_by_other_names() -> None:
    with pytest.raises(MissingColumnError, match=r"needs the column 'solution'; there are reference"):
        load_reward(wants_solution)(CONTEXT)
    assert load_reward(wants_solution, columns={"solution": "reference"})(CONTEXT) == [1.0, 0.0]
    with pytest.raises(MissingColumnError, match="needs the column 'truth'"):
        from_trl(wants_solution, columns={"solution": "truth"})(CONTEXT)
    given = RewardContext.from_text(["q"] * 2, ["a", "b"], columns={"solution": ["a", "a"], "truth": ["b", "b"]})
    assert load_reward(wants_solution)(given) == [1.0, 0.0]
    assert from_trl(wants_solution, columns={"solution": "truth"})(given) == [0.0, 1.0]


def test_conversational_functions() -> None:
    assert from_trl(chat, conversational=True)(CONTEXT) == [1.0, 0.0]


def test_asynchronous_functions_are_awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RXT_MRL_CACHE", str(tmp_path))
    assert load_reward(later, low=-1)(CONTEXT) == [0.5, 0.5]


def test_errors_point_into_the_function(tmp_path: Path) -> None:
    path = tmp_path / "theirs.py"
    path.write_text("def theirs(prompts, completions, **columns):\n    return [1 / 0 for _ in prompts]\n")
    total = WeightedReward(RewardSpec.model_validate({"terms": [{"use": f"{path}:theirs"}]}))
    with pytest.raises(RewardError, match=r"reward 'theirs': ZeroDivisionError.*theirs\.py:2; episode 0"):
        total(CONTEXT)


def test_an_adapted_function_travels() -> None:
    assert pickle.loads(pickle.dumps(from_trl(signed, low=-1)))(CONTEXT) == [1.0, 0.0]


def test_ours_for_trl_with_plain_text() -> None:
    function = to_trl("length")
    assert function.__name__ == "Length"
    assert function(prompts=["q", "q"], completions=["a b", "a"], reference=["a b", "a b"], trainer_state=None) == [
        1,
        0.5,
    ]
    assert to_trl("length", reference="answer", name="len").__name__ == "len"


def test_ours_for_trl_with_messages_facts_and_histories_of_different_length() -> None:
    prompts = [
        [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "My dog is called Rex, a good dog."},
            {"role": "assistant", "content": "Nice."},
            {"role": "user", "content": "What is his name?"},
        ],
        [{"role": "user", "content": "What is his name?"}],
        "What is his name?",
    ]
    copied = "My dog is called Rex, a good dog. Nice."
    completions = [[{"role": "assistant", "content": copied}], [{"role": "assistant", "content": "Rex."}], "Rex."]
    asks = [[{"value": "Rex", "told_at": 0}], [{"value": "Rex", "told_at": 0, "wrong": ["Max"]}], []]
    function = to_trl("fact_recall")
    assert function(prompts, completions, reference=["His name is Rex."] * 3, asks=asks) == [0.0, 1.0, None]


def test_a_history_column() -> None:
    history = [[("My dog is called Rex.", "Nice.")], [{"query": "My dog is called Rex.", "answer": "Nice."}]]
    scores = to_trl("coherence")(["q"] * 2, ["My dog is called Rex", "kite"], reference=["", ""], history=history)
    assert None not in scores
    assert scores[0] > scores[1]  # type: ignore[operator]


def test_a_weighted_reward_for_trl() -> None:
    total = WeightedReward(RewardSpec.model_validate({"terms": [{"use": "fact_recall"}]}))
    assert to_trl(total)(["q"], ["Rex"], reference=["Rex"]) == [None]


def test_a_failing_reward_is_reported_to_trl() -> None:
    def broken(context: RewardContext) -> list[float]:
        raise KeyError("colour")

    with pytest.raises(RewardError, match="KeyError: 'colour'"):
        to_trl(broken)(["q"], ["a"], reference=["a"])


def test_ours_for_trl_reads_parts_none_tools_and_several_completions() -> None:
    function = to_trl("fact_recall")
    asks = [[{"value": "red", "told_at": 0}]]

    def said(content: Any, **more: Any) -> dict[str, Any]:
        return {"role": "assistant", "content": content, **more}

    call = {"type": "function", "function": {"name": "answer", "arguments": {"color": "red"}}}
    completions: list[Any] = [
        [said([{"type": "text", "text": "It is "}, {"type": "text", "text": "red."}])],
        [said(None)],
        [said(None, tool_calls=[call]), {"role": "tool", "content": "done"}, said("It is red.")],
        [said(None, tool_calls=[call])],
        [said([{"type": "image"}, {"type": "text", "text": "red"}])],
        [],
        None,
    ]
    prompts = [[{"role": "user", "content": [{"type": "text", "text": "What color?"}]}]]
    assert function(prompts=prompts * 7, completions=completions, asks=asks * 7) == [1, 0, 1, 1, 1, 0, 0]
    assert function(prompts=prompts, completions=completions, asks=asks) == [1, 0, 1, 1, 1, 0, 0]
    two = function(prompts=["a", "b"], completions=["red", "blue", "red", "blue"], asks=asks * 2)
    assert two == [1, 0, 1, 0]
    with pytest.raises(UserError, match="3 completions to 2 prompts"):
        function(prompts=["a", "b"], completions=["x", "y", "z"])


def test_numbers_and_lone_messages_for_ours() -> None:
    recall, bleu = to_trl("fact_recall"), to_trl("bleu")
    asks = [[{"value": 3, "wrong": [4, 5]}]]
    for said in (3, [{"type": "text", "text": 3}], "3"):
        assert recall(["How many?"], [{"role": "assistant", "content": said}], asks=asks) == [1.0]
    call = {"function": {"name": "answer", "arguments": 3}}
    assert recall(["How many?"], [[{"role": "assistant", "content": None, "tool_calls": [call]}]], asks=asks) == [1.0]
    assert recall(["?"], ["blue or red"], asks=[[{"value": "red", "wrong": "blue"}]]) == [0.0]
    assert recall(["?"], ["red"], asks=np.array([[{"value": "red", "wrong": "blue"}]], dtype=object)) == [1.0]
    assert bleu([{"role": "user", "content": "?"}], ["0"], reference=[0]) == [1.0]
    assert bleu(["?"], ["It is red"], reference=[[{"role": "assistant", "content": "It is red"}]])[0] > 0.5


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"prompts": [None]}, "None is no prompt: a text or a list of messages is needed"),
        ({"completions": [["red"]]}, "['red'] is no completion: a text or"),
        ({"reference": [["red", "blue"]]}, "['red', 'blue'] is no completion"),
        ({"asks": [{"value": "red"}]}, "'value' is no fact: asks has a list of"),
        ({"asks": [[{"told_at": 0}]]}, "{'told_at': 0} is no fact"),
        ({"history": [[{"role": "user", "content": "x"}]]}, "is no earlier interaction: [query, answer] or"),
        ({"history": [["x", "y"]]}, "'x' is no earlier interaction"),
    ],
)
def test_what_is_no_column_of_ours(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        to_trl("bleu")(**{"prompts": ["q"], "completions": ["red"], "reference": ["red"]} | columns)


def test_columns_of_the_data_come_before_ours_as_in_trl() -> None:
    columns = {"reference": ["c", "d"], "prompts": [1, 2], "completions": [3, 4], "completion_ids": [5, 6]}
    given = replace(CONTEXT, columns=Columns(columns))

    def gold(prompts: list[str], completions: list[str], reference: list[str], **others: Any) -> list[float]:
        assert (prompts, completions, others["step"]) == (["q one", "q two"], ["a", "b b"], [1, 1])
        assert all(isinstance(ids, list) for ids in others["completion_ids"])
        return [float(text in "cd") for text in reference]

    assert from_trl(gold)(given) == [1.0, 1.0]


def test_columns_of_trl_reach_our_rewards() -> None:
    def easy(context: RewardContext) -> list[float]:
        return [float(level == 1) for level in context.columns["difficulty"]]

    assert to_trl(easy)(prompts=["q", "q"], completions=["a", "b"], difficulty=[1, 2], trainer_state=None) == [1, 0]


def test_a_function_that_reads_messages_is_told_of_the_option():
    def told(prompts, completions, **kwargs):
        return [1.0 if "a" in completion[0]["content"] else 0.0 for completion in completions]

    context = RewardContext.from_text(["q"], ["a"], "a")
    with pytest.raises(UserError, match="needs the option conversational: true"):
        build_reward(told)(context)
    assert build_reward(from_trl(told, conversational=True))(context).total.tolist() == [1.0]
