"""What ``rxt-mrl list`` prints: names that a recipe or a command can use, each with a line about it."""

from __future__ import annotations

from typing import Literal

from rich.table import Table

from .. import plugins

_KINDS: dict[str, plugins.Kind] = {"recipes": "curriculum", "envs": "env", "rewards": "reward"}


def listing(what: Literal["recipes", "envs", "rewards", "presets"]) -> Table:
    """A table of the names of one kind."""
    if what == "presets":
        return _presets()
    table = Table("name", "what it is", title=what, title_justify="left")
    for name, line in plugins.describe(_KINDS[what]).items():
        table.add_row(name, line)
    return table


def _presets() -> Table:
    from ..model.presets import PRESETS, preset

    table = Table("name", "layers", "dim", "slots", "tokens", "vocabulary", title="presets", title_justify="left")
    for name in PRESETS:
        config = preset(name)
        sizes = (config.num_layers, config.embed_dim, config.slots, config.max_tokens, config.vocab_size)
        table.add_row(name, *map(str, sizes))
    return table
