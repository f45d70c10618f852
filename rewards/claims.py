"""What a short English answer claims: word matching with negation, questions, alternatives, lists and copies.

Rules of thumb, not understanding. They err towards "not claimed", because a reward that pays for a trick teaches it.
Words are compared without case, possessive endings and contractions; digits up to 20 equal number words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_PIECE = re.compile(r"[^\W_]+|[.,;:!?()\[\]\n\"\u2026\u2014\u2013/|]|--")
_CONTRACTION = re.compile(r"n['\u2019]t\b")
_ENDING = re.compile(r"['\u2019](?:s|re|ve|ll|d|m)\b|['\u2019](?=\s|$)")

# fmt: off
_NUMBERS = dict(
    enumerate(
        [
            "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
            "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
        ]
    )
)
_DIGITS = {str(number): word for number, word in _NUMBERS.items()} | {"30": "thirty", "40": "forty", "50": "fifty"}

_BREAKS = frozenset({"and", "but", "so", "because", "while", "then", "though", "although", "now"})
_NEGATORS = frozenset({"not", "no", "never", "neither", "nor", "without", "false", "wrong", "untrue", "incorrect"})
_EXCLUDERS = frozenset({("instead", "of"), ("rather", "than"), ("other", "than"), ("anything", "but"), ("all", "but")})
_AUXILIARIES = frozenset(
    [
        "is", "are", "was", "were", "be", "been", "do", "does", "did", "has", "have", "had", "can", "could", "will",
        "would", "should", "might", "must", "may",
    ]
)
ARTICLES = frozenset({"a", "an", "the"})
FUNCTION_WORDS = (
    ARTICLES
    | _AUXILIARIES
    | _BREAKS
    | _NEGATORS
    | frozenset(
        [
            "i", "you", "he", "she", "it", "we", "they", "me", "him", "her", "us", "them", "my", "your", "his", "its",
            "our", "their", "this", "that", "these", "those", "there", "here", "who", "what", "which", "where",
            "when", "how", "of", "in", "on", "at", "to", "from", "by", "with", "for", "as", "than", "or", "if",
            "about", "also", "too", "very", "just", "only", "yes", "yeah", "ok", "okay", "oh", "well", "sure",
            "course",
            "definitely", "certainly", "maybe", "perhaps", "probably", "please", "thanks", "thank", "think", "know",
            "remember", "believe", "told", "said", "say", "am", "s", "t",
        ]
    )
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Text:
    """Words of a text, with the clause of each.

    Attributes:
        words: in lower case.
        clauses: index of the clause of each word.
        questions: clauses that end in a question mark.
        items: what stands between commas, slashes, "and" and "or": the words' index ranges.
    """

    words: tuple[str, ...]
    clauses: tuple[int, ...]
    questions: frozenset[int]
    items: tuple[tuple[int, int], ...]


@lru_cache(maxsize=8192)
def parse(text: str) -> Text:
    """Split a text into words, clauses and list items."""
    lowered = _CONTRACTION.sub(" not", text.lower().replace("cannot", "can not").replace("won't", "will not"))
    words: list[str] = []
    clauses: list[int] = []
    questions: set[int] = set()
    items: list[tuple[int, int]] = []
    clause = start = 0

    def close_item() -> None:
        nonlocal start
        if len(words) > start:
            items.append((start, len(words)))
        start = len(words)

    for piece in _PIECE.findall(_ENDING.sub(" ", lowered)):
        if not piece[0].isalnum():
            close_item()
            if clauses and clauses[-1] == clause:
                if piece == "?":
                    questions.add(clause)
                clause += 1
            elif piece == "?" and clauses:
                questions.add(clauses[-1])
            continue
        word = _DIGITS.get(piece, piece)
        if word in ("and", "or"):
            close_item()
        if word in _BREAKS and clauses and clauses[-1] == clause and (words[-1], word) not in _EXCLUDERS:
            clause += 1
        words.append(word)
        clauses.append(clause)
        if word in ("and", "or"):
            start = len(words)
    close_item()
    return Text(tuple(words), tuple(clauses), frozenset(questions), tuple(items))


def value_words(value: str) -> tuple[str, ...]:
    """The words of a value, without a leading article."""
    words = parse(value).words
    return words[1:] if len(words) > 1 and words[0] in ARTICLES else words


def occurrences(words: Sequence[str], value: Sequence[str]) -> list[int]:
    """Where a value stands in a text, word by word."""
    if not value:
        return []
    last = len(words) - len(value)
    first = value[0]
    return [at for at in range(last + 1) if words[at] == first and tuple(words[at : at + len(value)]) == tuple(value)]


def mentions(text: Text, value: Sequence[str]) -> bool:
    """Whether a value stands in a text at all."""
    return bool(occurrences(text.words, value))


def claims(text: Text, value: Sequence[str], outside: range = range(0)) -> bool:
    """Whether a text says that the value holds: somewhere not negated, not in a question, not ``outside``."""
    return any(
        at not in outside and text.clauses[at] not in text.questions and not _negated(text, at, len(value))
        for at in occurrences(text.words, value)
    )


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
        if words[index] in _NEGATORS and not (words[index] == "no" and index == first and at > first + 1):
            return True
    for index in range(max(first, at - 4), at - 1):
        if (words[index], words[index + 1]) in _EXCLUDERS:
            return True
    if at > first and words[at - 1] == "except":
        return True
    for index in range(end, last):
        after = words[index] in ("not", "never") and (words[index - 1] in _AUXILIARIES or index == last - 1)
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


def hedges(text: Text, value: Sequence[str], known: frozenset[str]) -> bool:
    """Whether a text offers the value among others: "red or blue", "red and blue", "red, blue, green", "red blue".

    Args:
        text: the answer.
        value: the words of the value.
        known: words that do not count as other values (those of the reference and of the values asked).
    """
    words = text.words
    for at in occurrences(words, value):
        end = at + len(value)
        after, before = words[end : end + 3], words[max(0, at - 3) : at]
        if "or" in after and _foreign(words[end : end + 4], known):
            return True
        if "or" in before and _foreign(words[max(0, at - 4) : at], known):
            return True
        if _paired(words[end:], known) or _paired(words[:at][::-1], known):
            return True
    content = [word for word in words if word not in FUNCTION_WORDS]
    strangers = len([word for word in content if word not in known])
    bare = len(content) + words.count("and") == len(words) and not any(w in known and w not in value for w in content)
    if bare and strangers:
        return True  # nothing but the value and other words: "red blue green"
    return strangers >= 2 and _enumerated(text, value, known)


def _paired(words: Sequence[str], known: frozenset[str]) -> bool:
    """Whether the words next to a value, read away from it, add a foreign one: "red and blue"."""
    near = [word for word in words[:5] if word not in ARTICLES]
    return len(near) > 1 and near[0] == "and" and _foreign(near[1:2], known)


def _enumerated(text: Text, value: Sequence[str], known: frozenset[str]) -> bool:
    """Whether the value is one of at least three short items in a row, two of which are foreign."""
    run: list[bool] = []
    has_value = False
    for start, end in (*text.items, (0, 0)):
        item = [word for word in text.words[start:end] if word not in FUNCTION_WORDS]
        if end and len(item) <= 2:
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


def _foreign(words: Sequence[str], known: frozenset[str]) -> bool:
    return any(word not in FUNCTION_WORDS and word not in known for word in words)
