"""Where dialogues come from: loads one entry of a recipe's ``data`` section.

Built in: ``storyworld`` (generated), ``hub``, ``parquet``, ``jsonl``, ``arrow`` (data sets in the published schema),
``babi`` and ``tinystories`` (other people's texts, made into dialogues). Any other ``source`` is a plug-in: a name of
the entry-point group ``rxt_mrl.sources``, ``package.module:Name`` or ``file.py:Name``; it is called as
``source(split, steps=..., episodes=..., seed=...)`` and gives dialogues, rows of the published schema, or texts.

Splits are ``train``, ``validation`` and ``supervised``. What a data set calls them, ``splits`` says; a data set
without a validation split gets one by ``holdout``. Nothing is substituted silently.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

from ...contracts import Dialogue
from ...errors import UserError
from ...plugins import build, find, location
from ...texts import counted
from .. import tinystories
from ..carried_words import carried_words
from ..storyworld import dialogues as storyworld_dialogues
from ..storyworld import pairs as storyworld_pairs
from ..storyworld import plain_stories as storyworld_texts
from . import babi, chat
from . import files as loading
from .babi_copies import with_copies
from .babi_stories import of_tasks, story_records
from .chat.text_files import records as chat_files
from .given import Given, source_of
from .line_files import json_records
from .rows import (
    LoadReport,
    Passed,
    Record,
    RowError,
    collect,
    dialogue_from_row,
    long_enough,
    pairs_from_row,
    texts_from_row,
    without_references,
)
from .settings import BUILT_IN, DataSettings, Split

__all__ = ["EPISODES", "DataSettings", "LoadedDialogues", "Split", "load_dialogues", "load_pairs", "load_texts"]

log = logging.getLogger(__name__)

EPISODES = 1000
"""Dialogues of an endless source where nothing says how many."""


@dataclass(frozen=True)
class LoadedDialogues:
    """Dialogues, and what happened when they were loaded."""

    dialogues: list[Dialogue]
    report: LoadReport

    def __len__(self) -> int:
        return len(self.dialogues)


# --- loading ---------------------------------------------------------------------------------------------------------


def load_dialogues(
    settings: Given,
    split: str = "train",
    *,
    steps: int | None = None,
    episodes: int | None = None,
    seed: int = 0,
    any_length: bool = False,
) -> LoadedDialogues:
    """Dialogues of a split, checked, each cut to the number of follow-ups.

    Args:
        settings: the source, or what :data:`~.given.Given` names: a path, a ``Dataset``, rows ...
        split: ``train``, ``validation`` or ``supervised``.
        steps: follow-ups of each dialogue; None: ``settings.steps``, or as many as each has.
        episodes: dialogues at most (the first ones of a data set; an endless source makes so many).
        seed: of generated dialogues.
        any_length: keep dialogues as they are, long or short; ``steps`` is then what a generated source makes.

    Raises:
        UserError: one line: nothing there, no such split, a bad row (``on_bad_row: stop``), no dialogue long enough.
    """
    settings, given = source_of(settings, split)
    _check_counts(steps=steps, episodes=episodes)
    steps = steps or settings.steps
    limit = _least(episodes, settings.limit)
    report = LoadReport(settings.label, _split(split))
    if settings.source != "storyworld":  # whose own facts a test reads
        report.judge = find("reward", "fact_recall")()
    records = given or _records(settings, _split(split), steps=steps, episodes=limit, seed=seed)

    def parse(value: Any) -> list[Dialogue]:
        return [one(item) for item in (value if isinstance(value, tuple) else (value,))]

    def one(value: Any) -> Dialogue:
        dialogue = dialogue_from_row(value, settings.columns)
        dialogue = dialogue if any_length else long_enough(dialogue, steps)
        if settings.annotate == "carried_words":
            dialogue = carried_words(dialogue)
        return dialogue if settings.references or split == "validation" else without_references(dialogue)

    dialogues = collect(records, parse, report, on_bad_row=settings.on_bad_row, limit=limit)
    if report.doubtful:
        log.warning(
            "%s in %s, the first: %s",
            counted(len(report.doubtful), "doubtful fact"),
            settings.label,
            report.doubtful[0],
        )
    return LoadedDialogues(dialogues, report)


def load_texts(
    settings: Given,
    split: str = "train",
    *,
    limit: int | None = None,
    seed: int = 0,
    report: LoadReport | None = None,
) -> list[str]:
    """Plain texts for stage 1: stories, a text column, or else the interactions of dialogues as ``query answer``.

    Args:
        settings: as for :func:`load_dialogues`.
        split: as there.
        limit: texts at most.
        seed: of generated texts.
        report: filled with the counts, where given.

    Raises:
        UserError: see :func:`load_dialogues`.
    """
    settings, given = source_of(settings, split)
    _check_counts(limit=limit)
    limit = _least(limit, settings.limit)
    records: Iterable[Record]
    if given is not None:
        records = given
    elif settings.source == "storyworld":
        config = settings.typed_options()
        texts = storyworld_texts(config, limit or EPISODES, _storyworld_split(settings, _split(split)), seed)
        records = _numbered("storyworld", texts)
    elif settings.source == "tinystories":
        records = _stories(settings, _split(split))
    elif settings.source == "chat":
        pairs = load_pairs(settings, split, limit=limit, seed=seed, report=report)
        return [f"{query} {answer}" for query, answer in pairs]
    else:
        records = _records(settings, _split(split), steps=None, episodes=limit, seed=seed)
    return _collect(settings, records, lambda value: texts_from_row(value, settings.columns), split, limit, report)


def load_pairs(
    settings: Given,
    split: str = "train",
    *,
    limit: int | None = None,
    seed: int = 0,
    report: LoadReport | None = None,
) -> list[tuple[str, str]]:
    """(query, answer) pairs for stage 2: of a ``{query, answer}`` set, or every interaction of the dialogues.

    ``storyworld``, ``tinystories`` and ``babi`` give pairs that need no memory: what is told and a question about it in
    one query.
    A data set that has only texts gives the first sentence of each with how it goes on.

    Args:
        settings: as for :func:`load_dialogues`.
        split: as there.
        limit: pairs at most.
        seed: of generated pairs.
        report: filled with the counts, where given.

    Raises:
        UserError: see :func:`load_dialogues`.
    """
    settings, given = source_of(settings, split)
    _check_counts(limit=limit)
    limit = _least(limit, settings.limit)
    if settings.source == "storyworld":
        pairs = storyworld_pairs(
            settings.typed_options(), limit or EPISODES, _storyworld_split(settings, _split(split)), seed
        )
        return _collect(settings, _numbered("storyworld", pairs), lambda pair: [pair], split, limit, report)
    if settings.source == "tinystories":
        options = settings.typed_options()

        def about(text: str) -> list[tuple[str, str]]:
            return tinystories.story_pairs(text, options, seed=seed)

        return _collect(settings, _stories(settings, _split(split)), about, split, limit, report)

    if settings.source == "babi":
        stories = _babi_stories(settings, _split(split), seed)
        return _collect(settings, stories, babi.pairs, split, limit, report)

    if settings.source == "chat":
        records = chat.pair_records(
            _held(settings, _split(split), _rows(settings, _split(split))), settings.typed_options()
        )
        return _collect(settings, records, list, split, limit, report)

    def parse(value: Any) -> list[tuple[str, str]]:
        names = settings.columns
        only_text = isinstance(value, str) or (
            isinstance(value, Mapping) and names.text in value and names.query not in value
        )
        return _continuations(texts_from_row(value, names)) if only_text else pairs_from_row(value, names)

    records = given or _records(settings, _split(split), steps=None, episodes=limit, seed=seed)
    return _collect(settings, records, parse, split, limit, report)


def _continuations(texts: Sequence[str]) -> list[tuple[str, str]]:
    pairs = [pair for text in texts if (pair := tinystories.continuation(text)) is not None]
    if not pairs:
        raise Passed("a text of one sentence")
    return pairs


def _collect(
    settings: DataSettings, records: Iterable[Record], parse: Any, split: str, limit: int | None,
    report: LoadReport | None,
) -> list[Any]:  # fmt: skip
    report = report if report is not None else LoadReport(settings.label, split)
    report.source, report.split = settings.label, split
    return collect(records, parse, report, on_bad_row=settings.on_bad_row, limit=limit)


# --- records ---------------------------------------------------------------------------------------------------------


def _records(
    settings: DataSettings, split: Split, *, steps: int | None, episodes: int | None, seed: int
) -> Iterator[Record]:
    """What a source holds, one record each; rows are not checked yet."""
    if settings.source == "storyworld":
        config = settings.typed_options(**({"steps": steps} if steps else {}))
        made = storyworld_dialogues(config, episodes or EPISODES, _storyworld_split(settings, split), seed)
        yield from _numbered("storyworld", made)
    elif settings.source == "babi":
        yield from babi.dialogue_records(_babi_stories(settings, split, seed), settings.typed_options(), steps=steps)
    elif settings.source == "tinystories":
        options = settings.typed_options()
        yield from tinystories.dialogue_records(_stories(settings, split), options, steps=steps, seed=seed)
    elif settings.source == "chat":
        rows = _held(settings, split, _rows(settings, split))
        yield from chat.dialogue_records(rows, settings.typed_options(), steps=steps)
    elif settings.source in BUILT_IN:
        yield from _held(settings, split, _rows(settings, split))
    else:
        yield from _plugged(settings, split, steps=steps, episodes=episodes, seed=seed)


def rows_of(settings: DataSettings, split: str) -> Iterator[Record]:
    """The rows of a data set as they are, unchecked: of files, of the Hub."""
    return _rows(settings, _split(split))


def _rows(settings: DataSettings, split: Split) -> Iterator[Record]:
    """Rows of a data set on the Hub or in local files."""
    if settings.source == "hub" or not settings.path:
        ours = _ours(settings, split)
        copy = Path(str(settings.name))
        if copy.is_dir() and not _lists_configs(copy / "README.md"):  # then only the names of its files tell
            theirs = settings.splits.get(ours)
            found = loading.find_files(copy, "parquet", ours, theirs=theirs, config=settings.config)
            return loading.parquet_records(found)
        return loading.hub_records(
            str(settings.name), split=settings.splits.get(ours, ours), config=settings.config,
            revision=settings.revision, streaming=settings.streaming,
        )  # fmt: skip
    if settings.source == "chat":
        return chat_files(_files(settings, split), settings.typed_options())
    readers = {"parquet": loading.parquet_records, "arrow": loading.arrow_records, "jsonl": json_records}
    return readers[settings.source](_files(settings, split))


def _lists_configs(card: Path) -> bool:
    """Whether the card of a data set says which files are which sub-set and split."""
    return card.is_file() and "configs:" in card.read_text(encoding="utf-8", errors="replace")


def _files(settings: DataSettings, split: Split) -> list[Path]:
    """The files of a split."""
    ours = _ours(settings, split)
    path, theirs = str(settings.path), settings.splits.get(ours)
    return loading.find_files(path, settings.source, ours, theirs=theirs, config=settings.config)


def _stories(settings: DataSettings, split: Split) -> Iterator[Record]:
    """Plain stories: of text files, or of the text column of a Hub data set."""
    if settings.path:
        yield from _held(settings, split, tinystories.story_records(_files(settings, split)))
        return
    for record in _held(settings, split, _rows(settings, split)):
        value = record.value
        if not isinstance(value, RowError):
            try:
                value = texts_from_row(value, settings.columns)[0]
            except RowError as error:
                value = error
        yield Record(record.place, record.number, value, record.unit)


def _babi_stories(settings: DataSettings, split: Split, seed: int) -> Iterator[Record]:
    """The stories of bAbI files, with the copies that training gets."""
    options = settings.typed_options()
    records = _held(settings, split, story_records(of_tasks(_files(settings, split), options.tasks)))
    copies = 0 if split == "validation" else options.copies
    return with_copies(records, copies, join=options.join, ask_where=options.ask_where, seed=seed)


def _ours(settings: DataSettings, split: Split) -> Split:
    """The split to read: with a holdout, validation is a part of train."""
    return "train" if settings.holdout and split == "validation" else split


def _held(settings: DataSettings, split: Split, records: Iterator[Record]) -> Iterator[Record]:
    if not settings.holdout or split == "supervised":
        return records
    return loading.hold_out(records, settings.holdout, validation=split == "validation")


def _plugged(
    settings: DataSettings, split: Split, *, steps: int | None, episodes: int | None, seed: int
) -> Iterator[Record]:
    """What a plug-in gives; an exception in it is an error that names it and how far it came."""
    source = build(find("source", settings.source), settings.source, settings.options)
    theirs = settings.splits.get(split, split)
    number = 0
    try:
        for value in source(theirs, steps=steps, episodes=episodes, seed=seed):
            number += 1
            yield Record(settings.source, number, value, "item")
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's source does
        message = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"data: source {settings.source!r} ({location(source)}) failed at item {number + 1}: "
            f"{type(error).__name__}: {message}"
        ) from error


def _storyworld_split(settings: DataSettings, split: Split) -> Any:
    """The generator has no separate supervised split: it makes as much of train as is asked for."""
    theirs = settings.splits.get(split) or ("train" if split == "supervised" else split)
    if theirs not in ("train", "validation", "test"):
        raise UserError(f"data: storyworld has no split '{theirs}'; it has: train, validation, test")
    return theirs


def _numbered(place: str, values: Iterable[Any]) -> Iterator[Record]:
    for number, value in enumerate(values, start=1):
        yield Record(place, number, value)


def _split(split: str) -> Split:
    if split not in get_args(Split):
        raise UserError(f"data: unknown split '{split}'; allowed: {', '.join(get_args(Split))}")
    return split  # type: ignore[return-value]


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and (isinstance(count, bool) or not isinstance(count, Integral) or count < 1):
            raise UserError(f"data: {name} = {count!r}; allowed: a whole number of at least 1, or None")


def _least(*numbers: int | None) -> int | None:
    known = [number for number in numbers if number is not None]
    return min(known) if known else None
