"""Reading bAbI files: lines, and the stories that they make (Weston et al. 2015).

A line of a bAbI file is ``N sentence``, or ``N question<TAB>answer<TAB>ids of supporting lines``; ``N = 1`` starts a
new story.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import UserError
from .line_files import NUMBER, lines_of
from .rows import Record, RowError


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
    """The lines of one story, in order, and which renamed copy of it this is (0: the story itself)."""

    lines: tuple[BabiLine, ...]
    copy: int = 0


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
    if not NUMBER.fullmatch(head) or not rest.strip():
        return f"not a bAbI line, 'N sentence' or 'N question<TAB>answer<TAB>ids' is needed: {line.strip()[:40]!r}"
    parts = [part.strip() for part in rest.split("\t")]
    if len(parts) == 1:
        return BabiLine(int(head), parts[0])
    ids = parts[2].split() if len(parts) > 2 else []
    if len(parts) > 3 or not parts[0] or not all(map(NUMBER.fullmatch, ids)):
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
