"""How well ``annotate: carried_words`` finds facts that are known: ``rxt-mrl annotations``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from ...display import table
from ...errors import UserError
from ..carried_words import Agreement, agreement
from ..storyworld.config import Level
from .kinds import settings_of
from .load import load_dialogues
from .settings import DataSettings

if TYPE_CHECKING:
    from rich.console import Console


def check_annotations(
    sources: Sequence[str] = (),
    *,
    split: str = "train",
    steps: int = 8,
    episodes: int = 400,
    seed: int = 0,
    console: Console | None = None,
) -> dict[str, Agreement]:
    """Compare what the rule marks with what the dialogues say, and print precision and recall of each source.

    Args:
        sources: annotated sources, as :func:`settings_of` understands them; none: the levels of the storyworld.
        split: of the sources.
        steps: follow-ups of each dialogue.
        episodes: dialogues of each source at most.
        seed: of generated dialogues.
        console: where to print; None: nowhere.

    Raises:
        UserError: one line: a source cannot be loaded, or has no annotations.
    """
    chosen = {source: settings_of(source) for source in sources} or {
        f"storyworld {level}": DataSettings(source="storyworld", options={"level": level}) for level in get_args(Level)
    }
    title = f"carried_words against the annotations: (word, told_at), dialogues of {steps} steps"
    made = table("source", "dialogues", "true", "marked", "precision", "recall", title=title)
    found: dict[str, Agreement] = {}
    for name, settings in chosen.items():
        given = settings.model_copy(update={"annotate": None})  # what the data says, not what the rule says of it
        loaded = load_dialogues(given, split, steps=steps, episodes=episodes, seed=seed)
        result = found[name] = agreement(loaded.dialogues)
        if not result.true:
            raise UserError(f"data: {settings.label} has no annotations (asks) to compare with")
        counts = (len(loaded), result.true, result.marked)
        made.add_row(name, *map(str, counts), f"{result.precision:.3f}", f"{result.recall:.3f}")
    if console is not None:
        console.print(made)
    return found
