"""What a short English answer claims: word matching with negation, questions, alternatives, lists and copies.

Rules of thumb, not understanding. They err towards "not claimed", because a reward that pays for a trick teaches it.
What a word is, :mod:`.reading` says.
"""

from __future__ import annotations

from collections.abc import Sequence

import regex

from .quantities import NUMBER, TIMES, UNITS, is_number
from .reading import (
    ARTICLES,
    AUXILIARIES,
    EXCLUDERS,
    FUNCTION_WORDS,
    LABELS,
    NEGATORS,
    Text,
    parse,
)
from .unspaced import LETTER, denied, joined

__all__ = [
    "ARTICLES",
    "FUNCTION_WORDS",
    "LABELS",
    "Text",
    "claims",
    "common_run",
    "hedges",
    "is_symbol",
    "mentions",
    "occurrences",
    "parse",
    "stands_whole",
    "value_words",
]

_EITHER = (frozenset({"£", "pound"}), frozenset({"lb", "pound"}))
_UNITS = frozenset(UNITS.values())
_QUANTITIES = _UNITS - TIMES
"""Units that make a number another one: 3% is not 3."""
_BOUNDS = frozenset(
    {
        ("more", "than"),
        ("less", "than"),
        ("fewer", "than"),
        ("greater", "than"),
        ("at", "least"),
        ("at", "most"),
        ("up", "to"),
    }
)
_BOUND = frozenset({"over", "under", "above", "below", "nearly", "almost"})
# fmt: off
_PLACES = frozenset(
    [
        "new", "north", "south", "east", "west", "northern", "southern", "eastern", "western", "upper", "lower",
        "great", "greater", "central", "san", "santa", "saint", "st", "los", "las", "el", "fort", "port", "cape",
    ]
)
"""Before a name they make another one of it."""
_NAMES_TOO = frozenset({"us", "it", "who", "may", "will"})
"""Words that are names where they have a capital."""
_TITLES = frozenset(
    [
        "mr", "mrs", "ms", "miss", "dr", "prof", "sir", "lady", "lord", "king", "queen", "prince", "princess",
        "captain", "uncle", "aunt", "grandma", "grandpa", "granny", "president", "doctor", "professor", "mount",
        "mountain", "mom", "mum", "mommy", "dad", "daddy", "baby", "little", "big", "old", "brother", "sister",
        "city", "river", "english",
    ]
)
"""Beside a name they leave it the name that it is."""
_BESIDE = frozenset(
    [
        "morning", "afternoon", "evening", "night", "hot", "cold", "warm", "nice", "good", "small", "large", "tiny",
        "huge", "young", "fresh", "sweet", "pretty", "beautiful", "happy", "tall", "long", "fast", "lovely",
        "cute", "own", "same", "actually", "really", "exactly", "right", "again", "indeed",
    ]
)
"""Beside a value that is none of them they are no other values: "Monday morning", "hot tea"."""
_SMALL_IN_TITLES = frozenset({"a", "an", "the", "of", "in", "on", "at", "and", "or", "to"})
_SHADES = frozenset({"dark", "light", "pale", "deep"})
_COLORS = frozenset(
    [
        "red", "blue", "green", "yellow", "orange", "purple", "pink", "brown", "grey", "gray", "black", "white",
        "violet", "turquoise",
    ]
)
# fmt: on
_UNSPACED = regex.compile(f"[{LETTER}]")
_PERHAPS = frozenset({"maybe", "perhaps", "probably", "possibly"})
_COUNTED = frozenset({"#", "number", "no"})
_OR = frozenset({"or", "或", "还", "還"})
_AND = frozenset({"and", "和", "与", "與", "跟"})


def value_words(value: str) -> tuple[str, ...]:
    """The words of a value, without a leading article, and of "number 1" the number."""
    read = parse(value)
    words = read.words
    if len(words) < 2 or 1 in read.bound or words[1] in _AND | _OR:  # "A4" and "A and B" are no articles
        return words
    return words[1:] if words[0] in ARTICLES or (words[0] in _COUNTED and is_number(words[1])) else words


def occurrences(words: Sequence[str], value: Sequence[str]) -> list[int]:
    """Where a value stands in a text, word by word."""
    if not value:
        return []
    last = len(words) - len(value)
    if not any({"£", "lb", "pound"}.intersection(value)):
        first = value[0]
        return [
            at for at in range(last + 1) if words[at] == first and tuple(words[at : at + len(value)]) == tuple(value)
        ]
    return [at for at in range(last + 1) if all(map(_same, words[at : at + len(value)], value))]


