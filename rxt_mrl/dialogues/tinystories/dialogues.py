"""TinyStories (Eldan & Li 2023): stories as plain texts, and dialogues about them made by rules.

The text files separate stories by a line ``<|endoftext|>``. In a dialogue the story is told first and acknowledged;
each follow-up asks one fact of it (:mod:`.facts`), annotated with the value, ``told_at`` and wrong values. A value that
an earlier follow-up has already named is not asked for: the answer must come from the story, so the retention distance
is the follow-up's number. With ``parts`` the story goes on between the questions, and facts are told later too.

``long_range``: story A, then story B in the first follow-up, questions about B, and at the end one about A. The two
stories share no name, and the last question has a word that only A has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import Field

from ...contracts import Ask, Dialogue, Interaction, Strategy
from ...errors import UserError
from ...seeding import numpy_generator
from ...settings import Settings
from ..sources.line_files import lines_of
from ..sources.rows import Passed, Record, RowError
from .fact import StoryFact, words_of
from .facts import facts
from .story import SENTENCE_END, Story
from .words import listed

SEPARATOR = "<|endoftext|>"

OPENINGS = ("Let me tell you a story.", "Here is a story.", "Listen to this story.")
ACKNOWLEDGE = ("Thank you for the story. I will remember it.", "What a nice story! I will remember it.")
OTHER_STORY = ("Now another story.", "Here is a different story.")
RETURN = ("Back to the first story:", "Think of the first story again:")


class TinyStoriesOptions(Settings):
    """Options of ``source: tinystories``."""

    strategy: Strategy = "multi_step"
    follow_ups: int = Field(default=3, ge=1)
    """Follow-ups of a dialogue where ``steps`` is not given; a story with fewer facts is passed over."""
    sentences: int | None = Field(default=None, ge=1)
    """Tell only the first sentences of a story (for small models); None: all of it."""
    parts: int = Field(default=1, ge=1)
    """Tell the story in so many parts: the first interaction tells one, each of the next follow-ups asks, and then goes
    on with the story. What is asked was told in any part before."""
    max_words: int | None = Field(default=None, ge=10)
    """Pass over stories with more words; None: any length."""


# --- texts -----------------------------------------------------------------------------------------------------------


def story_records(files: Iterable[Path]) -> Iterator[Record]:
    """Stories of TinyStories text files, numbered by the line where each begins.

    The head of a file that was cut (no separator at its end, and no end of a sentence) is passed over.
    """
    for file in files:
        start, lines, problem = 1, list[str](), ""
        for number, line in lines_of(file):
            if isinstance(line, RowError):
                problem = problem or f"line {number}: {line}"
                continue
            before, separator, after = line.partition(SEPARATOR)
            lines.append(before)
            if separator:
                yield from _story_record(file, start, lines, problem)
                start, lines, problem = number + (not after.strip()), [after], ""
            elif not any(part.strip() for part in lines[:-1]):
                start = number
        last = "".join(lines).strip()
        if last and not problem and last[-1] not in '.!?"\u201d\u2019':
            yield Record(file.name, start, Passed("cut off at the end of the file"), "line")
        else:
            yield from _story_record(file, start, lines, problem)


def _story_record(file: Path, start: int, lines: Sequence[str], problem: str) -> Iterator[Record]:
    text = "".join(lines).strip()
    if problem:
        yield Record(file.name, start, RowError(problem), "line")
    elif text:
        yield Record(file.name, start, text, "line")


def continuation(text: str) -> tuple[str, str] | None:
    """A (query, answer) pair from a plain story: its first sentence, and how it goes on; None if it has only one."""
    end = SENTENCE_END.search(text)
    if end is None or not text[end.end() :].strip(' "\n'):
        return None
    cut = end.end() + (text[end.end() : end.end() + 1] == '"')
    return f"Tell me how this story goes on: {text[:cut].strip()}", text[cut:].strip()


def story_pairs(text: str, options: TinyStoriesOptions, *, seed: int = 0) -> list[tuple[str, str]]:
    """(query, answer) pairs that need no memory: the story and one question about it in the query.

    Raises:
        Passed: the story is too long, or the rules find no fact in it.
    """
    told = _tell(text, options)
    rng = numpy_generator(seed, "tinystories pairs", text)
    return [(f"{told.text} {_pick(fact.questions, rng)}", fact.answer) for fact in told.facts]


# --- dialogues -------------------------------------------------------------------------------------------------------


def dialogue_records(
    records: Iterable[Record], options: TinyStoriesOptions, *, steps: int | None, seed: int = 0
) -> Iterator[Record]:
    """Dialogues from story records; bad records go through, unsuitable stories are passed over with the reason.

    Args:
        records: see :func:`story_records`; other sources of plain texts do too.
        options: strategy and what to tell.
        steps: follow-ups of each dialogue; None: ``options.follow_ups``.
        seed: of the choice of questions and phrasings; the same story gets the same dialogue wherever it stands.

    Raises:
        UserError: long range with a single step.
    """
    steps = steps or options.follow_ups
    if options.parts > steps:
        raise UserError(
            f"data: parts: {options.parts} need as many steps (the last part is asked for too), not {steps}"
        )
    if options.parts > 1 and options.strategy == "long_range":
        raise UserError("data: parts are for multi_step; long_range tells two whole stories")
    if options.strategy == "long_range" and steps < 2:
        raise UserError(f"data: long_range needs at least 2 steps (another story, and the return), got {steps}")
    waiting: list[tuple[Record, _Told]] = []  # long range: stories that have found no partner
    for record in records:
        if not isinstance(record.value, str):
            yield record
            continue
        try:
            told = _tell(record.value, options)
        except Passed as reason:
            yield replace(record, value=reason)
            continue
        rng = numpy_generator(seed, "tinystories", record.value)
        if options.strategy == "long_range":
            yield from _paired(record, told, waiting, steps, rng)
        elif options.parts > 1:
            made = _in_parts(told, options.parts, steps, rng)
            yield replace(record, value=made if made is not None else Passed("too few facts"))
        else:
            chosen = choose(told.facts, steps, rng)
            enough = len(chosen) == steps
            yield replace(record, value=_multi_step(told, chosen, rng) if enough else Passed("too few facts"))
    for record, _ in waiting:
        yield replace(record, value=Passed(NO_PARTNER))


NO_PARTNER = "no second story to go with"


class _Told:
    """A story that is told, with its facts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.facts = facts(text)
        self.names = frozenset(Story(text).names)
        self.words = frozenset(words_of(text))


