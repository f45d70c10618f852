"""The model that a stateless peer is made for: a run's, or that of a recipe which is not trained yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..model import RxT, RxTConfig
from ..runs import RunDir, checkpoints
from ..settings import validate
from . import provenance
from .data import RunData
from .recipe import Recipe, load_recipe
from .recipe_files import override
from .start import initial_model


@dataclass(frozen=True)
class Pair:
    """A recipe's model, as far as its peer needs to know it.

    Attributes:
        recipe: of the RxT.
        data: of the recipe, with the RxT's tokenizer.
        config: of the RxT.
        parameters: of the RxT.
        checkpoint: of the RxT; None where it is not trained yet.
    """

    recipe: Recipe
    data: RunData
    config: RxTConfig
    parameters: int
    checkpoint: Path | None


def pair_of(target: str, assignments: Sequence[str] = ()) -> Pair:
    """The model that a peer is made for.

    Args:
        target: a run directory, or a recipe by name or file.
        assignments: ``--set`` changes of the recipe.

    Raises:
        UserError: one line: no such recipe, or a run without a complete stage.
    """
    if RunDir.holds_run(run := Path(target)):
        stored = provenance.stored_recipe(run / "recipe.yaml")
        recipe = validate(Recipe, override(stored, assignments), str(run / "recipe.yaml"))
        checkpoint = checkpoints.locate(run)
        model, tokenizer = checkpoints.load(checkpoint)
        return Pair(recipe, RunData(recipe, tokenizer), model.config, _parameters(model), checkpoint)
    recipe = load_recipe(target, assignments)
    data = RunData(recipe)
    model = initial_model(recipe, data.tokenizer)
    return Pair(recipe, data, model.config, _parameters(model), None)


def _parameters(model: RxT) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
