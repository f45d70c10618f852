"""Rows of a data set, checked one by one: what is wrong, in which row of which file, and how often.

A row is good or it is a :class:`RowError`; the user chooses whether a bad one stops the run or is skipped and
counted (``on_bad_row``). Nothing is repaired silently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from ...contracts import OWN_WORDS, Dialogue
from ...errors import UserError
from ...settings import Settings
from ...texts import counted, half_character
from ..schema import from_row, to_row
from .tally import Tally

OnBadRow = Literal["stop", "skip"]
T = TypeVar("T")


class RowError(ValueError):
    """One row cannot be used; the message says why, without naming the row."""


class FileError(RowError):
    """A file cannot be read, as a whole or from here on; no row of it can be left out."""


class Passed(Exception):  # noqa: N818 - not an error: the row is good and left out on purpose
    """One row is left out on purpose, for the given reason (a story with too few facts); never stops a run."""


class Columns(Settings):
    """Names of a data set's columns; the defaults are the published schema's."""

    query: str = "query"
    answer: str = "answer"
    interactions: str = "interactions"
    text: str = "text"
    asks: str = "asks"
    """Optional annotation inside an interaction: ``[{value, told_at, wrong?, slot?}]``."""
    follow_up_query: str | None = None
    """Name of the query inside ``interactions``; None: the same as ``query``."""
    follow_up_answer: str | None = None
    """Name of the answer inside ``interactions``; None: the same as ``answer``."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row as a reader found it.

    Attributes:
        place: file or data set that it came from.
        number: 1 for the first row (for text files: the line in the file).
        value: the row (a mapping, a string, a :class:`Dialogue`), or the :class:`RowError` or :class:`Passed`
            that reading it gave.
        unit: what ``number`` counts: ``row`` or ``line``.
    """

    place: str
    number: int
    value: Any
    unit: str = "row"
    tally: Tally | None = None
    """What became of its turns, where it is a conversation."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out, and why."""

    place: str
    unit: str
    number: int
    problem: str

    def __str__(self) -> str:
        return f"{self.place} {self.unit} {self.number}: {self.problem}"


@dataclass
class LoadReport:
    """What loading did: rows read, kept and left out.

    Attributes:
        source: the data's name, for messages.
        split: the split that was asked for.
        read: rows that were looked at.
        kept: rows that were used.
        made: dialogues, pairs or texts that they gave (a dialogue of N follow-ups gives 1 + N pairs).
        bad: rows that were left out because something is wrong with them (``on_bad_row: skip``).
        doubtful: what does not fit in the facts of rows that are used: a reference that would not earn the full reward,
            a wrong value that is the right one.
        judge: what says so, the reward ``fact_recall``; None: nobody.
        passed: rows left out on purpose, by reason (a story with too few facts, a row held out).
        tally: what became of the turns of conversations; None: the rows are no conversations.
        drops: rows with turns that were dropped, and why.
    """

    source: str
    split: str
    read: int = 0
    kept: int = 0
    made: int = 0
    bad: list[BadRow] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)
    tally: Tally | None = None
    drops: list[str] = field(default_factory=list)
    doubtful: list[BadRow] = field(default_factory=list)
    judge: Any = None

    def count(self, record: Record, left_out: str = "") -> None:
        """Count the turns of a conversation; ``left_out`` says why none of them is used."""
        if record.tally is None:
            return
        if left_out:
            record.tally.drop_all(left_out)
        self.tally = self.tally or Tally()
        self.tally.add(record.tally)
        if record.tally.dropped.total():
            why = ", ".join(f"{count} {reason}" for reason, count in sorted(record.tally.dropped.items()))
            self.drops.append(f"{record.place} {record.unit} {record.number}: {why}")

    def lines(self, show: int = 5) -> list[str]:
        """The report as lines of text, with the first ``show`` bad rows."""
        out = [f"{self.source} [{self.split}]: {counted(self.read, 'row')} read, {self.kept} kept, {len(self.bad)} bad"]
        out += [f"  passed over: {count} ({reason})" for reason, count in sorted(self.passed.items())]
        out += [f"  bad: {row}" for row in self.bad[:show]]
        if len(self.bad) > show:
            out.append(f"  ... and {len(self.bad) - show} more")
        out += [f"  doubtful: {row}" for row in self.doubtful[:show]]
        if len(self.doubtful) > show:
            out.append(f"  ... and {len(self.doubtful) - show} more that are doubtful")
        if self.tally is not None:
            out += self.tally.lines()
            out += [f"  dropped turns: {drop}" for drop in self.drops[:show]]
            if len(self.drops) > show:
                out.append(f"  ... and in {len(self.drops) - show} more rows")
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        bad = [{"place": r.place, r.unit: r.number, "problem": r.problem} for r in self.bad]
        passed = dict(sorted(self.passed.items()))
        return {
            "source": self.source, "split": self.split, "read": self.read, "kept": self.kept, "made": self.made,
            "bad": bad, "passed": passed, "turns": None if self.tally is None else self.tally.to_dict(),
            "drops": self.drops,
        }  # fmt: skip


