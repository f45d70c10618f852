"""Rewards by name, class, function or file; and what one that cannot be used says."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import ray.cloudpickle
from rxt_mrl.rewards.length import Length

from rxt_mrl.contracts import RewardContext, reward
from rxt_mrl.errors import UserError
from rxt_mrl.scoring import build_reward, load_reward

CONTEXT = RewardContext.from_text(["q"] * 2, ["a", "b"], "a")

MY_REWARD = '''
"""A user's reward."""
from dataclasses import dataclass
from rxt_mrl.contracts import RewardContext, reward

@reward(weight=0.3, name="short_answers")
@dataclass
class Short:
    limit: int = 5

    def __call__(self, context: RewardContext):
        return [float(len(text) <= self.limit) for text in context.generated.text]

def same(context, bonus=0.0):
    return [0.5 + bonus] * len(context)

def _hidden(context):
    return [0.0] * len(context)
'''


@pytest.fixture
def my_file(tmp_path: Path) -> Path:
    path = tmp_path / "my.py"
    path.write_text(MY_REWARD)
    return path


@pytest.mark.parametrize("spec", ["length", "rxt_mrl.rewards.length:Length", Length])
def test_ways_to_name_a_reward(spec: Any) -> None:
    assert load_reward(spec, target=4).target == 4


def test_classes_functions_and_objects_of_a_file(my_file: Path) -> None:
    short = load_reward(f"{my_file}:Short", limit=0)
    assert short(CONTEXT) == [0.0, 0.0]
    assert load_reward(f"{my_file}:same")(CONTEXT) == [0.5, 0.5]
    assert load_reward(f"{my_file}:same", bonus=0.25)(CONTEXT) == [0.75, 0.75]
    assert load_reward(short) is short
    assert load_reward(str(my_file)).limit == 5  # the only one declared with @reward


def test_a_reward_of_a_file_is_pickled_by_value(my_file: Path) -> None:
    """As on a Ray worker, which cannot import the file."""
    short = load_reward(f"{my_file}:Short", limit=1)
    data = ray.cloudpickle.dumps(short)
    name = type(short).__module__
    module = sys.modules.pop(name)
    try:
        again = pickle.loads(data)
    finally:
        sys.modules[name] = module
    assert again(CONTEXT) == [1.0, 1.0]
    assert again.limit == 1


@pytest.mark.parametrize(
    ("text", "suffix", "message"),
    [
        ("def f(:\n", ":f", r"bad\.py:1 cannot be loaded: SyntaxError"),
        ("x = 1\n\nimport nowhere_at_all\n", ":f", r"bad\.py:3 cannot be loaded: ModuleNotFoundError"),
        ("def f(a, b, c):\n    return []\n", ":f", r"bad\.py:1\) has the signature \(a, b, c\)"),
        ("def f():\n    return []\n", ":f", "called as reward"),
        ("f = 3\n", ":f", "is not callable, it is a int"),
        ("def f(c):\n    return []\n", ":g", "has no 'g'; it defines f"),
        ("def f(c):\n    return []\ndef g(c):\n    return []\n", "", "say which one.*f, g"),
        ("class F:\n    def __init__(self, size):\n        pass\n", ":F", "needs option.s. size"),
        ("class F:\n    def __init__(self):\n        raise ValueError('too\\nbad')\n", ":F", "too bad"),
        ("class F:\n    pass\n", ":F", "is not callable"),
    ],
)
def test_a_file_that_does_not_work_is_one_line(tmp_path: Path, text: str, suffix: str, message: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_reward(f"{path}{suffix}")
    assert "\n" not in str(caught.value)


def test_a_declared_weight_must_be_possible() -> None:
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="at least 0"):
            reward(weight=weight)


def test_an_environment_takes_whatever_names_a_reward() -> None:
    for given in ("length", {"terms": [{"use": "length"}]}, Length, Length(), lambda context: [0.5] * len(context)):
        score = build_reward(given)
        assert score is not None
        assert score(CONTEXT).valid.all()
    assert build_reward(None) is None


def test_a_wrong_spec_is_one_line_with_the_key() -> None:
    with pytest.raises(UserError, match=r"^reward: unknown key 'terms.0.wieght' \(did you mean 'weight'\?\); allowed"):
        build_reward({"terms": [{"use": "length", "wieght": 2}]})


def test_a_trl_function_serves_an_environment() -> None:
    def right(prompts: list[str], completions: list[str], reference: list[str], **_: Any) -> list[float]:
        return [float(a == b) for a, b in zip(completions, reference, strict=True)]

    score = build_reward(right)
    assert score is not None
    assert score(CONTEXT).total.tolist() == [1.0, 0.0]
