"""Passes over the pieces of a text that leave one form of what has several: dates, times, ranges, Roman numerals."""

from __future__ import annotations

from dataclasses import replace

import regex

from .quantities import Piece, number_word, word_at
from .spellings import MONTHS, time_of_day

_MONTHS = {name[:length]: name for name in MONTHS for length in (3, len(name))} | {"sept": "september"}

_PARTS_OF_UNITS = frozenset(
    {("foot", "inch"), ("h", "min"), ("min", "s"), ("m", "cm"), ("kg", "g"), ("lb", "oz"), ("year", "month")}
)
_ROMAN = regex.compile(r"X{0,3}(?:IX|IV|V?I{0,3})")
_NUMBERED = frozenset({"war", "part", "chapter", "book", "volume", "act", "scene", "type", "class", "phase", "level"})
"""Behind these "I" is a number."""


def romans(raw: str, before: Piece | None) -> int:
    """The value of a Roman numeral up to 39; 0 where the word is none: "I" and "V" are only behind a name.

    Args:
        raw: the word as it is written.
        before: the piece before it.
    """
    upper = raw.upper()
    if raw not in (upper, upper.lower()) or not _ROMAN.fullmatch(upper):
        return 0
    if len(raw) == 1:
        named = before is not None and before.kind == "word" and before.capital and len(before.word) > 1
        if raw != upper or not named or (raw == "I" and before is not None and before.word not in _NUMBERED):
            return 0
    values = [{"I": 1, "V": 5, "X": 10}[letter] for letter in upper]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


def alike(pieces: list[Piece]) -> list[Piece]:
    """The pieces, whose numbers are read, with one form of each."""
    if not any(piece.kind == "number" for piece in pieces):
        return pieces
    return _ranges(_compounds(_times(_regnal(_dates(pieces)))))


def _regnal(pieces: list[Piece]) -> list[Piece]:
    """The pieces with numbers of kings as numbers: "Henry the Eighth" is "Henry 8"."""
    out = list(pieces)
    for at in range(len(out) - 1, 1, -1):
        name, the, ordinal = out[at - 2 : at + 1]
        ends = at + 1 == len(out) or out[at + 1].kind == "mark"
        if name.capital and the.word == "the" and ordinal.kind == "number" and ordinal.word.endswith("th") and ends:
            out[at - 1 : at + 1] = [_cardinal(ordinal)]
    return out


def _dates(pieces: list[Piece]) -> list[Piece]:
    """The pieces with days of a month behind the month, as cardinal numbers: "the 5th of May" is "May 5"."""
    out = list(pieces)
    for at, piece in enumerate(pieces):
        if piece.kind != "word" or piece.word not in _MONTHS:
            continue
        if at + 1 < len(out) and _day(out[at + 1]):
            out[at].word, out[at + 1] = _MONTHS[piece.word], _cardinal(out[at + 1])
            continue
        number = at - 2 if at > 1 and out[at - 1].word == "of" else at - 1
        if number >= 0 and _day(out[number]) and (number == at - 2 or piece.word != "may" or piece.capital):
            month, day = out[at], _cardinal(out[number])
            month.word = _MONTHS[piece.word]
            out[number : at + 1] = [month, day, *[Piece("", "gap")] * (at - 1 - number)]
    return [piece for piece in out if piece.kind != "gap"]


def _times(pieces: list[Piece]) -> list[Piece]:
    """The pieces with times in words as they stand in digits: "half past six" is "6:30"."""
    out: list[Piece] = []
    at = 0
    while at < len(pieces):
        start, part = at, {"half": 30, "quarter": 15}.get(pieces[at].word)
        if pieces[at].word == "a" and word_at(pieces, at + 1) == "quarter":
            at, part = at + 1, 15
        if part is None and pieces[at].kind == "number" and pieces[at].value in range(1, 30):
            part = int(pieces[at].value or 0)
        named = word_at(pieces, at + 1) == "min"
        way = word_at(pieces, at + 1 + named)
        hour = pieces[at + 2 + named] if at + 2 + named < len(pieces) else None
        to = way in ("to", "before") and (named or pieces[at].kind != "number")
        if part is None or hour is None or hour.value not in range(1, 13) or not (to or way in ("past", "after")):
            out.append(pieces[start])
            at = start + 1
            continue
        whole = int(hour.value or 0)
        word = time_of_day((whole - 2) % 12 + 1, 60 - part) if to else time_of_day(whole, part)
        out.append(Piece(word, "word"))
        at += 3 + named + (word_at(pieces, at + 3 + named) == "o'clock")
    return out


def _compounds(pieces: list[Piece]) -> list[Piece]:
    """The pieces with amounts of two units alike: "5 foot 3" and "5 feet and 3 inches" are "5 ft 3 in"."""
    out = list(pieces)
    at = 2
    while at < len(out):
        number = at + (out[at].word == "and")
        if out[at - 2].kind == "number" and number < len(out) and out[number].kind == "number":
            after, unit = word_at(out, number + 1), out[at - 1].word
            if unit == "foot" and after in ("", "in") and (out[number].value or 12) < 12:
                out[number + 1 : number + 1 + (after == "in")] = [Piece("inch", "word")]
                after = "inch"
            if (unit, after) in _PARTS_OF_UNITS:
                del out[at:number]
        at += 1
    return out


def _ranges(pieces: list[Piece]) -> list[Piece]:
    """The pieces with ranges alike: "10 to 12" and "between 10 and 12" are "10-12"."""
    out = list(pieces)
    at = 1
    while at + 1 < len(out):
        between = at > 1 and out[at - 2].word == "between"
        if out[at].word in ("to", *["and"] * between) and out[at - 1].kind == out[at + 1].kind == "number":
            out[at : at + 2] = [replace(out[at + 1], bound=True)]
            del out[at - 2 : at - 1 - (not between)]
        at += 1
    return out


def _day(piece: Piece) -> bool:
    return piece.kind == "number" and piece.value in range(1, 32)


def _cardinal(piece: Piece) -> Piece:
    assert piece.value is not None
    return Piece(number_word(piece.value), "number", value=piece.value)
