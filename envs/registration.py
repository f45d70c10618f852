"""Gymnasium ids of the environments, registered when :mod:`rxt_mrl.envs` is imported.

Gymnasium does not load entry points by itself, so an id names the module that registers it:
``gymnasium.make("rxt_mrl.envs:rxt_mrl/MemoryRetention-v0")``.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from .memory_retention import MemoryRetentionVectorEnv
from .own_words import OwnWordsEnv
from .repeat_previous import RepeatPreviousVectorEnv
from .single import MemoryRetentionEnv
from .text import TextView

IDS = (
    "rxt_mrl/MemoryRetention-v0",
    "rxt_mrl/MemoryRetentionText-v0",
    "rxt_mrl/OwnWords-v0",
    "rxt_mrl/RepeatPrevious-v0",
)
"""All ids. A changed task gets a new version, so that a number keeps its meaning."""


def memory_retention_vec(
    num_envs: int = 1, dialogues: Any = None, tokenizer: Any = None, **options: Any
) -> MemoryRetentionVectorEnv:
    """What ``gymnasium.make_vec`` makes: bundled dialogues and fact recall where nothing else is given."""
    options = {"reward": "fact_recall", **options, "num_envs": num_envs}
    return MemoryRetentionEnv.make_vector(dialogues, tokenizer, **options)


def own_words_vec(
    num_envs: int = 1, dialogues: Any = None, tokenizer: Any = None, **options: Any
) -> MemoryRetentionVectorEnv:
    """The vector environment of own words; bundled dialogues and fact recall where nothing else is given."""
    return OwnWordsEnv.make_vector(dialogues, tokenizer, **{"reward": "fact_recall", **options, "num_envs": num_envs})


def repeat_previous_vec(num_envs: int = 1, **options: Any) -> RepeatPreviousVectorEnv:
    """The vector environment of repeat previous."""
    return RepeatPreviousVectorEnv(num_envs=num_envs, **options)


def memory_retention_text(**options: Any) -> TextView:
    """One dialogue at a time, as text."""
    return TextView(MemoryRetentionEnv(**options))


def register() -> None:
    """Make the ids known to Gymnasium; again does nothing."""
    here = __name__
    package = here.rpartition(".")[0]
    entries = (
        (f"{package}.single:MemoryRetentionEnv", f"{here}:memory_retention_vec"),
        (f"{here}:memory_retention_text", None),
        (f"{package}.own_words:OwnWordsEnv", f"{here}:own_words_vec"),
        (f"{package}.repeat_previous:RepeatPreviousEnv", f"{here}:repeat_previous_vec"),
    )
    for name, (single, vector) in zip(IDS, entries, strict=True):
        if name not in gym.registry:
            gym.register(name, entry_point=single, vector_entry_point=vector)
