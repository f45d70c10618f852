"""bAbI stories (Weston et al. 2015) as dialogues, with retention distances from the supporting-fact ids.

In a dialogue every follow-up is a query with an answer, and a question must not be told its own support
in the same message, or no memory is needed. So what a story tells before question k is told *before* the
interaction that asks it; ``layout`` says where:

- ``joined`` (default): together with the question before. The first interaction tells everything up to question 1;
  follow-up k asks question k and then goes on with what happens until question k + 1
  (``Where is Mary? And then: John moved to the garden.``). The answer is the one at the time of the question.
  N questions are N follow-ups, every one of them scored, and the shortest distance is 1.
- ``separate``: in an interaction of its own, which is acknowledged. Twice as many follow-ups, half of them scored.

``told_at`` is the interaction of the *earliest* supporting line: an answer that needs several facts has to keep all
of them, so the oldest decides how long. ``wrong`` holds the other answers that the file gives to this kind of
question. bAbI answers are single words and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from ...contracts import Ask, Dialogue, Interaction
from ...seeding import key
from ...settings import Settings
from .babi_copies import with_fewer_questions
from .babi_stories import BabiLine, BabiStory
from .rows import Passed, Record

MOST_WRONG = 20
"""A kind of question with more different answers than this is open; its wrong answers are not listed."""

BEFORE = 2
"""A stretch of a story that is told begins at most so many sentences before the oldest that is needed."""

SLOTS: Mapping[str, str] = {
    "where": "place", "is": "yes_no", "are": "yes_no", "does": "yes_no", "who": "person", "what": "thing",
    "how": "number", "why": "reason", "which": "thing",
}  # fmt: skip
"""What a question asks for, by its first word."""


class BabiOptions(Settings):
    """Options of ``source: babi``."""

    layout: Literal["joined", "separate"] = "joined"
    windows: bool = False
    """With ``steps``: make further dialogues of a story's later questions, in place of cutting them off. Every question
    stands in one; the last ones overlap where the questions do not come out even."""
    tell: Literal["all", "needed"] = "all"
    """What is told before the first question of a dialogue: all that came before, or only a stretch of it that holds
    what the questions of the dialogue need."""
    copies: int = Field(default=0, ge=0)
    """So many copies of each training story, with people, places and objects renamed, told in other words, and with
    other places in yes-or-no questions; validation has none."""
    join: float = Field(default=0.0, ge=0, le=1)
    """Share of the copies that begin with the beginning of another story and its questions. Left out of it are stories
    in whose questions something is counted, listed, compared, or asked for as it was before."""
    skip: float = Field(default=0.0, ge=0, lt=1)
    """With ``steps`` above 1: each question of a copy is left out with this probability, as long as enough of them are
    left; what is told stays. So the copies of a story differ in what is told between two questions, too. A single
    question stays with the little that is told before it: who is where is learnt on that first."""
    ask_where: float = Field(default=0.0, ge=0, le=1)
    """Share of the yes-or-no questions of copies ("Is Mary in the hall?") that ask "Where is Mary?" instead, where the
    place in the last supporting sentence answers them: who is where is not learnt from yes and no alone."""
    acknowledge: str = Field(default="I will remember that.", min_length=1)
    """The answer to an interaction that only tells."""
    tasks: tuple[int, ...] = ()
    """Task numbers to take from a folder; none: all."""

    @model_validator(mode="after")
    def _of_copies(self) -> Self:
        if (self.join or self.skip or self.ask_where) and not self.copies:
            raise ValueError("join, skip and ask_where change copies of the stories; give copies")
        return self


# --- dialogues -------------------------------------------------------------------------------------------------------


def dialogue_records(records: Iterable[Record], options: BabiOptions, *, steps: int | None) -> Iterator[Record]:
    """Dialogues from story records; bad records go through.

    Args:
        records: see :func:`.babi_stories.story_records`; they are all read first, to know which answers a kind of
            question has.
        options: layout and windows.
        steps: follow-ups of a dialogue; None: the whole story is one.
    """
    stories = list(records)
    answers = _answers(record.value for record in stories if isinstance(record.value, BabiStory))
    for record in stories:
        if not isinstance(record.value, BabiStory):
            yield record
            continue
        story = record.value
        if steps is not None and steps > 1:
            story = with_fewer_questions(story, options.skip, _questions(options, steps))
        for lines in _windows(story.lines, options, steps):
            if not any(line.is_question for line in lines) or lines[0].is_question:
                yield replace(record, value=Passed("nothing is told, or nothing asked"))
            else:
                yield replace(record, value=_dialogue(lines, options, answers))


def pairs(story: BabiStory) -> list[tuple[str, str]]:
    """(query, answer) pairs that need no memory: a stretch of the story that holds the answer, and the question.

    Raises:
        Passed: nothing is told, or nothing asked.
    """
    found = []
    for index, line in enumerate(story.lines):
        if line.is_question:
            told = [other.text for other in _told_for([line], story.lines[:index])]
            found.append((" ".join([*told, line.text]), line.answer))
    if not found:
        raise Passed("nothing is told, or nothing asked")
    return found


def _told_for(questions: Sequence[BabiLine], before: Sequence[BabiLine]) -> list[BabiLine]:
    """A stretch of what is told before some questions that holds all that supports them; all, where no id tells.

    It begins up to ``BEFORE`` sentences before the oldest that supports, drawn from the texts: began it always with
    that one, its place would give the answer away.
    """
    told = [line for line in before if not line.is_question]
    if not told or not all(line.support for line in questions):
        return told
    oldest = min(number for line in questions for number in line.support)
    latest = max((place for place, line in enumerate(told) if line.number <= oldest), default=0)
    drawn = key("babi stretch", *(line.text for line in (*told, *questions))) % (BEFORE + 1)
    return told[max(0, latest - drawn) :]


def _answers(stories: Iterable[BabiStory]) -> dict[str, set[str]]:
    """All answers by the first word of their question."""
    found: dict[str, set[str]] = {}
    for story in stories:
        for line in story.lines:
            if line.is_question:
                found.setdefault(_kind(line), set()).update(_values(line))
    return found


def _kind(line: BabiLine) -> str:
    return line.text.split()[0].lower()


def _values(line: BabiLine) -> list[str]:
    """An answer may list several things (task 8: ``apple,milk``)."""
    return [value for value in line.answer.split(",") if value.strip()]


def _questions(options: BabiOptions, steps: int) -> int:
    """How many questions a dialogue of so many follow-ups has; separate: question, telling, question ..."""
    return steps if options.layout == "joined" else (steps + 2) // 2


def _windows(lines: tuple[BabiLine, ...], options: BabiOptions, steps: int | None) -> list[tuple[BabiLine, ...]]:
    """The story up to question ``steps``; with ``windows`` the later questions too, told what came before."""
    asked = [index for index, line in enumerate(lines) if line.is_question]
    if not asked:
        return [lines]  # the caller passes it over
    size = len(asked) if steps is None else _questions(options, steps)
    if len(asked) < size:
        return [lines]  # too short: the check of `steps` says so
    starts = [0]
    if options.windows:
        starts = sorted({*range(0, len(asked) - size + 1, size), len(asked) - size})
    windows = []
    for group in (asked[start : start + size] for start in starts):
        before = [line for line in lines[: group[0]] if not line.is_question]
        if options.tell == "needed":
            before = _told_for([lines[index] for index in group], before)
        windows.append((*before, *lines[group[0] : group[-1] + 1]))
    return windows


def _dialogue(lines: Sequence[BabiLine], options: BabiOptions, answers: Mapping[str, set[str]]) -> Dialogue:
    """One dialogue in the chosen layout; see the module's header."""
    told: list[list[str]] = [[]]  # sentences told by each interaction
    told_at: dict[int, int] = {}  # line number -> interaction that tells it
    asked: dict[int, BabiLine] = {}  # interaction -> its question
    for line in lines:
        if line.is_question:
            told.append([])
            asked[len(told) - 1] = line
            continue
        if options.layout == "separate" and len(told) - 1 in asked:
            told.append([])
        told[-1].append(line.text)
        told_at[line.number] = len(told) - 1
    last = max(asked)  # what is told after the last question, nobody asks for
    turns = []
    for index, sentences in enumerate(told[1 : last + 1], start=1):
        tail = " ".join(sentences)
        question = asked.get(index)
        if question is None:
            turns.append(Interaction(tail, options.acknowledge))
            continue
        query = f"{question.text} And then: {tail}" if tail and index < last else question.text
        turns.append(Interaction(query, question.answer, _asks(question, told_at, answers)))
    return Dialogue(" ".join(told[0]), options.acknowledge, tuple(turns))


def _asks(question: BabiLine, told_at: Mapping[int, int], answers: Mapping[str, set[str]]) -> tuple[Ask, ...]:
    if not question.support:
        return ()
    oldest = min(told_at[number] for number in question.support)
    values = _values(question)
    others = sorted(answers[_kind(question)] - set(values))
    wrong = tuple(others) if len(others) < MOST_WRONG else ()
    slot = SLOTS.get(_kind(question), "thing")
    ability = "two_facts" if len(question.support) > 1 else "recall"
    ability = {"yes_no": "yes_no", "number": "count"}.get(slot, ability)
    return tuple(Ask(value, oldest, wrong, slot, ability) for value in values)
