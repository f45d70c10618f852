"""Finding plug-ins by name and building them; and what a wrong name says."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from rxt_mrl.rewards.length import Length

from rxt_mrl import plugins
from rxt_mrl.errors import UserError


def test_our_names_are_listed_with_a_line_each() -> None:
    shipped = {"bleu", "coherence", "embedding_cosine", "fact_recall", "length", "published", "repetition"}
    assert shipped | {"sentence_cosine", "topic_switch"} <= set(plugins.names("reward"))
    lines = plugins.describe("reward")
    assert all(line and "cannot be loaded" not in line for line in lines.values())


def test_hyphens_and_underscores_are_the_same() -> None:
    assert plugins.find("reward", "fact-recall") is plugins.find("reward", "fact_recall")


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
        plugins.find("reward", spec)
    assert "\n" not in str(caught.value)


def test_options_that_do_not_fit() -> None:
    with pytest.raises(UserError, match=r"unknown option 'taget' \(did you mean 'target'\?\); allowed: target"):
        plugins.build(Length, "length", {"taget": 3})
    with pytest.raises(UserError, match="takes no options"):
        plugins.build(Length(), "length", {"target": 3})


def test_curricula_by_file_and_unknown_ones(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# mine\n")
    assert plugins.recipe_file(str(path)) == path
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
        plugins.find("reward", "broken")
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
