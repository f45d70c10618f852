"""Finding plug-ins: names, dotted paths, files; and what a wrong one says."""

from __future__ import annotations

import functools
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import ray.cloudpickle
from rxt_mrl.rewards.length import Length

from rxt_mrl import plugins
from rxt_mrl.contracts import RewardContext, reward
from rxt_mrl.errors import UserError

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


def test_our_names_are_listed_with_a_line_each() -> None:
    shipped = {"bleu", "coherence", "embedding_cosine", "fact_recall", "length", "published", "repetition"}
    assert shipped | {"sentence_cosine", "topic_switch"} <= set(plugins.names("reward"))
    lines = plugins.describe("reward")
    assert all(line and "cannot be loaded" not in line for line in lines.values())


@pytest.mark.parametrize("spec", ["length", "rxt_mrl.rewards.length:Length", Length])
def test_ways_to_name_a_reward(spec: Any) -> None:
    assert plugins.load("reward", spec, target=4).target == 4


def test_hyphens_and_underscores_are_the_same() -> None:
    assert type(plugins.load("reward", "fact-recall")) is type(plugins.load("reward", "fact_recall"))


def test_classes_functions_and_objects_of_a_file(my_file: Path) -> None:
    short = plugins.load("reward", f"{my_file}:Short", limit=0)
    assert short(CONTEXT) == [0.0, 0.0]
    assert plugins.load("reward", f"{my_file}:same")(CONTEXT) == [0.5, 0.5]
    assert plugins.load("reward", f"{my_file}:same", bonus=0.25)(CONTEXT) == [0.75, 0.75]
    assert plugins.load("reward", short) is short
    assert plugins.load("reward", str(my_file)).limit == 5  # the only one declared with @reward


def test_a_file_is_run_once_until_it_changes(my_file: Path) -> None:
    first = plugins.find("reward", f"{my_file}:Short")
    assert plugins.find("reward", f"{my_file.parent}/../{my_file.parent.name}/my.py:Short") is first
    my_file.write_text(MY_REWARD.replace("limit: int = 5", "limit: int = 1"))
    assert plugins.load("reward", f"{my_file}:Short").limit == 1


def test_two_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    for folder, value in (("one", 0.25), ("two", 0.75)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.py").write_text(f"def mine(context):\n    return [{value}] * len(context)\n")
    values = [plugins.load("reward", f"{tmp_path / folder}/my.py:mine")(CONTEXT)[0] for folder in ("one", "two")]
    assert values == [0.25, 0.75]


def test_a_reward_of_a_file_is_pickled_by_value(my_file: Path) -> None:
    """As on a Ray worker, which cannot import the file."""
    short = plugins.load("reward", f"{my_file}:Short", limit=1)
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
    ("spec", "message"),
    [
        ("lenght", r"did you mean 'length'\?\); allowed: bleu, "),
        ("no.such.module:X", "cannot be imported: ModuleNotFoundError"),
        ("rxt_mrl.rewards.length:Lenght", "has no 'Lenght' .did you mean 'Length'"),
        ("nowhere/my.py:X", "no file 'nowhere/my.py'"),
        ("", "named by a string"),
    ],
)
def test_an_unknown_name_lists_what_is_allowed(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        plugins.load("reward", spec)
    assert "\n" not in str(caught.value)


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
        plugins.load("reward", f"{path}{suffix}")
    assert "\n" not in str(caught.value)


def test_a_file_that_failed_can_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "mended.py"
    path.write_text("def f(:\n")
    with pytest.raises(UserError, match="SyntaxError"):
        plugins.load("reward", f"{path}:f")
    path.write_text("def f(context):\n    return [1.0] * len(context)\n")
    assert plugins.load("reward", f"{path}:f")(CONTEXT) == [1.0, 1.0]


def test_options_that_do_not_fit() -> None:
    with pytest.raises(UserError, match=r"unknown option 'taget' \(did you mean 'target'\?\); allowed: target"):
        plugins.load("reward", "length", taget=3)
    with pytest.raises(UserError, match="takes no options"):
        plugins.load("reward", Length(), target=3)
    with pytest.raises(UserError, match="a curriculum takes no options"):
        plugins.load("curriculum", "demo", steps=3)


def test_a_declared_weight_must_be_possible() -> None:
    for weight in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="at least 0"):
            reward(weight=weight)


def test_curricula_by_file_and_unknown_ones(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# mine\n")
    assert plugins.load("curriculum", str(path)) == path
    with pytest.raises(UserError, match=r"no curriculum file 'nowhere.yaml'"):
        plugins.recipe_file("nowhere.yaml")
    with pytest.raises(UserError, match="unknown curriculum 'no_such_recipe'"):
        plugins.recipe_file("no_such_recipe")


def test_curricula_of_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point names the module; the file beside it has the entry point's name."""
    package = tmp_path / "their_recipes"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tiny-one.yaml").write_text("# a tiny one\n")
    info = tmp_path / "their_recipes-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-recipes\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[rxt_mrl.curricula]\ntiny-one = their_recipes\ngone = their_recipes\n"
        "[rxt_mrl.rewards]\nbroken = their_recipes:nope\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert plugins.recipe_file("tiny-one") == package / "tiny-one.yaml"
    assert plugins.recipe_file("tiny_one") == package / "tiny-one.yaml"
    assert plugins.describe("curriculum")["tiny-one"] == "a tiny one"
    with pytest.raises(UserError, match=r"has no gone\.yaml"):
        plugins.recipe_file("gone")
    with pytest.raises(UserError, match=r"reward 'broken' .*cannot be loaded"):
        plugins.load("reward", "broken")
    assert "cannot be loaded" in plugins.describe("reward")["broken"]
    assert "bleu" in plugins.names("reward")


def test_kinds_are_checked() -> None:
    with pytest.raises(UserError, match="unknown kind of plug-in 'rewards'"):
        plugins.names("rewards")  # type: ignore[arg-type]


def test_location_looks_through_wrappers() -> None:
    where = plugins.location(functools.partial(functools.partial(test_location_looks_through_wrappers)))
    assert where.startswith(__file__)
    assert "length.py:" in plugins.location(Length())
    assert plugins.location(len) == ""
