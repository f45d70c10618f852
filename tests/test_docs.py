"""Documentation: links lead somewhere, commands parse, every key of a recipe is explained, recipes load."""

from __future__ import annotations

import re
import shlex
import typing
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


@pytest.mark.parametrize("name", NAMES)
def test_links_and_named_files_exist(name):
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{name} links to {target}"
    for target in re.findall(r"`((?:tests|docs|notebooks|rxt_mrl|envs|rewards)/[\w/.]+\.(?:py|md|ipynb))`", text):
        assert (ROOT / target).exists(), f"{name} names {target}"


@pytest.mark.parametrize("name", NAMES)
def test_no_template_is_left_unfilled(name):
    assert not re.search(
        r"(?<![{\w])\{[a-z_]+\}(?!\})", re.sub(r"(?s)```.*?```|`[^`]*`", "", (ROOT / name).read_text())
    )


def commands() -> list[tuple[str, str]]:
    """Each line of a code block that calls the command line: ``(page, line)``."""
    found = []
    for page, name in zip(PAGES, NAMES, strict=True):
        for block in re.findall(r"(?ms)^```[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8")):
            found += [(name, line) for line in re.findall(r"^(?:\$ )?(rxt-mrl .*)$", block, re.MULTILINE)]
    return found


@pytest.mark.parametrize(("name", "line"), commands())
def test_commands_parse(name, line):
    from rxt_mrl.cli import app

    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    context = command.make_context("rxt-mrl", words, resilient_parsing=False)
    while hasattr(command, "commands"):
        group, rest = command, [*context._protected_args, *context.args]
        title, command, rest = group.resolve_command(context, rest)
        context = command.make_context(title, list(rest), parent=context)


TRAININGS = [
    (name, line) for name, line in commands() if line.startswith("rxt-mrl train ") and name not in ("README.md",)
]


@pytest.mark.parametrize(("name", "line"), TRAININGS)
def test_trainings_have_recipes_that_load(name, line, tmp_path, monkeypatch):
    """The slow test_docs_commands.py runs most of them, smaller."""
    from rxt_mrl.pipeline.recipe import load_recipe

    monkeypatch.chdir(tmp_path)
    for page, holding, file in (
        ("curricula", "name: my-recipe", "my_recipe.yaml"),
        ("curricula", "name: my-recipe", "runs/my-recipe/recipe.yaml"),
        ("supervised", "name: whole", "whole.yaml"),
    ):
        code = re.findall(r"(?s)```yaml\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(next(text for text in code if holding in text))
    words = shlex.split(line, comments=True)
    load_recipe(words[2], [value for word, value in pairwise(words) if word == "--set"])


def settings(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in settings(part)]


def keys(schema: type[BaseModel], seen: set[type]) -> set[str]:
    """Names of all keys below a section of a recipe."""
    if schema in seen:
        return set()
    seen.add(schema)
    names = set(schema.model_fields)
    for field in schema.model_fields.values():
        for section in settings(field.annotation):
            names |= keys(section, seen)
    return names


def test_every_key_of_a_recipe_is_explained():
    from rxt_mrl.pipeline.recipe import Recipe

    text = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("curricula.md", "data.md"))
    explained = {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", code)}
    explained |= {word for block in re.findall(r"(?s)```.*?```", text) for word in re.findall(r"\w+", block)}
    assert keys(Recipe, set()) - explained == set()


def test_the_example_recipe_loads(tmp_path):
    from rxt_mrl.pipeline.recipe import load_recipe

    text = (ROOT / "docs" / "curricula.md").read_text(encoding="utf-8")
    code = re.search(r"(?s)```yaml\n(.*?)```", text)
    assert code is not None
    assert len(code.group(1).splitlines()) <= 20
    path = tmp_path / "my_recipe.yaml"
    path.write_text(code.group(1))
    assert [stage.steps for stage in load_recipe(str(path)).curriculum] == [2, 4, 8, 8]
