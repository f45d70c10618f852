"""``rxt-mrl evaluate``: measure the retention of a run or of one checkpoint, at any number of steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ..errors import UserError
from ..evaluation.plots import plot_retention
from ..evaluation.report import retention_table, write_retention
from ..evaluation.retention import evaluate
from ..runs import RunDir, checkpoints
from ..settings import validate
from . import provenance
from .data import RunData
from .recipe import Recipe
from .recipe_files import override


def evaluate_target(
    target: Path,
    *,
    steps: int | None = None,
    episodes: int | None = None,
    as_json: bool = False,
    assignments: Sequence[str] = (),
    console: Console,
) -> None:
    """Evaluate a run (its last complete stage) or a checkpoint on held-out dialogues of the run's recipe.

    The report goes to ``evaluation/retention-<stage>-<steps>.json`` of the run, beside the one that training wrote.

    Args:
        target: a run directory, or ``checkpoints/<stage>`` of one.
        steps: follow-ups of each dialogue; None: as the recipe says.
        episodes: held-out dialogues; None: as the recipe says.
        as_json: print JSON in place of the table.
        assignments: ``--set`` changes of the recipe (another data source, the score's reward, ...).
        console: where to print.

    Raises:
        UserError: no checkpoint, a checkpoint outside of a run, or data that do not fit.
    """
    folder = checkpoints.locate(target)
    run_path = checkpoints.run_of(target)
    if run_path is None:
        raise UserError(f"{target}: lies in no run directory, so there is no recipe that says what to evaluate on")
    changes = list(assignments)
    changes += [f"evaluation.steps={steps}"] if steps is not None else []
    changes += [f"evaluation.episodes={episodes}"] if episodes is not None else []
    stored = provenance.stored_recipe(run_path / "recipe.yaml")
    recipe = validate(Recipe, override(stored, changes), f"recipe of {run_path}")
    model, tokenizer = checkpoints.load(folder)
    held_out = RunData(recipe, tokenizer).held_out
    result = evaluate(model, tokenizer, held_out, recipe.evaluation, seed=0).to_json()
    run, name = RunDir(run_path), f"retention-{folder.name}-{result['steps']}"
    path = write_retention(run, {folder.name: result}, name=f"{name}.json")
    if as_json:
        console.print_json(json.dumps(json.loads(path.read_text(encoding="utf-8"))))
        return
    console.print(retention_table({folder.name: result}))
    console.print(f"report     {path}", highlight=False, soft_wrap=True)
    if result["recall"] is not None:
        picture = plot_retention(result, run.evaluation_dir / f"{name}.png")
        console.print(f"picture    {picture}", highlight=False, soft_wrap=True)
