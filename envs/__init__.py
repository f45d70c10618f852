"""Gymnasium environments: one small file each, written against ``rxt_mrl.contracts``. Importing registers them.

``gymnasium.make("rxt_mrl.envs:rxt_mrl/MemoryRetention-v0")`` makes one, ``gymnasium.make_vec`` many.
"""

from __future__ import annotations

from .memory_retention import MemoryRetentionVectorEnv
from .own_words import OwnWordsEnv, OwnWordsVectorEnv
from .registration import IDS, register
from .repeat_previous import RepeatPreviousEnv, RepeatPreviousVectorEnv, repeat_previous_dialogues
from .single import MemoryRetentionEnv
from .text import TextView

__all__ = [
    "IDS",
    "MemoryRetentionEnv",
    "MemoryRetentionVectorEnv",
    "OwnWordsEnv",
    "OwnWordsVectorEnv",
    "RepeatPreviousEnv",
    "RepeatPreviousVectorEnv",
    "TextView",
    "repeat_previous_dialogues",
]

register()
