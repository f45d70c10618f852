"""Conversations as dialogues: rows of files, their layout, and windows of ``steps`` follow-ups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from ....contracts import Dialogue
from ....errors import UserError
from ..rows import Passed, Record, RowError
from ..tally import Tally
from . import annotated
from .extract import lost_turns, turns_of
from .groups import grouped
from .layouts import LOOKED_AT, Layout, at, detect
from .options import ChatOptions
from .turns import Exchange, exchanges


def dialogue_records(records: Iterable[Record], options: ChatOptions, *, steps: int | None) -> Iterator[Record]:
    """One record for each row, with the dialogues that it gives; bad rows go through.

    Args:
        records: rows of files.
        options: how to read them.
        steps: follow-ups of each dialogue; None: a conversation is one dialogue.

    Raises:
        UserError: the rows hold no turns in any way that is known.
    """

    def made(row: Any, layout: Layout, tally: Tally) -> tuple[Dialogue, ...]:
        if layout.name in annotated.NAMES:
            return tuple(annotated.dialogues(row, layout, options, tally, steps=steps))
        return tuple(_cut(_exchanges(row, layout, options, tally), options, tally, steps))

    return _each(records, options, made)


def pair_records(records: Iterable[Record], options: ChatOptions) -> Iterator[Record]:
    """One record for each row, with its (query, answer) pairs; bad rows go through."""

    def made(row: Any, layout: Layout, tally: Tally) -> list[tuple[str, str]]:
        if layout.name in annotated.NAMES:
            pairs = annotated.pairs(row, layout, options, tally)
        else:
            found = _exchanges(row, layout, options, tally)
            pairs = [(item.interaction.query, item.interaction.answer) for item in found]
        if not pairs:
            raise Passed("no query with an answer")
        return pairs

    return _each(records, options, made)


def _each(
    records: Iterable[Record], options: ChatOptions, made: Callable[[Any, Layout, Tally], Sequence[Any]]
) -> Iterator[Record]:
    """One record for each row, with what is made of it, or why nothing is."""
    for record, layout in _with_layout(records, options):
        if isinstance(record.value, RowError | Passed):
            yield record
            continue
        tally = Tally()
        try:
            yield replace(record, value=made(record.value, layout, tally), tally=tally)
        except (RowError, Passed) as reason:
            yield replace(record, value=reason, tally=_all_lost(record.value, layout, tally))


def _all_lost(row: Any, layout: Layout, tally: Tally) -> Tally:
    """The turns of a row that cannot be used, whether they were counted before or not."""
    count = annotated.lost_turns if layout.name in annotated.NAMES else lost_turns
    return Tally(read=max(tally.in_data, count(row, layout)))  # the report drops them, with its reason


def _with_layout(records: Iterable[Record], options: ChatOptions) -> Iterator[tuple[Record, Layout]]:
    records = grouped(_wanted(records, options), options)
    first: list[Record] = []
    rows: list[Any] = []
    while len(rows) < LOOKED_AT and (record := next(records, None)) is not None:
        first.append(record)
        if not isinstance(record.value, RowError | Passed):
            rows.append(record.value)
    layout = detect(rows, options)
    if layout is None:
        if rows:
            raise UserError(f"data: {first[0].place}: {unreadable(rows[0])}")
        layout = Layout("messages")
    for record in chain(first, records):
        yield record, layout


def _wanted(records: Iterable[Record], options: ChatOptions) -> Iterator[Record]:
    """Rows that have the values of ``where``."""
    for record in records:
        if options.where and isinstance(record.value, dict):
            row = record.value
            for column, wanted in options.where.items():
                allowed = wanted if isinstance(wanted, list | tuple) else [wanted]
                if str(at(row, column)) not in map(str, allowed):
                    record = replace(record, value=Passed(f"{column} is not {' or '.join(map(str, allowed))}"))
                    break
        yield record


def unreadable(row: Any) -> str:
    """Why no layout fits a row, and what can be said about it."""
    if not isinstance(row, dict):
        return f"the row is {type(row).__name__}; an object with a list of turns is needed"
    return (
        f"no column holds the turns of a conversation; there are: {', '.join(map(str, row)) or 'none'} (say which with "
        "--columns turns=NAME,role=NAME,content=NAME, or which list of the file has the rows with rows=NAME)"
    )


def _exchanges(row: Any, layout: Layout, options: ChatOptions, tally: Tally) -> list[Exchange]:
    found, counted = exchanges(turns_of(row, layout, options, tally), options)
    tally.add(counted)
    return found


def _cut(found: Sequence[Exchange], options: ChatOptions, tally: Tally, steps: int | None) -> list[Dialogue]:
    """Dialogues of ``steps`` follow-ups; what is left over is counted."""
    if not found:
        raise Passed("no query with an answer")
    if len(found) < 2:
        raise Passed("one query only, no follow-up")
    size = len(found) if steps is None else 1 + steps
    if len(found) < size:
        raise Passed(f"fewer than {steps} follow-ups")
    windows = len(found) // size if options.windows else 1
    _drop(
        found[windows * size :], tally, f"after the first {steps} follow-ups" if windows == 1 else "after the windows"
    )
    return [_dialogue(found[start * size : (start + 1) * size]) for start in range(windows)]


def _drop(rest: Iterable[Exchange], tally: Tally, reason: str) -> None:
    for exchange in rest:
        tally.drop(exchange.read, exchange.joined, reason)


def _dialogue(part: Sequence[Exchange]) -> Dialogue:
    first = part[0].interaction
    return Dialogue(first.query, first.answer, tuple(exchange.interaction for exchange in part[1:]))
