"""Copies of bAbI stories that say something new: renamed, begun with another story, asked less often.

The files hold 180 stories a task. A small model learns them by heart, and their plan (who is asked for after whom) even
where the names change; so a copy may change that too, in ways that keep every answer right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...seeding import numpy_generator
from .babi_names import CLASSES, MOTIVES, Renamer, words_of
from .babi_stories import BabiLine, BabiStory
from .rows import Record

_LATEST = ("where is ", "is ", "who is ")
"""How questions begin whose answer is what was told last about somebody or something."""
_NAMES = frozenset().union(*CLASSES.values())


def with_copies(
    records: Iterable[Record], copies: int, *, join: float = 0.0, ask_where: float = 0.0, seed: int = 0
) -> Iterator[Record]:
    """Story records, and after them all ``copies`` copies of each; bad records go through.

    Args:
        records: of the stories.
        copies: of each story, renamed.
        join: share of the copies that begin with the beginning of another story, where that changes no answer.
        ask_where: share of the yes-or-no questions that ask for the place itself, where a place answers them.
        seed: other copies for another one.

    Raises:
        UserError: nothing in the stories can be renamed.
    """
    originals = list(records)
    yield from originals
    stories = [(record, record.value) for record in originals if isinstance(record.value, BabiStory)]
    if not copies or not stories:
        return
    renamer = Renamer((story for _, story in stories), ask_where)
    stands = [bool(join) and _stands_alone(story) for _, story in stories]
    alone = [story for (_, story), one in zip(stories, stands, strict=True) if one]
    made = [renamer.copies(story, copies, seed, record.place, record.number) for record, story in stories]
    for number, copy in enumerate(zip(*made, strict=True), start=1):  # a limit leaves out copies before stories
        for (record, _), one, story in zip(stories, stands, copy, strict=True):
            draw = numpy_generator("babi join", number, seed, record.place, record.number)
            if one and draw.random() < join:
                (other,) = renamer.copies(alone[draw.integers(len(alone))], 1, "join", number, seed, record.number)
                story = joined(_beginning(other, draw), story)
            yield replace(record, value=replace(story, copy=number))


def joined(first: Sequence[BabiLine], story: BabiStory) -> BabiStory:
    """The lines of another story, and then the story; its numbers go on from theirs."""
    shift = first[-1].number
    rest = (
        replace(line, number=line.number + shift, support=tuple(number + shift for number in line.support))
        for line in story.lines
    )
    return BabiStory((*first, *rest))


def with_fewer_questions(story: BabiStory, skip: float, least: int) -> BabiStory:
    """A copy without some of its questions.

    Args:
        story: one of the files' own stories (``copy`` 0) stays as it is.
        skip: probability with which each question is left out; what is told stays.
        least: so many are left in any case, if there are as many.
    """
    asked = [index for index, line in enumerate(story.lines) if line.is_question]
    if not story.copy or not skip:
        return story
    draws = numpy_generator("babi skip", story.copy, *(line.text for line in story.lines)).random(len(asked))
    most = max(0, len(asked) - least)
    out = {asked[place] for place in draws.argsort()[:most] if draws[place] < skip}
    return replace(story, lines=tuple(line for index, line in enumerate(story.lines) if index not in out))


def _stands_alone(story: BabiStory) -> bool:
    """Whether nothing that was told before a story could change an answer in it.

    So it is where each question asks for what was told last about somebody or something, and says by its supporting
    lines that this was told; not where things are counted or listed, compared, or asked for as they were before.
    """
    questions = [line for line in story.lines if line.is_question]
    return not words_of(story) & MOTIVES and all(
        line.support
        and line.text.lower().startswith(_LATEST)
        and "," not in line.answer
        and " before " not in line.text
        and any(word.strip("?.").lower() in _NAMES for word in line.text.split())
        for line in questions
    )


def _beginning(story: BabiStory, draw: np.random.Generator) -> tuple[BabiLine, ...]:
    """The lines of a story up to one of its questions."""
    asked = [index for index, line in enumerate(story.lines) if line.is_question]
    return story.lines[: asked[draw.integers(len(asked))] + 1]
