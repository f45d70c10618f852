"""Numbers as numbers: digits, words and fractions of one value are one word, and so are the names of a unit.

A number becomes ``№`` and its exact value (``№21``, ``№7/2``), an ordinal the same with ``th`` (``№21th``); the unit
that follows it one of its names. Words that are none stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

NUMBER = "№"
"""Opens the word that stands for a number."""


@dataclass(slots=True)
class Piece:
    """A piece of a text: a word, or what stands between words.

    Attributes:
        word: as it is compared; of a mark, the mark.
        kind: ``word``, ``number``, ``sign`` (before a number), ``currency``, ``symbol``, ``join`` (a hyphen between two
            words) or ``mark``.
        capital: whether it is written with a capital.
        bound: whether a hyphen binds it to the piece before.
        value: of a number.
        apart: of a mark, whether there is space before it.
    """

    word: str
    kind: str
    capital: bool = False
    bound: bool = False
    value: Fraction | None = None
    apart: bool = False


# fmt: off
_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SMALL = {word: number for number, word in enumerate(_ONES)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_SMALL |= {"fourty": 40, "nought": 0}
_SCALES = {
    "hundred": 100, "dozen": 12, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
}
_ODD_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12, "hundredth": 100,
    "thousandth": 1000, "millionth": 10**6,
}
_ORDINALS = (
    {f"{word}th": number for word, number in _SMALL.items() if number not in (1, 2, 3, 5, 8, 9, 12) and number < 20}
    | {f"{word[:-1]}ieth": number for word, number in _SMALL.items() if number >= 20}
    | _ODD_ORDINALS
)
_PARTS = {"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8,
          "tenth": 10}
_PARTS |= {f"{word}s": part for word, part in _PARTS.items() if not word.startswith("hal")}
LARGE = {"k": 10**3, "K": 10**3, "M": 10**6, "mn": 10**6, "B": 10**9, "bn": 10**9}
"""Right behind a number: 3k, 2.5M."""
_SHORT_SCALES = {"m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9}
"""Behind an amount of money: $3M."""
_NUMBERS = frozenset([*_SMALL, *_SCALES, *_ORDINALS, *_PARTS])
_POINTED_AT = frozenset(["the", "this", "that", "which", "another", "each", "every", "any", "some", "no", "other"])
"""Before these "one" is no number."""

_UNIT_NAMES = {
    "%": "% percent pct", "$": "$ dollar dollars usd buck bucks", "€": "€ euro euros eur", "£": "£ gbp quid",
    "pound": "pound pounds", "¥": "¥ yen jpy 円", "cny": "cny rmb yuan 元",
    "₩": "₩ won krw 원", "₹": "₹ rupee rupees inr",
    "¢": "¢ cent cents", "penny": "penny pence",
    "km": "km kms kilometer kilometers kilometre kilometres", "m": "m meter meters metre metres",
    "cm": "cm centimeter centimeters centimetre centimetres", "mm": "mm millimeter millimeters millimetre millimetres",
    "mile": "mile miles mi", "foot": "foot feet ft", "inch": "inch inches", "yard": "yard yards yd",
    "kg": "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes", "g": "g gram grams gramme grammes",
    "mg": "mg milligram milligrams", "lb": "lb lbs", "oz": "oz ounce ounces", "t": "t ton tons tonne tonnes",
    "l": "l liter liters litre litres", "ml": "ml milliliter milliliters millilitre millilitres",
    "km/h": "km/h kmh kph", "mph": "mph", "°": "° degree degrees", "°c": "°c", "°f": "°f",
    "gb": "gb gigabyte gigabytes", "mb": "mb megabyte megabytes", "kb": "kb kilobyte kilobytes",
    "s": "s sec secs second seconds", "min": "min mins minute minutes", "h": "h hr hrs hour hours",
    "day": "day days", "week": "week weeks wk", "month": "month months", "year": "year years yr yrs",
}
UNITS = {name: unit for unit, names in _UNIT_NAMES.items() for name in names.split()}
TIMES = frozenset({"s", "min", "h", "day", "week", "month", "year"})
_CODES = frozenset({"usd", "eur", "gbp", "jpy", "cny", "rmb", "inr", "krw"})
_DEGREES = {"celsius": "°c", "centigrade": "°c", "c": "°c", "fahrenheit": "°f", "f": "°f"}
# fmt: on


def merge(pieces: list[Piece]) -> list[Piece]:
    """The pieces with numbers, their signs and units put together."""
    if not any(piece.kind == "number" or piece.word in _NUMBERS for piece in pieces):
        return pieces
    out: list[Piece] = []
    at = 0
    while at < len(pieces):
        read = _quantity(pieces, at, out)
        if read is None:
            out.append(pieces[at])
            at += 1
        else:
            found, at = read
            out += found
    return out


def number_word(value: Fraction, ordinal: bool = False) -> str:
    """The word of a number."""
    return f"{NUMBER}{value}{'th' if ordinal else ''}"


def whole(value: int) -> Piece:
    """The piece of a whole number."""
    return Piece(number_word(Fraction(value)), "number", value=Fraction(value))


def is_number(word: str) -> bool:
    """Whether a word stands for a number, and not for an ordinal."""
    return word.startswith(NUMBER) and not word.endswith("th")


def _quantity(pieces: list[Piece], at: int, before: list[Piece]) -> tuple[list[Piece], int] | None:
    """A number with its sign, currency and unit, and where it ends."""
    start, sign, unit = at, 1, ""
    first = pieces[at]
    while at < len(pieces):
        piece = pieces[at]
        if piece.kind == "sign" or (piece.kind == "word" and piece.word in ("minus", "negative")):
            sign = -sign if piece.word != "+" else sign
        elif piece.kind == "currency" or (piece.kind == "word" and piece.word in _CODES):
            unit = UNITS.get(piece.word, piece.word)
        else:
            break
        at += 1
    if at >= len(pieces):
        return None
    read = _number(pieces, at, before)
    if read is None:
        return None
    value, at, ordinal = read
    number = Piece(number_word(sign * value, ordinal), "number", bound=first.bound, value=sign * value)
    if ordinal:
        return ([number], at) if start == at - 1 or sign == 1 else None
    if not unit:
        unit, at = _unit(pieces, at)
    elif (scale := _SHORT_SCALES.get(word_at(pieces, at))) and not pieces[at].bound:
        number.value, at = sign * value * scale, at + 1
        number.word = number_word(number.value)
    if sign == 1 and word_at(pieces, at) == "below" and at + 1 < len(pieces) and _value(pieces, at + 1) == 0:
        number.value, at = -value, at + 2
        number.word = number_word(number.value)
    if unit == "$" and at + 1 < len(pieces):  # three dollars (and) fifty cents
        small = at + 1 if pieces[at].word == "and" else at
        cents = _number(pieces, small, [])
        if cents and cents[0] < 100 and _unit(pieces, cents[1])[0] == "¢":
            number.value = sign * (value + cents[0] / 100)
            number.word, at = number_word(number.value), _unit(pieces, cents[1])[1]
    return ([number, Piece(unit, "word")] if unit else [number]), at


def _value(pieces: list[Piece], at: int) -> Fraction | None:
    read = _number(pieces, at, [])
    return read[0] if read else None


def _unit(pieces: list[Piece], at: int) -> tuple[str, int]:
    """The unit that stands at a place, and where it ends; empty where there is none."""
    words = [piece.word if piece.kind in ("word", "currency", "symbol") else "" for piece in pieces[at : at + 3]]
    words += [""] * (3 - len(words))
    if words[:2] == ["per", "cent"]:
        return "%", at + 2
    unit = UNITS.get(words[0], "")
    if not unit or (pieces[at].bound and len(words[0]) < 3):
        return "", at
    if unit == "°" and words[1] in _DEGREES:
        return _DEGREES[words[1]], at + 2
    if unit in ("km", "mile") and words[1:] in (["per", "hour"], ["an", "hour"]):
        return "km/h" if unit == "km" else "mph", at + 3
    return unit, at + 1


def _number(pieces: list[Piece], at: int, before: list[Piece]) -> tuple[Fraction, int, bool] | None:
    """A number in digits or words, where it ends, and whether it is an ordinal."""
    read = _plain_number(pieces, at, before)
    if read is None or read[2] or read[0].denominator == 1:
        return read
    value, at, _ = read
    while _SCALES.get(word_at(pieces, at), 0) >= 1000:  # two and a half million
        value, at = value * _SCALES[word_at(pieces, at)], at + 1
    return value, at, False


def _plain_number(pieces: list[Piece], at: int, before: list[Piece]) -> tuple[Fraction, int, bool] | None:
    if pieces[at].kind == "number":
        value = pieces[at].value
        if value is None or pieces[at].word.endswith("th"):
            return (value, at + 1, True) if value is not None else None
        at += 1
        while (scale := _SCALES.get(word_at(pieces, at))) is not None:
            value, at = value * scale, at + 1
        if at < len(pieces) and pieces[at].kind == "number":  # 2 1/2
            part = pieces[at].value
            if part is not None and 0 < part < 1 and value.denominator == 1 and pieces[at].word.count("/"):
                return value + part, at + 1, False
        return _with_part(pieces, at, value)
    if word_at(pieces, at) == "one" and before and before[-1].word in _POINTED_AT:
        return None
    return _in_words(pieces, at, alone=not before or before[-1].kind != "number")


def _in_words(pieces: list[Piece], at: int, *, alone: bool) -> tuple[Fraction, int, bool] | None:
    word = word_at(pieces, at)
    if word in ("a", "an") and (scale := _SCALES.get(word_at(pieces, at + 1))):
        total, current, at, last = 0, scale, at + 2, scale
        if scale >= 1000:
            total, current = current, 0
    elif word == "half" and word_at(pieces, at + 1) in ("a", "an") and word_at(pieces, at + 2) in _SCALES:
        return Fraction(_SCALES[word_at(pieces, at + 2)], 2), at + 3, False
    elif word in ("a", "an", "one") and (part := _part(pieces, at + 1)):
        return Fraction(1, part), at + 2, False
    elif word in ("half", "quarter") and (part := _part(pieces, at)):
        return Fraction(1, part), at + 1 + (word_at(pieces, at + 1) in ("a", "an")), False
    elif word in _SMALL:
        total, current, at, last = 0, _SMALL[word], at + 1, 0
        if alone and 10 < current <= 20 and (year := _century(pieces, at)) is not None:
            return Fraction(100 * current + year[0]), year[1], False
    elif word in _ORDINALS:
        return Fraction(_ORDINALS[word]), at + 1, True
    else:
        return None
    limit = 10**15
    while at < len(pieces):
        word, following = word_at(pieces, at), at + 1
        if word == "and" and last in _SCALES.values():
            word, following = word_at(pieces, at + 1), at + 2
            if _SCALES.get(word_at(pieces, following), 0) or (word not in _SMALL and word not in _ORDINALS):
                break
        room = last in (0, 100) if current else last >= 1000
        if word in _ORDINALS and _fits(current, _ORDINALS[word], last):
            return Fraction(total + current + _ORDINALS[word]), following, True
        if word in _SMALL and _fits(current, _SMALL[word], last):
            current, last = current + _SMALL[word], 0
        elif word in ("hundred", "dozen") and 0 < current < 100 and room:
            current, last = current * _SCALES[word], _SCALES[word]
        elif word in _SCALES and _SCALES[word] >= 1000 and current and _SCALES[word] < limit:
            limit = last = _SCALES[word]
            total, current = total + current * limit, 0
        elif word == "point" and _SMALL.get(word_at(pieces, following), 10) < 10:
            return _decimals(pieces, following, total + current)
        else:
            break
        at = following
    return _with_part(pieces, at, Fraction(total + current))


def _fits(current: int, more: int, last: int) -> bool:
    """Whether a small number continues one: a unit behind tens, anything below a hundred behind a scale."""
    if last in _SCALES.values():
        return 0 < more < 100 and (current % 100 == 0)
    return 1 <= more <= 9 and 20 <= current % 100 <= 90 and current % 10 == 0


def _century(pieces: list[Piece], at: int) -> tuple[int, int] | None:
    """The second half of a year that is read in two: nineteen eighty-four."""
    years = _SMALL.get(word_at(pieces, at), 0)
    if years < 10 or (at < len(pieces) and pieces[at].bound):
        return None
    more = _SMALL.get(word_at(pieces, at + 1), 0) if years >= 20 else 0
    years, at = (years + more, at + 2) if 1 <= more <= 9 else (years, at + 1)
    return None if word_at(pieces, at) in _SMALL or word_at(pieces, at) in _SCALES else (years, at)


def _decimals(pieces: list[Piece], at: int, whole: int) -> tuple[Fraction, int, bool]:
    digits = ""
    while _SMALL.get(word_at(pieces, at), 10) < 10:
        digits += str(_SMALL[word_at(pieces, at)])
        at += 1
    return Fraction(f"{whole}.{digits}"), at, False


def _part(pieces: list[Piece], at: int) -> int:
    """What a word divides by where "a" stands before it: "a half", "a quarter", "a third of it"; else 0."""
    word, following = word_at(pieces, at), word_at(pieces, at + 1)
    if not word or word.endswith("s") or word not in _PARTS or word == "halves":
        return 0
    if (at + 1 < len(pieces) and pieces[at + 1].bound) or following in ("past", "to", "after", "before"):
        return 0
    ends = following == "of" or at + 1 == len(pieces) or pieces[at + 1].kind == "mark"
    return _PARTS[word] if ends or word in ("half", "quarter") else 0


def _with_part(pieces: list[Piece], at: int, value: Fraction) -> tuple[Fraction, int, bool]:
    """A number with what makes it a fraction: "two thirds", "three and a half"."""
    part = _PARTS.get(word_at(pieces, at))
    if part and 0 < value < part and value.denominator == 1 and (value == 1) != word_at(pieces, at).endswith("s"):
        return value / part, at + 1, False
    if word_at(pieces, at) == "and" and word_at(pieces, at + 1) in ("a", "one") and word_at(pieces, at + 2) == "half":
        return value + Fraction(1, 2), at + 3, False
    return value, at, False


def word_at(pieces: list[Piece], at: int) -> str:
    """The word that stands at a place; empty where it is none or a number."""
    return pieces[at].word if at < len(pieces) and pieces[at].kind == "word" else ""
