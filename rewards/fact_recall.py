"""Fact recall: whether an answer contains the facts that were asked for, and claims nothing else instead."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import ClassVar, Literal

import torch

from rxt_mrl.contracts import NEVER_TOLD, Ask, RewardContext
from rxt_mrl.errors import UserError

from .claims import (
    ARTICLES,
    LABELS,
    Text,
    claims,
    common_run,
    hedges,
    is_symbol,
    mentions,
    occurrences,
    parse,
    stands_whole,
    value_words,
)
from .quantities import UNITS, is_number

Match = Literal["words", "exact"]

_ECHO = 0.6
"""Share of the query's words that make a stretch of the answer an echo."""
_COPY = 0.8
"""Share of an earlier interaction's words that make an answer a copy of it."""
_REPEATS = 2
"""How many times more often than the reference an answer may say a value."""
_SHORT = 12
"""Words that any answer may have."""


class FactRecall:
    """The share of the asked facts that the answer states, and 0 for tricks (English texts).

    It needs annotated dialogues (``asks``) and does not apply elsewhere, nor to questions about what was never told:
    such episodes are masked, not scored 0. It needs no reference; where there is one, the reference says which rules
    hold.
    The right answer and a paraphrase that contains the fact earn the same. Nothing is earned by: a wrong or outdated
    value (``Ask.wrong``) that the answer claims, also beside the right one; a negated fact ("It is not Rex"); a fact
    that stands only in an echo of the query or only in a question; a copy of an earlier interaction; alternatives
    ("red or blue", "red and blue"); a list of values; a value said again and again; an answer more than ``longest``
    times as long as the reference. A rule that the reference itself breaks is not applied. If one slot is asked for
    twice and the reference has only the newest value, the older one is wrong.

    Values are compared as a reader compares them (``reading``): numbers by value, in digits or words, with their sign
    and unit; names, compounds and symbols whole ("York" is not "New York", "red" not "dark-red", "C" not "C++");
    markup, JSON and labels ("Answer: red") do not count. Where the reference has the value as a part of something
    longer, an answer may too.

    What it cannot tell apart: it does not know who the fact is about ("The cat is red" for "The dog is red"), nor a
    right answer from one with another, unannotated value added in a sentence of its own ("It is red. It is blue.").
    Double negation counts as negation, and "It was blue, now it is red" claims the outdated value.

    Args:
        match: ``words``: the value is among the answer's words; ``exact``: the answer is the value, articles apart.
        longest: how many times as long as the reference an answer may be, in words (12 words are always allowed).
    """

    blind_to: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, match: Match = "words", longest: float = 3.0) -> None:
        if match not in ("words", "exact"):
            raise UserError(f"match {match!r} is unknown; allowed: words, exact")
        if not longest >= 1:
            raise UserError(f"longest {longest!r}: at least 1, times the reference's length")
        self.match: Match = match
        self.longest = longest

    def __call__(self, context: RewardContext) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores float32 ``(episodes,)`` and where they apply, bool ``(episodes,)``: where something is asked."""
        count = len(context)
        asks = [told_asks(row) for row in context.asks or ((),) * count]
        applies = torch.tensor([bool(row) for row in asks], dtype=torch.bool)
        scores = torch.zeros(count)
        if not applies.any():
            return scores, applies
        answers, references, queries = context.generated.text, context.reference.text, context.query.text
        pasts = [turn.text for turn in context.history]
        score = cache(self.score)  # most answers of a policy to one question are the same
        for row in applies.nonzero().flatten().tolist():
            scores[row] = score(
                answers[row], references[row], queries[row], asks[row], tuple(past[row] for past in pasts)
            )
        return scores, applies

    def score(self, answer: str, reference: str, query: str, asks: Sequence[Ask], history: Sequence[str] = ()) -> float:
        """The score of one answer: the share of its asked facts that it states, or 0 for a trick.

        Args:
            answer: the text to score.
            reference: the right answer.
            query: the question.
            asks: at least one fact.
            history: the texts of the completed interactions.
        """
        said, model = parse(answer), parse(reference)
        if not said.words:
            return 0.0
        wanted, wrong = _wanted(asks, model)
        if self.match == "exact":
            return float(_bare(said, wanted) == [word for value in wanted for word in value])
        question = parse(query)
        wanted = [_as_said(said, value, question) for value in wanted]
        known = frozenset(model.words).union(*wanted)
        beside = known.union(question.words)
        if self._trick(said, model, wanted, wrong, known if "or" in question.words else beside, history):
            return 0.0
        stated = 0
        for value in wanted:
            echo = _echo(said, model, question) if mentions(question, value) else range(0)
            # The reference says whether the value may be a part of something longer, and be denied.
            whole = beside if stands_whole(model, value, beside) or not mentions(model, value) else None
            denied_too = mentions(model, value) and not claims(model, value, known=whole)
            stated += claims(said, value, echo, whole) or (denied_too and mentions(said, value))
        return stated / len(wanted)

    def problems(self, reference: str, query: str, asks: Sequence[Ask]) -> list[str]:
        """What is wrong with an annotated row: its reference does not earn 1, or a wrong value is the right one."""
        told = told_asks(asks)
        found = []
        for ask in told:
            value = value_words(ask.value) if any(not _plainly_other(ask.value, wrong) for wrong in ask.wrong) else ()
            same = [other for other in ask.wrong if value and value_words(other) == value]
            found += [f"wrong lists {other!r}, which is the right value {ask.value!r}" for other in same]
        if not told or not reference.strip() or (len(told) == 1 and _plainly_said(told[0].value, reference)):
            return found
        if self.score(reference, reference, query, told) < 1:
            values = ", ".join(repr(ask.value) for ask in told)
            found.append(f"the reference {reference!r} does not state {values}, so it would not earn the full reward")
        return found

    def _trick(
        self,
        said: Text,
        model: Text,
        wanted: Sequence[tuple[str, ...]],
        wrong: Sequence[tuple[str, ...]],
        known: frozenset[str],
        history: Sequence[str],
    ) -> bool:
        if len(said.words) > max(_SHORT, self.longest * len(model.words)):
            return True
        if any(claims(said, value) for value in wrong):
            return True
        for value in wanted:
            if len(occurrences(said.words, value)) > _REPEATS + len(occurrences(model.words, value)):
                return True
        if any(hedges(said, value, known) for value in wanted) and not any(
            hedges(model, value, frozenset().union(*wanted)) for value in wanted
        ):
            return True
        return any(_copies(said, parse(past)) for past in history) and said.words != model.words


def _plainly_other(value: str, wrong: str) -> bool:
    """Whether two values differ for certain, without reading them."""
    return (
        value.isascii() and wrong.isascii() and value.isalpha() and wrong.isalpha() and value.lower() != wrong.lower()
    )


def _plainly_said(value: str, reference: str) -> bool:
    """Whether a word stands in a reference for certain."""
    return value.isascii() and value.isalpha() and value in reference.rstrip(".!").split(" ")


def told_asks(asks: Sequence[Ask]) -> tuple[Ask, ...]:
    """Without what was never told."""
    return tuple(ask for ask in asks if ask.told_at != NEVER_TOLD)


def _wanted(asks: Sequence[Ask], model: Text) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The values that must be stated and those that must not: older values of a slot count as wrong."""
    newest: dict[str, int] = {}
    for ask in asks:
        if ask.slot and mentions(model, value_words(ask.value)):
            newest[ask.slot] = max(newest.get(ask.slot, 0), ask.told_at)
    wanted: list[tuple[str, ...]] = []
    wrong: list[tuple[str, ...]] = []
    for ask in asks:
        value = value_words(ask.value)
        outdated = ask.told_at < newest.get(ask.slot, -1) and not mentions(model, value)
        (wrong if outdated else wanted).append(value)
        wrong += [value_words(other) for other in ask.wrong]
    wanted = list(dict.fromkeys(wanted))
    return wanted, [value for value in dict.fromkeys(wrong) if value not in wanted and not mentions(model, value)]