def collect(
    records: Iterable[Record],
    parse: Callable[[Any], Sequence[T]],
    report: LoadReport,
    *,
    on_bad_row: OnBadRow = "stop",
    limit: int | None = None,
) -> list[T]:
    """Parse records until ``limit`` good items are there; the report is filled on the way.

    Args:
        records: what a reader found.
        parse: gives the items of one record; raises :class:`RowError` for a bad one, :class:`Passed` to leave it out.
        report: counts; changed in place.
        on_bad_row: what to do with a bad record.
        limit: stop after so many items; None: all.

    Raises:
        UserError: at the first bad row (``on_bad_row="stop"``), or when nothing is left.
    """
    kept = list(take(records, parse, report, on_bad_row=on_bad_row, limit=limit))
    if not kept:
        raise UserError(nothing_left(report))
    return kept


def take(
    records: Iterable[Record],
    parse: Callable[[Any], Sequence[T]],
    report: LoadReport,
    *,
    on_bad_row: OnBadRow = "stop",
    limit: int | None = None,
) -> Iterator[T]:
    """The good items, one by one (see :func:`collect`)."""
    for record in records:
        report.read += 1
        try:
            if isinstance(record.value, RowError | Passed):
                raise record.value
            items = parse(record.value)
        except Passed as reason:
            report.passed[str(reason)] += 1
            report.count(record, str(reason))
            continue
        except RowError as error:
            bad = BadRow(record.place, record.unit, record.number, " ".join(str(error).split()))
            if on_bad_row == "stop":
                skip = " (on_bad_row: stop; skip leaves such rows out and counts them)"
                raise UserError(f"data: {bad}{'' if isinstance(error, FileError) else skip}") from None
            report.bad.append(bad)
            report.count(record, "in a bad row")
            continue
        report.kept += 1
        report.count(record)
        for problem in _doubts(items, report.judge):
            report.doubtful.append(BadRow(record.place, record.unit, record.number, problem))
        for item in items:
            report.made += 1
            yield item
            if limit is not None and report.made >= limit:
                return


def _doubts(items: Sequence[Any], judge: Any) -> list[str]:
    """What does not fit in the facts of dialogues."""
    return [
        f"interaction {number}: {problem}"
        for item in items
        if judge is not None and isinstance(item, Dialogue)
        for number, turn in enumerate(item.interactions, start=1)
        if turn.asks and not any(ask.slot == OWN_WORDS for ask in turn.asks)
        for problem in judge.problems(turn.answer, turn.query, turn.asks)
    ]


def nothing_left(report: LoadReport) -> str:
    """Why a source gave nothing, in one line."""
    if report.bad:
        return f"data: {report.source}: none of {report.read} rows can be used; first problem: {report.bad[0]}"
    if report.passed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.passed.most_common(3))
        return f"data: {report.source} [{report.split}]: nothing left of {report.read} rows ({reasons})"
    return f"data: {report.source} [{report.split}] is empty: it has no rows"


# --- rows ------------------------------------------------------------------------------------------------------------


def dialogue_from_row(row: Any, columns: Columns | None = None) -> Dialogue:
    """A :class:`Dialogue` from a row of the schema, whatever its columns are called.

    Raises:
        RowError: a column is missing or empty or has the wrong type, or the interactions are ragged.
    """
    columns = columns or Columns()
    # a plug-in's dialogue goes through the same checks as a row of a file
    row = to_row(row) if isinstance(row, Dialogue) else _renamed(_mapping(row), columns)
    try:
        dialogue = from_row(row, where="row")
    except UserError as error:
        raise RowError(str(error).removeprefix("row: ")) from None
    if not dialogue.interactions:
        raise RowError(f"'{columns.interactions}' is empty: no follow-ups")
    return dialogue