def _same(left: str, right: str) -> bool:
    return left == right or {left, right} in _EITHER


def mentions(text: Text, value: Sequence[str]) -> bool:
    """Whether a value stands in a text at all, alone or within something longer."""
    return bool(occurrences(text.words, value))


def claims(
    text: Text, value: Sequence[str], outside: range = range(0), known: frozenset[str] | None = frozenset()
) -> bool:
    """Whether a text says that the value holds: somewhere not negated, not in a question, not ``outside``.

    Args:
        text: the answer.
        value: the words of the value.
        outside: words that do not count.
        known: words that may stand beside the value and leave it what it is (those of the question and the reference);
            None: any may, also where the value is a part of something longer ("York" in "New York").
    """
    return any(
        at not in outside
        and text.clauses[at] not in text.questions
        and (known is None or not _part_of_more(text, at, value, known))
        and not _negated(text, at, len(value))
        for at in occurrences(text.words, value)
    )


def stands_whole(text: Text, value: Sequence[str], known: frozenset[str]) -> bool:
    """Whether a value stands somewhere as it is, and not within something longer."""
    return any(not _part_of_more(text, at, value, known) for at in occurrences(text.words, value))


def _part_of_more(text: Text, at: int, value: Sequence[str], known: frozenset[str]) -> bool:
    """Whether what stands at a place is more than the value: "dark-red", "New York", "3%", "more than 3"."""
    words, end = text.words, at + len(value)
    after = words[end] if end in text.inner else ""
    before = words[at - 1] if at in text.inner else ""
    if (at in text.bound and before not in known) or (
        end in text.bound and not (is_number(value[-1]) and not is_number(after))
    ):
        return True
    if is_number(value[-1]):
        if after in _QUANTITIES and after not in {UNITS.get(word, word) for word in known}:
            return True
        if after == "to" and is_number(words[end + 1] if end + 1 < len(words) else ""):
            return True
    if after == "^":
        return True
    if is_number(value[0]):
        if (words[max(0, at - 2)], before) in _BOUNDS or (before in _BOUND and before not in known):
            return True
        if before == "to" and at > 1 and is_number(words[at - 2]):
            return True
    if value[0] in _COLORS and before in _SHADES and before not in known:
        return True
    if len(value) == 1 and value[0] in _NAMES_TOO and not _as_a_name(text, at, before):
        return True
    if len(value) == 1 and value[0] in ARTICLES and after and after not in FUNCTION_WORDS:
        return True
    if at not in text.capitals or any(map(is_number, value)):  # "Airbus A380" is the A380
        return False
    return _longer_name(text, at, end, before, after, known)


def _as_a_name(text: Text, at: int, before: str) -> bool:
    """Whether "US", "IT", "WHO", "May" or "Will" is a name where it stands, by its capital and its place."""
    word, alone = text.words[at], len(text.words) == 1
    if before == "the" or (word == "may" and before in ("in", "of")):
        return True
    return alone or (at in text.capitals and (at in text.inner or word not in ("it", "who")))


def _longer_name(text: Text, at: int, end: int, before: str, after: str, known: frozenset[str]) -> bool:
    """Whether a capitalised value is a part of a longer name."""
    if before in _PLACES and before not in known:
        return True
    if all(at in text.capitals or word in _SMALL_IN_TITLES for at, word in enumerate(text.words)):
        return bool(after == "city" and "city" not in known)  # capitals everywhere say nothing
    harmless = known | _TITLES | FUNCTION_WORDS | LABELS
    if before and at - 1 in text.capitals and at - 1 in text.inner and before not in harmless:
        return True
    return bool(after) and end in text.capitals and after not in harmless - {"city"} | known


def _negated(text: Text, at: int, length: int) -> bool:
    words, clauses = text.words, text.clauses
    clause = clauses[at]
    first = clauses.index(clause)
    end = at + length
    last = end
    while last < len(words) and clauses[last] == clause:
        last += 1
    for index in range(first, at):
        # A leading "no" answers the question ("No, it was red", "No it was red"); it denies only what follows at once.
        if words[index] in NEGATORS and not (words[index] == "no" and index == first and at > first + 1):
            return True
        if words[index : index + 2] == ("no", "one"):
            return True
    for index in range(max(first, at - 4), at - 1):
        if (words[index], words[index + 1]) in EXCLUDERS or words[index : index + 3] == ("used", "to", "be"):
            return True
    if _UNSPACED.match(words[end - 1]) and denied(words[end:last]):
        return True
    if at > first and words[at - 1] == "except":
        return True
    for index in range(end, last):
        after = words[index] in ("not", "never") and (words[index - 1] in AUXILIARIES or index == last - 1)
        if after or words[index] in ("false", "wrong", "untrue", "incorrect"):
            return True
    return words[last : last + 2] in (("not", "any"), ("not", "anymore"), ("no", "longer"), ("no", "more")) or (
        words[end : end + 2] in (("no", "longer"), ("no", "more"))
    )


