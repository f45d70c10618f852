"""Copies of bAbI stories in which people, places and objects have changed their names.

A story of 1,000 questions names the same few people and places again and again, so a model learns the stories by
heart and not what they have in common. In a copy the names of a class (women, men, places, objects) are exchanged for
each other, throughout the story, its questions and its answers: everything that was true stays true, pronouns fit, and
no new word appears.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...errors import UserError
from ...seeding import numpy_generator
from .babi_stories import BabiStory
from .babi_wording import Rewording

CLASSES: Mapping[str, frozenset[str]] = {
    "women": frozenset(("mary", "sandra", "julie", "lily", "gertrude", "winona", "emily", "jessica")),
    "men": frozenset(
        ("john", "daniel", "bill", "fred", "jeff", "brian", "bernhard", "greg", "julius", "antoine", "jason", "sumit",
         "yann")
    ),
    "places": frozenset(
        ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office", "cinema", "park", "school")
    ),
    "objects": frozenset(("football", "milk", "apple", "pajamas")),
}  # fmt: skip
"""The names of the simulation behind bAbI, in lower case."""

MOTIVES = frozenset(("hungry", "thirsty", "tired", "bored"))
"""Where these stand, places and objects have a meaning (one eats in the kitchen): only people are renamed."""

_WORD = re.compile(r"[A-Za-z]+")


class Renamer:
    """Renames the stories of some files.

    Args:
        stories: all that are to be renamed; the names that occur in them are exchanged for each other.
        ask_where: see :class:`.babi_wording.Rewording`.

    Raises:
        UserError: when they name nobody and nothing that is known, so that copies would be the same stories.
    """

    def __init__(self, stories: Iterable[BabiStory], ask_where: float = 0.0) -> None:
        stories = list(stories)
        words = {word for story in stories for word in words_of(story)}
        motives = bool(words & MOTIVES)
        kinds = ("women", "men") if motives else tuple(CLASSES)
        self._wording = Rewording(stories, CLASSES["places"], ask_where)
        self._classes = [sorted(CLASSES[kind] & words) for kind in kinds]
        if not any(len(names) > 1 for names in self._classes):
            raise UserError(
                "data: copies: the stories name no two people, places or objects of bAbI's simulation, so nothing can "
                "be renamed (copies: 0)"
            )

    def copies(self, story: BabiStory, count: int, *parts: int | str) -> Iterator[BabiStory]:
        """``count`` copies; the same ones each time for the same key ``parts``."""
        for number in range(count):
            yield self._renamed(story, numpy_generator("babi copies", number, *parts))

    def _renamed(self, story: BabiStory, rng: np.random.Generator) -> BabiStory:
        new = {
            old: names[place]
            for names in self._classes
            for old, place in zip(names, rng.permutation(len(names)), strict=True)
        }

        def name(match: re.Match[str]) -> str:
            word = match[0]
            other = new.get(word.lower())
            return word if other is None else other.capitalize() if word[0].isupper() else other

        def text(old: str) -> str:
            return _WORD.sub(name, old)

        lines = (replace(line, text=text(line.text), answer=text(line.answer)) for line in story.lines)
        return self._wording.reworded(BabiStory(tuple(lines)), rng)


def words_of(story: BabiStory) -> set[str]:
    """All words of a story, in lower case."""
    texts: Sequence[str] = [text for line in story.lines for text in (line.text, line.answer)]
    return {word.lower() for text in texts for word in _WORD.findall(text)}