def pairs_from_row(row: Any, columns: Columns | None = None) -> list[tuple[str, str]]:
    """All (query, answer) pairs of a row: one of a ``{query, answer}`` set, ``1 + N`` of a dialogue.

    Raises:
        RowError: as for :func:`dialogue_from_row`.
    """
    columns = columns or Columns()
    if isinstance(row, Dialogue) or columns.interactions in _mapping(row):
        return [(turn.query, turn.answer) for turn in dialogue_from_row(row, columns).turns]
    return [(_text(row, columns.query), _text(row, columns.answer))]


def texts_from_row(row: Any, columns: Columns | None = None) -> list[str]:
    """Plain texts of a row: its text column, or else every interaction as ``query answer``.

    Raises:
        RowError: as for :func:`dialogue_from_row`.
    """
    columns = columns or Columns()
    if isinstance(row, str):
        if not row.strip():
            raise RowError("the text is empty")
        if problem := half_character(row):
            raise RowError(f"the text holds {problem}")
        return [row]
    if not isinstance(row, Dialogue) and columns.text in _mapping(row):
        return [_text(row, columns.text)]
    return [f"{query} {answer}" for query, answer in pairs_from_row(row, columns)]


def long_enough(dialogue: Dialogue, steps: int | None) -> Dialogue:
    """The dialogue cut to ``steps`` follow-ups.

    Raises:
        RowError: when it has fewer.
    """
    if steps is None or len(dialogue.interactions) == steps:
        return dialogue
    if len(dialogue.interactions) < steps:
        raise RowError(f"the dialogue has {len(dialogue.interactions)} follow-ups, steps: {steps} needs more")
    return replace(dialogue, interactions=dialogue.interactions[:steps])


def without_references(dialogue: Dialogue) -> Dialogue:
    """The dialogue with its follow-ups unanswered; the first interaction, which is there to be remembered, stays."""
    return replace(dialogue, interactions=tuple(replace(turn, answer="") for turn in dialogue.interactions))


def _mapping(row: Any) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise RowError(f"the row is {type(row).__name__}, an object with columns is needed")
    return row


def _renamed(row: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """The row with the schema's names; other columns keep theirs."""
    if columns.interactions in row and columns.query not in row and columns.answer not in row:
        row = _first_taken_out(row, columns)
    theirs_all = {columns.query, columns.answer, columns.interactions}
    renamed = {name: value for name, value in row.items() if name not in theirs_all}
    for ours, theirs in (
        ("query", columns.query), ("answer", columns.answer), ("interactions", columns.interactions),
    ):  # fmt: skip
        if theirs not in row:
            raise RowError(f"column '{theirs}' is missing; there are: {', '.join(map(str, row)) or 'none'}")
        renamed[ours] = row[theirs]
    inner = {
        columns.follow_up_query or columns.query: "query",
        columns.follow_up_answer or columns.answer: "answer",
        columns.asks: "asks",
    }
    if any(ours != theirs for theirs, ours in inner.items()):
        renamed["interactions"] = _rename_inside(renamed["interactions"], inner)
    return renamed


def _first_taken_out(row: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """A row of the newer published sets, which have ``interactions`` alone: the first one is there to be remembered."""
    items = row[columns.interactions]
    if isinstance(items, Mapping) and all(isinstance(values, Sequence) for values in items.values()):
        items = [dict(zip(items, values, strict=False)) for values in zip(*items.values(), strict=False)]
    if not isinstance(items, list | tuple) or not items or not isinstance(items[0], Mapping):
        raise RowError(f"no column '{columns.query}', and '{columns.interactions}' has no first interaction")
    first = {
        columns.query: items[0].get(columns.follow_up_query or columns.query),
        columns.answer: items[0].get(columns.follow_up_answer or columns.answer),
    }
    return {**row, **first, columns.interactions: list(items[1:])}


def _rename_inside(items: Any, names: Mapping[str, str]) -> Any:
    """The interactions with the schema's names; what is no mapping stays, for the schema's check to refuse."""
    if isinstance(items, Mapping):
        others = {name: value for name, value in items.items() if name not in names}
        return others | {names[name]: value for name, value in items.items() if name in names}
    if isinstance(items, list | tuple):
        return [_rename_inside(item, names) if isinstance(item, Mapping) else item for item in items]
    return items


def _text(row: Mapping[str, Any], name: str) -> str:
    if name not in row:
        raise RowError(f"column '{name}' is missing; there are: {', '.join(map(str, row)) or 'none'}")
    value = row[name]
    if not isinstance(value, str):
        raise RowError(f"'{name}' is {'empty' if value is None else type(value).__name__}, text is needed")
    if not value.strip():
        raise RowError(f"'{name}' is empty")
    if problem := half_character(value):
        raise RowError(f"'{name}' holds {problem}")
    return value
