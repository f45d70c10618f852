"""The storyworld: a seeded, endless generator of dialogues that are about remembering. See ``docs/storyworld.md``."""

from __future__ import annotations

from .config import LEVELS, QuestionWeights, Split, StoryworldConfig
from .export import dialogues, generate, pairs, plain_stories, storyworld, write
from .generator import Storyworld
from .phrasing import SLOTS, Slot

__all__ = [
    "LEVELS",
    "SLOTS",
    "QuestionWeights",
    "Slot",
    "Split",
    "Storyworld",
    "StoryworldConfig",
    "dialogues",
    "generate",
    "pairs",
    "plain_stories",
    "storyworld",
    "write",
]
