"""One spelling for what English writes in several: clock times, dates, feet and inches, powers, titles.

Works on the text, before it is cut into words.
"""

from __future__ import annotations

import regex

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
SHORT = {
    "doctor": "dr", "mister": "mr", "professor": "prof", "saint": "st", "street": "st", "mount": "mt", "junior": "jr",
    "senior": "sr", "avenue": "ave", "captain": "capt",
}  # fmt: skip
"""Words that are mostly abbreviated, and how: "Doctor Smith" is "Dr. Smith"."""

_DIGIT = regex.compile(r"\d")
_ABBREVIATED = regex.compile(
    r"\b(Dr|Mr|Mrs|Ms|St|Mt|Prof|Jr|Sr|Ave|Capt|Lt|Gen|Rev|vs)\.(?=\s+\p{L})", regex.IGNORECASE
)
_PREFIXED = regex.compile(r"\b(e|co|re|pre|anti|multi|semi|non)-(?=\p{Ll}{3})", regex.IGNORECASE)
_ISO = regex.compile(r"(?<![\w-])(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?![\w-])")
_HALF_DAY = regex.compile(r"(?<![\w.:,/-])(\d{1,2})(?:[:.]([0-5]\d))?\s?([ap])(?:\.\s?m\.?|m)(?!\w)", regex.IGNORECASE)
_CLOCK = regex.compile(r"(?<![\w.:,/-])([01]?\d|2[0-3]):([0-5]\d)(?![\w:/])(?!\s?[ap]m\b)", regex.IGNORECASE)
_DECADE = regex.compile(r"(?<=\d0)'s\b")
_HEIGHT = regex.compile(r"(?<![\w.])(\d{1,2})'\s?(\d{1,2})(?:\"|'')")
_AREA = regex.compile(r"(?<=\d\s?(?:km|mm|cm|m|ft))([23])(?!\w)")
_SQUARE = regex.compile(
    r"\b(?:(sq|square)|(?:cu|cubic))\.?\s(\p{L}*(?:met(?:er|re)s?|m|inch|inches|feet|foot|ft|miles?|mi|yards?))\b",
    regex.IGNORECASE,
)
_POWER = regex.compile(r"(?<=[\p{L})])[\u00b2\u00b3]")
_POINTS = regex.compile(
    r"(?<![\w.,])(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?!\d)|(?<![\w.,])\d{1,3}(?:\.\d{3}){2,}(?!\w|[.,]\d)"
)
_RANGE = regex.compile(r"(?<=\d)\s+\u2013\s+(?=\d)")


def respell(text: str) -> str:
    """The text with one spelling of each of these; the rest stays as it is."""
    if "." in text:
        text = _ABBREVIATED.sub(r"\1", text)
    if "-" in text:
        text = _PREFIXED.sub(r"\1", text)
    if not text.isascii():
        text = _POWER.sub(lambda found: "^2" if found[0] == "\u00b2" else "^3", text)
    text = _SQUARE.sub(lambda found: f"{found[2]}^{2 if found[1] else 3}", text)
    if not _DIGIT.search(text):
        return text
    text = _POINTS.sub(_continental, text)
    text = _ISO.sub(lambda found: f"{MONTHS[int(found[2]) - 1]} {int(found[3])} {found[1]}", text)
    text = _CLOCK.sub(_clock, _HALF_DAY.sub(_half_day, text))
    text = _HEIGHT.sub(r"\1 ft \2 in", _DECADE.sub("s", text))
    return _RANGE.sub("-", _AREA.sub(r"^\1", text))


def time_of_day(hour: int, minute: int) -> str:
    """A time as it is spelt here: "7:45", and "7 o'clock" where it is a whole hour."""
    return f"{hour}:{minute:02}" if minute else f"{hour} o'clock"


def _continental(found: regex.Match[str]) -> str:
    return f"{found[1].replace('.', '')}.{found[2]}" if found[1] else found[0].replace(".", "")


def _half_day(found: regex.Match[str]) -> str:
    half = f"{found[3].lower()}m"
    minute = int(found[2] or 0)
    return f"{int(found[1])}:{minute:02} {half}" if minute else f"{int(found[1])} {half}"


def _clock(found: regex.Match[str]) -> str:
    hour, minute = int(found[1]), int(found[2])
    if 0 < hour <= 12:
        return time_of_day(hour, minute)
    half = "am" if hour == 0 else "pm"
    hour = 12 if hour == 0 else hour - 12
    return f"{hour}:{minute:02} {half}" if minute else f"{hour} {half}"
