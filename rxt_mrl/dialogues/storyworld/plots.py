"""What happens in a storyworld dialogue, before it is put into words: facts told and changed.

A :class:`Plot` is the state of one dialogue. Values are drawn evenly and without replacement within a family, so in
one dialogue a word means one thing, characters never share a value, and nothing can be guessed from anything else.
What is told never contains the value of another fact, so it gives no answer away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from ...contracts import NEVER_TOLD
from ...errors import UserError
from .choices import Choice
from .config import Split
from .lexicon import Lexicon
from .phrasing import Slot
from .vocabulary import NUMBERS, ROLES

Item = TypeVar("Item")

NUMBER_WORDS = {number: word for word, number in NUMBERS.items()}


@dataclass(slots=True)
class Fact:
    """What holds for one slot of one character.

    Attributes:
        subject: index of the character.
        slot: the kind of fact.
        value: the newest value.
        told_at: the interaction that told it.
        past: earlier values with the interactions that told them, oldest first.
        denied: words that were said to be untrue, or that were only a part of the value (increments of numbers).
        asked: the last interaction that asked for it; -1: never.
    """

    subject: int
    slot: Slot
    value: str
    told_at: int
    past: list[tuple[str, int]] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    asked: int = -1


@dataclass(frozen=True, slots=True)
class Told:
    """A statement to make: the fact, the word that is said, and what is said not to be so (or None)."""

    fact: Fact
    said: str
    denied: str | None = None
    changed: bool = False
    fewer: bool = False
    """A number that goes down."""


class Plot:
    """The state of one dialogue, driven by one random stream.

    Args:
        lexicon: the slots and values.
        split: which values and fact combinations may be used.
        rng: only ``rng.random()`` is drawn, the one method whose numbers Python promises to keep.
    """

    def __init__(self, lexicon: Lexicon, split: Split, rng: Random) -> None:
        self.lexicon = lexicon
        self.config = lexicon.config
        self.split = split
        self.rng = rng
        self.values = lexicon.values(split)
        self.facts: dict[tuple[int, str], Fact] = {}
        self.used: set[str] = set()
        self.roles: list[str] = self._shuffled(list(ROLES[: self.config.roles]))
        """The characters by role, in the order in which they come in."""
        self.cast_size = 0
        """Characters that may be told about by now."""
        self.newcomers: dict[int, int] = {}
        """The interaction in which each character first appeared."""
        self.first_subject = 0
        """The first character of the current story; earlier ones belong to stories that were left."""
        self.reserved = 0
        """Roles that are kept for stories to come."""
        self._untold: list[tuple[int, Slot]] = []

    # --- random choices ------------------------------------------------------------------------------------------

    def below(self, count: int) -> int:
        """An even choice of ``0 <= number < count``."""
        return int(self.rng.random() * count)

    def chance(self, probability: float) -> bool:
        """True with this probability; draws nothing at 0."""
        return probability > 0 and self.rng.random() < probability

    def _shuffled(self, items: list[Item]) -> list[Item]:
        random = self.rng.random
        return sorted(items, key=lambda _: random())

    def draw(self, slot: Slot | Choice) -> str | None:
        """An unused value of a slot or choice, or None when none is left."""
        words, random, used = self.values[slot.name], self.rng.random, self.used
        for _ in range(8):
            word = words[int(random() * len(words))]
            if word not in used:
                return word
        free = [word for word in words if word not in self.used]
        return free[self.below(len(free))] if free else None

    # --- telling -------------------------------------------------------------------------------------------------

    def open_cast(self, count: int) -> None:
        """Let ``count`` more characters be told about, as far as there are roles."""
        size = min(self.cast_size + count, len(ROLES))
        if size > len(self.roles):
            self.roles += self._shuffled(list(ROLES[self.config.roles :]))
        for subject in range(self.cast_size, size):
            slots = self.lexicon.slots if subject == 0 else self.lexicon.character_slots
            self._untold += [(subject, slot) for slot in slots]
        if size > self.cast_size:
            self._untold = self._shuffled(self._untold)
        self.cast_size = size

    def leave(self) -> None:
        """End the current story: nothing more is told about its characters."""
        self._untold = []
        self.first_subject = self.cast_size

    def tell_story(self, turn: int, count: int) -> list[Told]:
        """Draw a new story of ``count`` facts about the characters that are open.

        In interaction 0 it is drawn until its combination of facts belongs to the split.
        """
        keys = self._untold[:count]
        self._untold = self._untold[count:]
        keys.sort(key=lambda key: (key[0], key[1].name != "name"))
        for _ in range(100_000):
            story: list[tuple[int, Slot, str]] = []
            for subject, slot in keys:
                value = self.draw(slot)
                if value is not None:
                    self.used.add(value)
                    story.append((subject, slot, value))
            if turn > 0 or self.lexicon.split_of(story) == self.split:
                return [self._tell(turn, *item) for item in story]
            self.used.clear()
        raise UserError(f"no story of {count} facts belongs to the {self.split} split: raise first_facts or values")

    @property
    def untold(self) -> list[Fact]:
        """What was not told so far about the characters of the current story, as facts without a value."""
        return [Fact(subject, slot, "", NEVER_TOLD) for subject, slot in self._untold if subject in self.newcomers]

    def _tell(self, turn: int, subject: int, slot: Slot, value: str) -> Told:
        """Note a new fact."""
        self.newcomers.setdefault(subject, turn)
        fact = Fact(subject, slot, value, turn)
        self.facts[subject, slot.name] = fact
        denied = self.draw(slot) if self.chance(self.config.negation_rate) else None
        if denied is not None:
            fact.denied.append(denied)
        return Told(fact, value, denied=denied)

    def tell_more(self, turn: int) -> Told | None:
        """Tell a new fact in a follow-up, or change an old one; None when nothing is left to tell."""
        if self.chance(self.config.change_rate):
            told = self._change(turn)
            if told is not None:
                return told
        while True:
            if not self._untold:
                if self.cast_size >= len(ROLES) - self.reserved:
                    return None
                self.open_cast(1)
            subject, slot = self._untold.pop()
            value = self.draw(slot)
            if value is not None:
                self.used.add(value)
                return self._tell(turn, subject, slot, value)

    def _change(self, turn: int) -> Told | None:
        """Put a new value in the place of an old one, in the current story."""
        facts = [fact for fact in self.facts.values() if fact.slot.changes and fact.subject >= self.first_subject]
        if not facts:
            return None
        fact = facts[self.below(len(facts))]
        fewer = False
        if fact.slot.numeric:
            now = NUMBERS[fact.value]
            free = {number for word, number in NUMBERS.items() if word not in self.used}
            totals = [number for number in NUMBER_WORDS if number in free and abs(number - now) in free]
            if not totals:
                return None
            total = totals[self.below(len(totals))]
            fewer = total < now
            value, said = NUMBER_WORDS[total], NUMBER_WORDS[abs(total - now)]
            fact.denied.append(said)
        else:
            drawn = self.draw(fact.slot)
            if drawn is None:
                return None
            value = said = drawn
        self.used.add(value)
        fact.past.append((fact.value, fact.told_at))
        fact.value, fact.told_at, fact.asked = value, turn, -1
        return Told(fact, said, changed=True, fewer=fewer)
