"""bAbI stories (Weston et al. 2015) as dialogues, with retention distances from the supporting-fact ids.

A line of a bAbI file is ``N sentence``, or ``N question<TAB>answer<TAB>ids of supporting lines``; ``N = 1`` starts a
new story. In a dialogue every follow-up is a query with an answer, and a question must not be told its own support
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

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from ...contracts import Ask, Dialogue, Interaction
from ...errors import UserError
from ...settings import Settings
from .files import lines_of
from .rows import Passed, Record, RowError

MOST_WRONG = 20
"""A kind of question with more different answers than this is open; its wrong answers are not listed."""

SLOTS: Mapping[str, str] = {
    "where": "place", "is": "yes_no", "are": "yes_no", "does": "yes_no", "who": "person", "what": "thing",
    "how": "number", "why": "reason", "which": "thing",
}  # fmt: skip
"""What a question asks for, by its first word."""


class BabiOptions(Settings):
    """Options of ``source: babi``."""

    layout: Literal["joined", "separate"] = "joined"
    windows: bool = False
    """With ``steps``: make further dialogues of a story's later questions, in place of cutting them off."""
    acknowledge: str = Field(default="I will remember that.", min_length=1)
    """The answer to an interaction that only tells."""
    tasks: tuple[int, ...] = ()
    """Task numbers to take from a folder; none: all."""


@dataclass(frozen=True, slots=True)
class BabiLine:
    """A statement, or a question with its answer and the numbers of the lines that support it."""

    number: int
    text: str
    answer: str = ""
    support: tuple[int, ...] = ()

    @property
    def is_question(self) -> bool:
        """Whether the line asks."""
        return bool(self.answer)


@dataclass(frozen=True, slots=True)
class BabiStory:
    """The lines of one story, in order."""

    lines: tuple[BabiLine, ...]


@dataclass
class _Open:
    """A story that is being read."""

    start: int
    lines: list[BabiLine] = field(default_factory=list)
    problem: str = ""


def of_tasks(files: Sequence[Path], tasks: Sequence[int]) -> list[Path]:
    """The files of the tasks (``qa1_...``, ``qa6_...``); all of them where no task is named.

    Raises:
        UserError: a task that has no file.
    """
    if not tasks:
        return list(files)
    by_task = {int(match[1]): file for file in files if (match := re.match(r"qa(\d+)_", file.name))}
    missing = [task for task in tasks if task not in by_task]
    if missing:
        there = ", ".join(map(str, sorted(by_task))) or "none"
        raise UserError(f"data: no bAbI task {missing[0]} among the files; there are: {there}")
    return [by_task[task] for task in tasks]


# --- reading ---------------------------------------------------------------------------------------------------------


def story_records(files: Iterable[Path]) -> Iterator[Record]:
    """The stories of bAbI files as records; a malformed line makes its story a bad record, with the line's number."""
    for file in files:
        story: _Open | None = None
        for number, line in lines_of(file):
            if isinstance(line, str) and not line.strip():
                continue
            parsed = str(line) if isinstance(line, RowError) else _parse(line)
            if story is None or (isinstance(parsed, BabiLine) and parsed.number == 1):
                if story is not None:
                    yield _record(file, story)
                story = _Open(number)
            if story.problem:
                continue
            problem = parsed if isinstance(parsed, str) else _fits(story.lines, parsed)
            if problem:
                story.start, story.problem = number, problem
            elif isinstance(parsed, BabiLine):
                story.lines.append(parsed)
        if story is not None:
            yield _record(file, story)


def _parse(line: str) -> BabiLine | str:
    """The line, or what is wrong with it."""
    head, _, rest = line.strip().partition(" ")
    if not head.isdigit() or not rest.strip():
        return f"not a bAbI line, 'N sentence' or 'N question<TAB>answer<TAB>ids' is needed: {line.strip()[:40]!r}"
    parts = [part.strip() for part in rest.split("\t")]
    if len(parts) == 1:
        return BabiLine(int(head), parts[0])
    ids = parts[2].split() if len(parts) > 2 else []
    if len(parts) > 3 or not parts[0] or not all(item.isdigit() for item in ids):
        return f"not a bAbI question, 'N question<TAB>answer<TAB>ids' is needed: {line.strip()[:40]!r}"
    if not parts[1]:
        return "the question has no answer"
    return BabiLine(int(head), parts[0], parts[1], tuple(int(item) for item in ids))


def _fits(lines: Sequence[BabiLine], line: BabiLine) -> str:
    """What is wrong with a line after the others of its story; empty if nothing."""
    expected = lines[-1].number + 1 if lines else 1
    if line.number != expected:
        return f"line number {line.number} in the story, {expected} or 1 is needed"
    told = {other.number for other in lines if not other.is_question}
    unknown = [number for number in line.support if number not in told]
    if unknown:
        return f"supporting line {unknown[0]} is not an earlier statement of the story"
    return ""


def _record(file: Path, story: _Open) -> Record:
    value = RowError(story.problem) if story.problem else BabiStory(tuple(story.lines))
    return Record(file.name, story.start, value, "line")


# --- dialogues -------------------------------------------------------------------------------------------------------


def dialogue_records(records: Iterable[Record], options: BabiOptions, *, steps: int | None) -> Iterator[Record]:
    """Dialogues from story records; bad records go through.

    Args:
        records: see :func:`story_records`; they are all read first, to know which answers a kind of question has.
        options: layout and windows.
        steps: follow-ups of a dialogue; None: the whole story is one.
    """
    stories = list(records)
    answers = _answers(record.value for record in stories if isinstance(record.value, BabiStory))
    for record in stories:
        if not isinstance(record.value, BabiStory):
            yield record
            continue
        for lines in _windows(record.value.lines, options, steps):
            if not any(line.is_question for line in lines) or lines[0].is_question:
                yield Record(record.place, record.number, Passed("nothing is told, or nothing asked"), record.unit)
            else:
                yield Record(record.place, record.number, _dialogue(lines, options, answers), record.unit)


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


def _windows(lines: tuple[BabiLine, ...], options: BabiOptions, steps: int | None) -> list[tuple[BabiLine, ...]]:
    """The story up to question ``steps``; with ``windows`` the later questions too, told all that came before."""
    asked = [index for index, line in enumerate(lines) if line.is_question]
    if not asked:
        return [lines]  # the caller passes it over
    # separate: question, telling, question ... are 2 * questions - 1 follow-ups
    size = len(asked) if steps is None else steps if options.layout == "joined" else (steps + 2) // 2
    groups = [asked[start : start + size] for start in range(0, len(asked) - size + 1, size)]
    if not groups:
        return [lines]  # too short: the check of `steps` says so
    return [
        tuple(line for index, line in enumerate(lines[: group[-1] + 1]) if not line.is_question or index >= group[0])
        for group in (groups if options.windows else groups[:1])
    ]


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
    return tuple(Ask(value, oldest, wrong, slot) for value in values)
