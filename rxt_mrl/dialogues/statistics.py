"""What a set of dialogues is like, before anything is trained on it: lengths, cuts, annotation.

Lengths are in tokens with the template's tokens counted (``[BOS][Q]query[A]``, ``answer[EOS]``), or in words where
there is no tokenizer yet.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..contracts import Dialogue
from ..display import table
from ..texts import counted

if TYPE_CHECKING:
    from rich.table import Table

    from .tokenizer import DialogueTokenizer

QUANTILES = (0.5, 0.9, 0.95, 0.99)
PARTS = ("query", "answer", "interaction")


@dataclass(frozen=True)
class Limits:
    """The longest query, answer and interaction (both together) that a model takes; None: no limit."""

    query: int | None = None
    answer: int | None = None
    interaction: int | None = None


@dataclass(frozen=True)
class Lengths:
    """Lengths of one part of all interactions."""

    count: int
    mean: float
    longest: int
    quantiles: dict[float, int]
    limit: int | None = None
    over: int = 0
    """How many are longer than the limit."""


@dataclass(frozen=True)
class DataReport:
    """The statistics of :func:`describe`.

    Attributes:
        dialogues: how many.
        follow_ups: how many dialogues have so many follow-ups.
        unit: ``tokens`` or ``words``.
        lengths: of queries, answers and interactions, the first interaction included.
        cut: dialogues with a text that is over its limit.
        annotated: follow-ups with at least one fact asked.
        asked: facts asked.
        told_first: of these, told in the first interaction.
        told_later: of these, told in a follow-up.
        distances: facts asked by retention distance.
        slots: facts asked by kind.
        missing: facts whose value does not stand in the reference answer (it would be scored as wrong).
        given_away: facts whose value stands in their own query (no memory is needed).
    """

    dialogues: int
    follow_ups: Counter[int]
    unit: str
    lengths: dict[str, Lengths]
    cut: int = 0
    annotated: int = 0
    asked: int = 0
    told_first: int = 0
    told_later: int = 0
    distances: Counter[int] = field(default_factory=Counter)
    slots: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    given_away: int = 0

    @property
    def turns(self) -> int:
        """All follow-ups."""
        return sum(steps * count for steps, count in self.follow_ups.items())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        lengths = {
            part: {
                "count": found.count, "mean": found.mean, "longest": found.longest, "limit": found.limit,
                "over": found.over, "quantiles": {f"{share:g}": length for share, length in found.quantiles.items()},
            }
            for part, found in self.lengths.items()
        }  # fmt: skip
        return {
            "dialogues": self.dialogues,
            "follow_ups": {str(steps): count for steps, count in sorted(self.follow_ups.items())},
            "unit": self.unit,
            "lengths": lengths,
            "cut": self.cut,
            "annotated": self.annotated,
            "asked": self.asked,
            "told_first": self.told_first,
            "told_later": self.told_later,
            "distances": {str(distance): count for distance, count in sorted(self.distances.items())},
            "slots": dict(self.slots.most_common()),
            "missing": self.missing,
            "given_away": self.given_away,
        }

    def table(self) -> Table:
        """The lengths, for the terminal."""
        shares = (f"{share:.0%}" for share in QUANTILES)
        made = table("part", "count", "mean", *shares, "longest", "limit", "over", title=f"Lengths in {self.unit}")
        for part, found in self.lengths.items():
            limit = "-" if found.limit is None else str(found.limit)
            over = "-" if found.limit is None else f"{found.over} ({found.over / max(found.count, 1):.1%})"
            numbers = (str(length) for length in found.quantiles.values())
            made.add_row(part, str(found.count), f"{found.mean:.1f}", *numbers, str(found.longest), limit, over)
        return made

    def lines(self) -> list[str]:
        """Everything but the lengths, as lines of text."""
        steps = ", ".join(f"{count} with {number}" for number, count in sorted(self.follow_ups.items()))
        out = [f"{counted(self.dialogues, 'dialogue')} by follow-ups: {steps or 'none'}"]
        if any(found.limit is not None for found in self.lengths.values()):
            out.append(f"{self.cut} dialogues have a text over its limit")
        if not self.asked:
            return [*out, "no facts are annotated: scored by similarity to the reference only"]
        share = self.annotated / max(self.turns, 1)
        out.append(
            f"{share:.0%} of {counted(self.turns, 'follow-up')} ask annotated facts: {counted(self.asked, 'fact')}, "
            f"{self.told_first} told in the first interaction, {self.told_later} later"
        )
        distances = ", ".join(f"{distance}: {count}" for distance, count in sorted(self.distances.items()))
        slots = ", ".join(f"{slot or 'unnamed'}: {count}" for slot, count in self.slots.most_common(12))
        out += [f"facts by distance - {distances}", f"facts by kind - {slots}"]
        if self.missing:
            out.append(f"warning: {self.missing} facts do not stand in their reference answer")
        if self.given_away:
            out.append(f"note: {self.given_away} facts stand in their own query (chosen there, or no memory is needed)")
        return out


def describe(
    dialogues: Sequence[Dialogue], tokenizer: DialogueTokenizer | None = None, limits: Limits | None = None
) -> DataReport:
    """Statistics of dialogues.

    Args:
        dialogues: all of them, not encoded.
        tokenizer: counts tokens; None: words are counted (``limits`` then are words too).
        limits: what a model takes; what is over them would be cut or refused.
    """
    limits = limits or Limits()
    queries = [turn.query for dialogue in dialogues for turn in dialogue.turns]
    answers = [turn.answer for dialogue in dialogues for turn in dialogue.turns]
    counted = {"query": _lengths(queries, tokenizer, "query"), "answer": _lengths(answers, tokenizer, "answer")}
    counted["interaction"] = counted["query"] + counted["answer"]
    too_long = np.zeros(len(queries), dtype=bool)
    lengths = {}
    for part in PARTS:
        limit = getattr(limits, part)
        if limit is not None:
            too_long |= counted[part] > limit
        lengths[part] = _summary(counted[part], limit)
    owner = np.repeat(np.arange(len(dialogues)), [1 + len(dialogue.interactions) for dialogue in dialogues])
    asks = [
        (index - ask.told_at, ask, turn)
        for dialogue in dialogues for index, turn in enumerate(dialogue.turns) for ask in turn.asks
        if 0 <= ask.told_at < index
    ]  # fmt: skip
    return DataReport(
        dialogues=len(dialogues),
        follow_ups=Counter(len(dialogue.interactions) for dialogue in dialogues),
        unit="words" if tokenizer is None else "tokens",
        lengths=lengths,
        cut=len(np.unique(owner[too_long])),
        annotated=sum(bool(turn.asks) for dialogue in dialogues for turn in dialogue.interactions),
        asked=len(asks),
        told_first=sum(ask.told_at == 0 for _, ask, _ in asks),
        told_later=sum(ask.told_at > 0 for _, ask, _ in asks),
        distances=Counter(distance for distance, _, _ in asks),
        slots=Counter(ask.slot for _, ask, _ in asks),
        missing=sum(not _stands_in(ask.value, turn.answer) for _, ask, turn in asks),
        given_away=sum(_stands_in(ask.value, turn.query) for _, ask, turn in asks),
    )


def _lengths(texts: Sequence[str], tokenizer: DialogueTokenizer | None, part: str) -> np.ndarray:
    """Length of each text, int64 ``(texts,)``; equal texts are encoded once."""
    if tokenizer is None:
        return np.fromiter((len(text.split()) for text in texts), dtype=np.int64, count=len(texts))
    encode = tokenizer.encode_query if part == "query" else tokenizer.encode_answer
    template = len(encode("a")) - len(tokenizer.encode_text("a"))
    different = list(dict.fromkeys(texts))
    known = dict(zip(different, map(len, tokenizer.encode_texts(different)), strict=True))
    return np.fromiter((known[text] + template for text in texts), dtype=np.int64, count=len(texts))


def _summary(lengths: np.ndarray, limit: int | None) -> Lengths:
    if not len(lengths):
        return Lengths(0, 0.0, 0, dict.fromkeys(QUANTILES, 0), limit)
    quantiles = np.quantile(lengths, QUANTILES, method="higher").astype(int).tolist()
    over = 0 if limit is None else int((lengths > limit).sum())
    by_share = dict(zip(QUANTILES, quantiles, strict=True))
    return Lengths(len(lengths), float(lengths.mean()), int(lengths.max()), by_share, limit, over)


def _stands_in(value: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None
