"""``rxt-mrl evaluate``: measure the retention of a run or of one checkpoint, at any number of steps."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import UserError
from ..evaluation.plots import plot_retention
from ..evaluation.report import Results, retention_table, write_retention
from ..runs import RunDir, checkpoints
from ..settings import validate
from . import provenance
from .data import RunData
from .measure import Measuring
from .recipe import Recipe
from .recipe_files import override


def evaluate_target(
    target: Path,
    *,
    data: Sequence[str] = (),
    steps: int | None = None,
    episodes: int | None = None,
    as_json: bool = False,
    assignments: Sequence[str] = (),
    console: Console,
) -> None:
    """Evaluate a run (its last complete stage) or a checkpoint on held-out dialogues of the run's recipe.

    The report goes to ``evaluation/retention-<stage>-<sources>-<steps>.json`` of the run, beside the one that training
    wrote; what else differs from the run's recipe follows in the name.

    Args:
        target: a run directory, or ``checkpoints/<stage>`` of one.
        data: names of the recipe's data sources; empty: as the recipe says.
        steps: follow-ups of each dialogue; None: as the recipe says.
        episodes: held-out dialogues; None: as the recipe says.
        as_json: print JSON in place of the table.
        assignments: ``--set`` changes of the recipe (another split, the score's reward, ...).
        console: where to print.

    Raises:
        UserError: no checkpoint, a checkpoint outside of a run, or data that do not fit.
    """
    folder = checkpoints.locate(target)
    run_path = checkpoints.run_of(target)
    if run_path is None:
        raise UserError(f"{target}: lies in no run directory, so there is no recipe that says what to evaluate on")
    changes = list(assignments)
    changes += [f"evaluation.data={json.dumps(list(data))}"] if data else []
    changes += [f"evaluation.steps={steps}"] if steps is not None else []
    changes += [f"evaluation.episodes={episodes}"] if episodes is not None else []
    stored = provenance.stored_recipe(run_path / "recipe.yaml")
    recipe = validate(Recipe, override(stored, changes), str(run_path / "recipe.yaml"))
    model, tokenizer = checkpoints.load(folder)
    sources = Measuring(RunData(recipe, tokenizer)).retention(model, whole=True)
    results = {folder.name: sources}
    run, changed = RunDir(run_path), changes_in_name(stored, changes)
    path = write_retention(run, results, name=f"{_name(results, '+'.join(sources), changed)}.json")
    if as_json:
        console.print_json(json.dumps(json.loads(path.read_text(encoding="utf-8"))))
        return
    console.print(retention_table(results))
    console.print(f"report     {path}", highlight=False, soft_wrap=True)
    for source, result in sources.items():
        if result["recall"] is not None:
            picture = run.evaluation_dir / f"{_name(results, source, changed)}.png"
            plot_retention(result, picture, f"Retention curve on {source}")
            console.print(f"picture    {picture}", highlight=False, soft_wrap=True)


def changes_in_name(stored: Mapping[str, Any], assignments: Sequence[str]) -> str:
    """What a report's file name says of the keys that differ from the run's recipe, steps and sources left out.

    >>> changes_in_name({"evaluation": {"episodes": 10}}, ["evaluation.episodes=4", "evaluation.steps=3"])
    '-episodes=4'
    """
    said = []
    content = dict(stored)
    for assignment in assignments:
        before, content = content, override(content, [assignment])
        if content != before and assignment.partition("=")[0].strip() not in ("evaluation.data", "evaluation.steps"):
            said.append(assignment.strip().removeprefix("evaluation."))
    text = "".join(f"-{change}" for change in said)
    plain = re.sub(r"[^A-Za-z0-9._=-]+", "_", text)[:80]
    # A name has no room for every value: what it cannot say is told apart by a digest.
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _name(results: Results, sources: str, changed: str) -> str:
    [(stage, found)] = results.items()
    steps = next(iter(found.values()))["steps"]
    return f"retention-{stage}-{sources}-{steps}{changed}"
