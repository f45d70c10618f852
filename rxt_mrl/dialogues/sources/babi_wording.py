"""Other words for what a bAbI story tells, and other places that it asks about; everything stays true.

A story is known by its wording as well as by its names: who *moved* and who *journeyed*, which of five questions is
answered *yes*. The simulation draws such words at random, so a copy may draw them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from .babi_stories import BabiLine, BabiStory

_MOVES = ("moved to", "went to", "went back to", "travelled to", "journeyed to")
_SAYINGS = (
    _MOVES,
    ("picked up", "got", "took", "grabbed"),
    ("put down", "dropped", "left", "discarded"),
    ("gave", "handed", "passed"),
)
"""What the simulation says for one and the same act, before *the*: ``to the left of`` is another word."""
_THEN = ("after that", "afterwards", "following that", "then")
"""How a sentence begins that goes on with the one before."""
_LONGEST_FIRST = sorted((saying for sayings in _SAYINGS for saying in sayings), key=len, reverse=True)
_SAYING = re.compile(rf"^(?:{'|'.join(_THEN)})\b|\b(?:{'|'.join(_LONGEST_FIRST)})(?= the\b)", re.IGNORECASE)
_IS_AT = re.compile(r"(is (\w+) in the )(\w+)\?", re.IGNORECASE)
_MOVE = re.compile(rf"\b(?:{'|'.join(_MOVES)}) the (\w+)\.?$")
_WORD = re.compile(r"\w+")


class Rewording:
    """Rewords the stories of some files with the words that occur in them.

    Args:
        stories: all that are to be reworded.
        places: names of places, in lower case.
        ask_where: share of the yes-or-no questions that ask for the place itself.
    """

    def __init__(self, stories: Iterable[BabiStory], places: frozenset[str], ask_where: float = 0.0) -> None:
        stories = list(stories)
        self._places, self._ask_where = places, ask_where
        statements = [line.text for story in stories for line in story.lines if not line.is_question]
        found = {match[0].lower() for text in statements for match in _SAYING.finditer(text)}
        self._alike: dict[str, list[str]] = {}
        for sayings in (*_SAYINGS, _THEN):
            said = [saying for saying in sayings if saying in found]
            self._alike |= dict.fromkeys(said, said)
        self._asked = sorted({place for story in stories for place in _places_asked(story)})
        self._asks_anew = all(self._follows(story) for story in stories)

    def reworded(self, story: BabiStory, rng: np.random.Generator) -> BabiStory:
        """The story in other words, drawn from ``rng``.

        Each saying becomes one of those that mean the same. Where the place in its last supporting sentence answers
        every yes-or-no question of the files, it asks about that place half the time, and else about any other, or
        one that was told of too: so it matters who is there. Or it asks where somebody is.
        """
        lines = [
            line if line.is_question else replace(line, text=_SAYING.sub(partial(self._other, rng), line.text))
            for line in story.lines
        ]
        if self._asks_anew:
            told = {line.number: line for line in lines if not line.is_question}
            lines = [self._asked_anew(line, told, rng) for line in lines]
        return replace(story, lines=tuple(lines))

    def _other(self, rng: np.random.Generator, match: re.Match[str]) -> str:
        alike = self._alike[match[0].lower()]
        drawn = alike[rng.integers(len(alike))]
        return drawn.capitalize() if match[0][0].isupper() else drawn

    def _asked_anew(self, line: BabiLine, told: Mapping[int, BabiLine], rng: np.random.Generator) -> BabiLine:
        match = _IS_AT.fullmatch(line.text.strip())
        if match is None:
            return line
        place = self._place_told(line, told)
        if self._ask_where and place is not None and rng.random() < self._ask_where:
            return replace(line, text=f"Where is {match[2]}?", answer=place)
        before = {word for other in told.values() if other.number < line.number for word in self._places_in(other)}
        named = sorted(before - {place}) if rng.random() < 0.5 else []
        others = named or [name for name in self._asked if name != place]
        right = rng.random() < 0.5 or not others
        asked = place if right else others[rng.integers(len(others))]
        return replace(line, text=f"{match[1]}{asked}?", answer="yes" if right else "no")

    def _place_told(self, line: BabiLine, told: Mapping[int, BabiLine]) -> str | None:
        """The place that somebody goes to in the last supporting sentence."""
        if not line.support or max(line.support) not in told:
            return None
        move = _MOVE.search(told[max(line.support)].text)
        return move[1] if move and move[1] in self._places else None

    def _places_in(self, line: BabiLine) -> list[str]:
        return [word for word in _WORD.findall(line.text.lower()) if word in self._places]

    def _follows(self, story: BabiStory) -> bool:
        """Whether its yes-or-no questions are answered by the place that was told last."""
        told = {line.number: line for line in story.lines}
        for line in story.lines:
            match = _IS_AT.fullmatch(line.text.strip()) if line.is_question else None
            if match is None:
                continue
            place = self._place_told(line, told)
            if place is None or line.answer != ("yes" if place == match[3].lower() else "no"):
                return False
        return True


def _places_asked(story: BabiStory) -> list[str]:
    matches = (_IS_AT.fullmatch(line.text.strip()) for line in story.lines if line.is_question)
    return [match[3].lower() for match in matches if match]