def common_run(left: Sequence[str], right: Sequence[str]) -> range:
    """The longest stretch of words of ``left`` that stands in ``right`` too, as a range of ``left``."""
    best = range(0)
    previous = [0] * (len(right) + 1)
    for index, word in enumerate(left):
        current = [0] * (len(right) + 1)
        for other, candidate in enumerate(right):
            if word == candidate:
                length = current[other + 1] = previous[other] + 1
                if length > len(best):
                    best = range(index - length + 1, index + 1)
        previous = current
    return best


def is_symbol(word: str) -> bool:
    """Whether a word is a sign or an emoji."""
    return not any(map(str.isalnum, word)) or word in ("%",)


def hedges(text: Text, value: Sequence[str], known: frozenset[str]) -> bool:
    """Whether a text offers the value among others: "red or blue", "red and blue", "red, blue, green", "red blue".

    Args:
        text: the answer.
        value: the words of the value.
        known: words that do not count as other values (those of the reference, of the values asked, and of a question
            that names no alternatives).
    """
    if not value:
        return False
    words = tuple(
        word.upper() if word in _NAMES_TOO and at in text.capitals & text.inner and word not in known else word
        for at, word in enumerate(text.words)
    )
    number = _numeric(value[0])  # what is counted is no other number
    symbols = all(map(is_symbol, value))  # beside a word, a sign is decoration; beside a sign, another value

    def foreign(word: str) -> bool:
        return word not in FUNCTION_WORDS and word not in known and (symbols or not is_symbol(word))

    for at in occurrences(words, value):
        end = at + len(value)
        if _UNSPACED.match(value[-1]) and joined(words[end:]):
            return True
        if not _OR.isdisjoint(words[end : end + 3]) and any(map(foreign, words[end : end + 4])):
            return True
        if not _OR.isdisjoint(words[max(0, at - 3) : at]) and any(map(foreign, words[max(0, at - 4) : at])):
            return True
        for beside in (words[end:], words[:at][::-1]):
            near = [word for word in beside[:5] if word not in ARTICLES]
            if len(near) > 1 and near[0] in _AND and foreign(near[1]):
                return True
    said = [
        word
        for at, word in enumerate(words)
        if (symbols or not is_symbol(word))
        and word not in _PERHAPS
        and not ((at in text.labels or not at) and (word in LABELS or is_number(word)) and word not in value)
    ]
    content = [word for word in said if word not in FUNCTION_WORDS and (word in known or not _UNSPACED.match(word))]
    harmless = known | _TITLES | _UNITS | (frozenset() if _BESIDE.intersection(value) else _BESIDE)
    bare = len(content) + said.count("and") == len(said) and not any(w in known and w not in value for w in content)
    if bare and any(word not in harmless and _numeric(word) == number for word in content):
        return True  # nothing but the value and other words: "red blue green"
    several = sum(word not in known for word in content) >= 2 or any(map(_UNSPACED.match, value))
    return several and _enumerated(text, value, known)


def _numeric(word: str) -> bool:
    return word.startswith(NUMBER) or word[0].isdigit()


def _enumerated(text: Text, value: Sequence[str], known: frozenset[str]) -> bool:
    """Whether the value is one of at least three short items in a row, two of which are foreign."""
    run: list[bool] = []
    has_value = False
    longest = 2 if not any(map(_UNSPACED.match, value)) else 4
    for start, end in (*text.items, (0, 0)):
        item = [word for word in text.words[start:end] if word not in FUNCTION_WORDS]
        if end and len(item) <= longest:
            if item:
                run.append(not known.intersection(item))
                has_value = has_value or bool(occurrences(item, value))
            continue
        # The last words of a longer item may open a list: "The colours were red, blue and green".
        if has_value and len(run) >= 3 and sum(run) >= 2:
            return True
        tail = item[-len(value) :]
        run, has_value = [not known.intersection(tail)], tuple(tail) == tuple(value)
    return False