def _tell(text: str, options: TinyStoriesOptions) -> _Told:
    text = shorten(text, options.sentences)
    if options.max_words is not None and len(text.split()) > options.max_words:
        raise Passed("too long")
    told = _Told(text)
    if not told.facts:
        raise Passed("too few facts")
    return told


def shorten(text: str, sentences: int | None) -> str:
    """The first sentences of a story, never ending inside a quotation."""
    if sentences is None:
        return text
    count = 0
    plain = Story(text).plain
    for end in SENTENCE_END.finditer(plain):
        if plain[: end.end()].count('"') % 2:
            continue
        count += bool(end[0].strip())
        if count == sentences:
            return text[: end.end()].strip()
    return text


def choose(found: Sequence[StoryFact], count: int, rng: np.random.Generator) -> list[StoryFact]:
    """Facts in the order in which they are asked: none whose value an earlier question or answer names.

    A name is asked first, if at all, because later questions use it, what things are like last. Kinds of facts that
    have not been asked yet go before others.
    """
    order = [found[index] for index in rng.permutation(len(found))]
    order.sort(key=lambda fact: {"name": 0, "trait": 2}.get(fact.slot, 1))
    chosen: list[StoryFact] = []
    said: set[str] = set()
    while order and len(chosen) < count:
        slots = {fact.slot for fact in chosen}
        order = [fact for fact in order if not said & set(words_of(fact.value))]
        if not order:
            break
        fact = next((fact for fact in order if fact.slot not in slots), order[0])
        order.remove(fact)
        chosen.append(fact)
        said.update(word for text in (*fact.questions, fact.answer) for word in words_of(text))
    return chosen


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _ask(fact: StoryFact, told_at: int, rng: np.random.Generator, others: Iterable[str] = ()) -> Interaction:
    used = {word for text in (*fact.questions, fact.answer) for word in words_of(text)}
    wrong = dict.fromkeys((*fact.wrong, *(other for other in others if not used & set(words_of(other)))))
    ask = Ask(fact.value, told_at, tuple(wrong), fact.slot)
    return Interaction(_pick(fact.questions, rng), fact.answer, (ask,))


def _multi_step(told: _Told, chosen: Sequence[StoryFact], rng: np.random.Generator) -> Dialogue:
    turns = tuple(_ask(fact, 0, rng) for fact in chosen)
    return Dialogue(f"{_pick(OPENINGS, rng)} {told.text}", _pick(ACKNOWLEDGE, rng), turns)


GO_ON = ("And then:", "The story goes on:")


