"""Going on with a run under a recipe that asks for more: updates of its last MRL stage, or further stages.

What a run has done stays as it is, so only what comes after it may be asked for. A longer last stage goes on from the
state that it ended with, as the longer one would have from the start (but for what depends on how long a stage is: a
learning rate that decays, what is carried, rollouts played ahead).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .. import yaml12
from ..errors import UserError
from ..files import write_text
from ..runs import RunDir
from ..settings import validate
from ..supervised.config import STAGE_SETTINGS
from .provenance import FREE_TO_CHANGE, stored_recipe
from .recipe import Recipe
from .start import NOTE_FILE


def compared(recipe: Recipe, run: RunDir) -> tuple[Recipe, list[str]]:
    """The recipe that a run goes on with, and what it asks for that the run was not begun with.

    It leaves to the run what it leaves open, and the length of held-out dialogues: what was measured stays comparable.

    Args:
        recipe: that the user gives.
        run: to go on with.

    Raises:
        UserError: names the first key that differs in another way.
    """
    stored = stored_recipe(run.recipe_path)
    if recipe.products == "auto":
        recipe = recipe.model_copy(update={"products": stored.get("products", "torch")})
    before, now = flat(stored), flat(recipe.model_dump(mode="json"))
    if recipe.evaluation.steps is None and before.get("evaluation.steps") is not None:
        recipe = _measured_at(recipe, before["evaluation.steps"])
        now = flat(recipe.model_dump(mode="json"))
    more: dict[str, str] = {}
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) == now.get(name) or name in FREE_TO_CHANGE:
            continue
        if not (what := _asks_for_more(name, stored, recipe, run)):
            raise UserError(
                f"--resume: the run was started with {name} = {before.get(name)!r}, now it is {now.get(name)!r}"
            )
        more[what] = f"{before.get(name)!r} -> {now.get(name)!r}" if what == name else "new"
    if more and recipe.evaluation.steps is None:
        recipe = _measured_at(recipe, validate(Recipe, stored, str(run.recipe_path)).held_out_steps)
    return recipe, [f"{what}: {change}" for what, change in more.items()]


def begin(run: RunDir, recipe: Recipe, more: list[str]) -> None:
    """Open what is to go on, and make the recipe the run's; repeated, it does the same.

    Args:
        run: to go on with.
        recipe: of :func:`compared`.
        more: of :func:`compared`.
    """
    run.reopen("mrl")
    (run.path / "checkpoints" / "mrl" / NOTE_FILE).unlink(missing_ok=True)
    content: Any = yaml12.read(run.recipe_path)
    when = datetime.now().astimezone().isoformat(timespec="seconds")
    content["recipe"] = recipe.model_dump(mode="json")
    content["made_by"].setdefault("extended", []).append({"time": when, "changes": more})
    write_text(run.recipe_path, yaml12.text_of(content))


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """All values of a recipe by their dotted keys."""
    if isinstance(value, dict):
        return {name: leaf for key, child in value.items() for name, leaf in flat(child, f"{prefix}{key}.").items()}
    if isinstance(value, list):
        return {name: leaf for i, child in enumerate(value) for name, leaf in flat(child, f"{prefix}{i}.").items()} or {
            prefix.removesuffix("."): []
        }
    return {prefix.removesuffix("."): value}


def _asks_for_more(name: str, stored: Mapping[str, Any], recipe: Recipe, run: RunDir) -> str:
    """What a key that differs adds to a run, as a key; empty where it is something else.

    Raises:
        UserError: for more of what is complete and has others after it.
    """
    section, _, rest = name.partition(".")
    head, _, rest = rest.partition(".")
    if section == "curriculum":
        return _of_curriculum(head, rest, stored["curriculum"], recipe, run)
    if section == "supervised":
        return _of_supervised(head, rest, stored["supervised"], recipe, run)
    if section == "data" and head == "sources" and (source := rest.partition(".")[0]) not in stored["data"]["sources"]:
        return f"data.sources.{source}"
    return ""


def _of_curriculum(head: str, rest: str, stages: list[Any], recipe: Recipe, run: RunDir) -> str:
    if recipe.control == "supervised":
        return ""
    if not head or int(head) >= len(stages):  # the whole of it is empty before, or one that is appended
        return f"curriculum.{head}" if head else ("curriculum" if recipe.curriculum else "")
    number, last = int(head), len(stages) - 1
    if number >= len(recipe.curriculum) or rest != "updates":
        return ""
    key, ours = f"curriculum.{number}.updates", recipe.curriculum[number].updates
    if ours < stages[number]["updates"]:
        return ""
    done = 0
    while (run.path / "checkpoints" / f"mrl-{done + 1}" / "config.json").is_file():
        done += 1
    if number < done - 1 or (number < done and number < last):
        raise UserError(
            f"--resume: {key} = {ours}: that stage is complete and others come after it; allowed: more updates of "
            f"curriculum.{last}, further stages, or a new run with model.init_from = "
            f"{run.path / 'checkpoints' / f'mrl-{number + 1}'}"
        )
    return key


def _of_supervised(head: str, rest: str, sections: Mapping[str, Any], recipe: Recipe, run: RunDir) -> str:
    before, ours = sections.get(head), getattr(recipe.supervised, head, None)
    if head not in STAGE_SETTINGS or ours is None:
        return ""
    order = [*STAGE_SETTINGS, "mrl"]
    later = [name for name in order[order.index(head) + 1 :] if name in run.progress]
    if before is None or before["updates"] == 0:
        if later:
            raise UserError(
                f"--resume: supervised.{head} is new, and stage {later[0]} is complete, which comes after it; allowed: "
                "a new run with model.init_from"
            )
        return f"supervised.{head}"
    if rest in ("updates", "epochs") and head in run.progress:
        raise UserError(
            f"--resume: supervised.{head}.{rest} = {getattr(ours, rest)!r}: that stage is complete; allowed: further "
            f"stages, or a new run with model.init_from = {run.path / 'checkpoints' / head}"
        )
    return ""


def _measured_at(recipe: Recipe, steps: int) -> Recipe:
    return recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"steps": steps})})
