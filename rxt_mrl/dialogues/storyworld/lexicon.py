"""What all dialogues of a configuration share: slots with their values by split, and which split owns which facts."""

from __future__ import annotations

from ... import seeding
from .choices import CHOICES
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
            if slot.numeric:
                self.train[slot.name] = self.held_out[slot.name] = FAMILIES[slot.family]
            else:
                self._share(slot.name, slot.family, slot.start)
        for choice in CHOICES if config.own_words else ():
            self._share(choice.name, choice.family)
        self.codes = {
            (slot.name, word): seeding.key("storyworld fact", slot.code or slot.name, word)
            for slot in self.slots
            for word in FAMILIES[slot.family]
        }

        weights = config.questions.model_dump()
        self.kinds = tuple((kind, float(weights[kind])) for kind in KINDS if weights[kind] > 0)

    def _share(self, name: str, family: str, start: int = 0) -> None:
        """Give the splits their words of a family, counted from its word ``start``."""
        window = FAMILIES[family][start:] + FAMILIES[family][:start]
        count, held_out = self.config.values, self.config.held_out_values
        self.train[name] = window[:count]
        self.held_out[name] = window[count : count + held_out] if held_out else window[:count]

    def values(self, split: Split) -> dict[str, tuple[str, ...]]:
        """The values of each slot, and of each choice, in a split."""
        return self.train if split == "train" else self.held_out

    def split_of(self, facts: list[tuple[int, Slot, str]]) -> Split:
        """The split that owns a combination of (character, slot, value), in whatever order it is told."""
        code = 0
        for subject, slot, value in facts:
            code ^= self.codes[slot.name, value] * (2 * subject + 1)
        mixed = (code ^ (code >> 31)) * 0x9E3779B97F4A7C15 & (2**64 - 1)
        return BUCKETS.get((mixed >> 32) % 10, "train")