def _as_said(said: Text, value: tuple[str, ...], question: Text) -> tuple[str, ...]:
    """A value as the answer says it: items in another order, or without the unit that the question names."""
    if mentions(said, value):
        return value
    if "and" in value:
        items = sorted(word for word in value if word != "and")
        places = [at for at, word in enumerate(said.words) if word != "and"]
        for stretch in zip(*(places[first:] for first in range(len(items))), strict=False):
            if sorted(said.words[at] for at in stretch) == items:
                return said.words[stretch[0] : stretch[-1] + 1]
    asked = {UNITS.get(word, word) for word in question.words} | ({"year"} if "old" in question.words else set())
    if len(value) > 1 and is_number(value[0]) and asked.issuperset(value[1:]):
        units = {said.words[at + 1] for at in occurrences(said.words, value[:1]) if at + 1 < len(said.words)}
        return value if units.intersection(UNITS.values()) - asked else value[:1]
    return value


def _bare(text: Text, wanted: Sequence[tuple[str, ...]]) -> list[str]:
    """The words of an answer without articles, labels, and signs that no value has."""
    kept = frozenset().union(*wanted)
    return [
        word
        for at, word in enumerate(text.words)
        if word in kept or not (word in ARTICLES or is_symbol(word) or (at in text.labels and word in LABELS))
    ]


def _echo(said: Text, model: Text, question: Text) -> range:
    """The stretch of the answer that repeats the query; empty when it is short or the reference repeats it too."""
    run = common_run(said.words, question.words)
    size = len(question.words)
    if len(run) < size and (len(run) < 4 or len(run) < _ECHO * size):
        return range(0)
    if len(common_run(model.words, question.words)) >= len(run):
        return range(0)
    return run


def _copies(said: Text, past: Text) -> bool:
    """Whether the answer repeats most of an earlier interaction."""
    needed = _COPY * len(past.words)
    if len(past.words) < 4 or len(said.words) < needed:
        return False
    return len(common_run(said.words, past.words)) >= needed
