"""What ``rxt-mrl list`` prints: names that a recipe or a command can use, each with a line about it."""

from __future__ import annotations

from typing import Literal

from rich.table import Table

from .. import plugins
from ..display import table

_KINDS: dict[str, plugins.Kind] = {"recipes": "curriculum", "envs": "env", "rewards": "reward"}


def listing(what: Literal["recipes", "envs", "rewards", "presets"]) -> Table:
    """A table of the names of one kind."""
    if what == "presets":
        return _presets()
    made = table("name", "what it is", title=what, text=2)
    for name, line in plugins.describe(_KINDS[what]).items():
        made.add_row(name, line)
    return made


def _presets() -> Table:
    from ..model.presets import PRESETS, preset

    made = table("name", "layers", "dim", "slots", "tokens", "vocabulary", title="presets")
    for name in PRESETS:
        config = preset(name)
        sizes = (config.num_layers, config.embed_dim, config.slots, config.max_tokens, config.vocab_size)
        made.add_row(name, *map(str, sizes))
    return made
