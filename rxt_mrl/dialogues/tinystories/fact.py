"""What a fact of a story is, and what every rule needs to make one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from . import words as words
from .story import Story, singular

MOST_WRONG = 8
"""A fact lists at most so many wrong answers."""


ANYBODY = words.listed("baby boy brother child cousin friend girl kid man neighbor owner sister stranger woman")
"""Words that may mean somebody who has a name too: never listed as wrong."""


@dataclass(frozen=True, slots=True)
class StoryFact:
    """One fact of a story.

    Attributes:
        slot: what kind of fact: name, animal, person, place, object, who, action, color, trait, number.
        questions: phrasings of one question.
        answer: a sentence with the value in it.
        value: a word of the story.
        wrong: other candidates of the same kind.
        at: where in the story it is told, in characters.
    """

    slot: str
    questions: tuple[str, ...]
    answer: str
    value: str
    wrong: tuple[str, ...]
    at: int = 0


def is_sound(fact: StoryFact) -> bool:
    """Whether no phrasing of the question gives the value away."""
    told = {singular(word) for question in fact.questions for word in words_of(question)}
    return not told & {singular(word) for word in words_of(fact.value)}


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"[a-z]+(?:['-][a-z]+)*", text.lower())


def with_article(noun: str) -> str:
    """``an owl``, ``a crab``."""
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def make_fact(slot: str, at: int, questions: Iterable[str], answer: str, value: str, wrong: Iterable[str]) -> StoryFact:
    """A fact whose wrong answers are none of the words that a right answer may use."""
    questions = tuple(questions)
    used = {singular(word) for text in (*questions, answer, value) for word in words_of(text)}
    others = [other for other in dict.fromkeys(wrong) if singular(other.lower()) not in used]
    return StoryFact(slot, questions, answer, value, tuple(others[:MOST_WRONG]), at)


def others_than(story: Story, entity: str) -> list[str]:
    """Who else could be named: not by a word that may mean the same one (``the girl`` for Lily)."""
    called = [name for name in (*story.names, *story.kin) if name.lower() != entity]
    known = {*story.called, *map(str.lower, story.called), entity, entity.lower(), *ANYBODY}
    return [name for name in called if name != entity] + sorted(story.entities - known)
