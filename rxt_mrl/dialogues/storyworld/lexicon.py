"""What all dialogues of a configuration share: slots with their values by split, and which split owns which facts."""

from __future__ import annotations

from ... import seeding
from .config import KINDS, Split, StoryworldConfig
from .phrasing import BY_NAME, Slot
from .vocabulary import FAMILIES

BUCKETS: dict[int, Split] = {0: "validation", 1: "test"}
"""Of ten buckets of fact combinations, which are kept away from train."""


class Lexicon:
    """The slots of a configuration, their values by split, and the codes of facts.

    Args:
        config: the knobs.
    """

    def __init__(self, config: StoryworldConfig) -> None:
        self.config = config
        self.slots = tuple(BY_NAME[name].simplified(config.phrasings) for name in config.slot_names)
        self.character_slots = tuple(slot for slot in self.slots if slot.scope == "character")
        self.train: dict[str, tuple[str, ...]] = {}
        self.held_out: dict[str, tuple[str, ...]] = {}
        for slot in self.slots:
            words = FAMILIES[slot.family]
            if slot.numeric:
                self.train[slot.name] = self.held_out[slot.name] = words
                continue
            window = words[slot.start :] + words[: slot.start]
            self.train[slot.name] = window[: config.values]
            last = config.values + config.held_out_values
            self.held_out[slot.name] = (
                window[config.values : last] if config.held_out_values else window[: config.values]
            )
        self.codes = {
            (slot.name, word): seeding.key("storyworld fact", slot.name, word)
            for slot in self.slots
            for word in FAMILIES[slot.family]
        }

        weights = config.questions.model_dump()
        self.kinds = tuple((kind, float(weights[kind])) for kind in KINDS if weights[kind] > 0)

    def values(self, split: Split) -> dict[str, tuple[str, ...]]:
        """The values of each slot in a split."""
        return self.train if split == "train" else self.held_out

    def split_of(self, facts: list[tuple[int, Slot, str]]) -> Split:
        """The split that owns a combination of (character, slot, value), in whatever order it is told."""
        code = 0
        for subject, slot, value in facts:
            code ^= self.codes[slot.name, value] * (2 * subject + 1)
        mixed = (code ^ (code >> 31)) * 0x9E3779B97F4A7C15 & (2**64 - 1)
        return BUCKETS.get((mixed >> 32) % 10, "train")