def _in_parts(told: _Told, count: int, steps: int, rng: np.random.Generator) -> Dialogue | None:
    """The story told in ``count`` parts, with questions in between; None where it has too few sentences or facts.

    Follow-up k asks for what the parts before told, and the first ``count - 1`` go on with the next part. A value that
    stands in a later part too, told before the question, is not asked for: ``told_at`` would not say how old it is.
    """
    ends = _part_ends(told.text, count)
    if ends is None:
        return None
    starts = [0, *ends[:-1]]
    parts = [told.text[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    facts = [(fact, next(part for part, end in enumerate(ends) if fact.at < end)) for fact in told.facts]
    facts = [facts[index] for index in rng.permutation(len(facts))]
    turns: list[Interaction] = []
    said: set[str] = set()
    for step in range(1, steps + 1):
        known = min(step, count)  # parts told so far
        latest = {word: part for part in range(known) for word in words_of(parts[part])}
        fitting = [
            (fact, part) for fact, part in facts
            if part < known and not said & set(words_of(fact.value))
            and all(latest.get(word, part) <= part for word in words_of(fact.value))
        ]  # fmt: skip
        if not fitting:
            return None
        # the newest part first, so that what was told later is asked for as well; then kinds that were not asked
        asked = {ask.slot for turn in turns for ask in turn.asks}
        fact, part = max(fitting, key=lambda found: (found[1] == known - 1, found[0].slot not in asked))
        turn = _ask(fact, part, rng)
        tail = f" {_pick(GO_ON, rng)} {parts[step]}" if step < count else ""
        turns.append(replace(turn, query=turn.query + tail))
        said.update(word for text in (*fact.questions, fact.answer) for word in words_of(text))
    return Dialogue(f"{_pick(OPENINGS, rng)} {parts[0]}", _pick(ACKNOWLEDGE, rng), tuple(turns))


def _part_ends(text: str, count: int) -> list[int] | None:
    """Where each of ``count`` parts of about the same length ends: after a sentence, outside of quotations."""
    plain = Story(text).plain
    ends = [
        match.end() + (plain[match.end() : match.end() + 1] == '"')
        for match in SENTENCE_END.finditer(plain)
        if plain[: match.end() + (plain[match.end() : match.end() + 1] == '"')].count('"') % 2 == 0
    ]
    ends = sorted({*ends, len(text)})
    if len(ends) < count:
        return None
    chosen: list[int] = []
    for part in range(1, count):
        left = [end for end in ends if not chosen or end > chosen[-1]]
        left = left[: len(left) - (count - part)]
        if not left:
            return None
        chosen.append(min(left, key=lambda end: abs(end - len(text) * part / count)))
    return [*chosen, len(text)]


def _paired(
    record: Record, told: _Told, waiting: list[tuple[Record, _Told]], steps: int, rng: np.random.Generator
) -> Iterator[Record]:
    """The story as B of a story that waits, or put among those that wait (at most 8: memory stays small)."""
    for index, (earlier, first) in enumerate(waiting):
        dialogue = _long_range(first, told, steps, rng)
        if dialogue is not None:
            del waiting[index]
            yield replace(earlier, value=dialogue)
            return
    waiting.append((record, told))
    if len(waiting) > 8:
        yield replace(waiting.pop(0)[0], value=Passed(NO_PARTNER))


def _long_range(first: _Told, second: _Told, steps: int, rng: np.random.Generator) -> Dialogue | None:
    if first.names & second.names:
        return None
    about_first = [
        fact for fact in first.facts
        if fact.value.lower() not in second.words and _only_in(fact, first.words - second.words)
    ]  # fmt: skip
    about_second = [fact for fact in second.facts if _only_in(fact, second.words - first.words)]
    between = choose(about_second, steps - 2, rng)
    if len(between) < steps - 2 or not about_first:
        return None
    last = about_first[int(rng.integers(len(about_first)))]
    turns = [Interaction(f"{_pick(OTHER_STORY, rng)} {second.text}", _pick(ACKNOWLEDGE, rng))]
    for fact in between:
        turns.append(_ask(fact, 1, rng, _values(first, fact.slot)))
    final = _ask(last, 0, rng, _values(second, last.slot))
    turns.append(Interaction(f"{_pick(RETURN, rng)} {final.query}", final.answer, final.asks))
    return Dialogue(f"{_pick(OPENINGS, rng)} {first.text}", _pick(ACKNOWLEDGE, rng), tuple(turns))


_SMALL = listed(
    "a an and are be did do does for go hear how in is it like many me name number of old on remember said say story "
    "tell that the there thing to was were what where which who whom with you your would describe kind animal"
)


def _only_in(fact: StoryFact, own: frozenset[str]) -> bool:
    """Whether every phrasing of the question has a word that only its own story has."""
    return all(any(word in own and word not in _SMALL for word in words_of(text)) for text in fact.questions)


def _values(story: _Told, slot: str) -> list[str]:
    """What the other story would answer to this kind of question."""
    return [fact.value for fact in story.facts if fact.slot == slot][:4]
