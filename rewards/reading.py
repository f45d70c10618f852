"""The words of a short text as a careful reader compares them, with the clauses and lists that they stand in.

Words are compared without case, possessive endings and contractions, and with what belongs to them ("C++", "U.S.",
"AT&T", "Node.js"); numbers by value and units by one name (:mod:`.quantities`); every other symbol and emoji is a word,
and so is every character of a script that has no spaces.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import regex

from .alike import alike, romans
from .plain import plain
from .quantities import LARGE, UNITS, Piece, merge, number_word, whole
from .spellings import SHORT, respell
from .unspaced import LETTER, NUMERALS, numeral

# fmt: off
BREAKS = frozenset({"and", "but", "so", "because", "while", "then", "though", "although", "now"})
NEGATORS = frozenset(
    [
        "not", "no", "never", "neither", "nor", "nobody", "hardly", "scarcely", "without", "false", "wrong", "untrue",
        "incorrect", "不", "没", "沒",
    ]
)
EXCLUDERS = frozenset(
    {("instead", "of"), ("rather", "than"), ("other", "than"), ("anything", "but"), ("all", "but"), ("anywhere", "but"),
     ("anyone", "but"), ("everything", "but"), ("i", "doubt")}
)
AUXILIARIES = frozenset(
    [
        "is", "are", "was", "were", "be", "been", "do", "does", "did", "has", "have", "had", "can", "could", "will",
        "would", "should", "might", "must", "may",
    ]
)
ARTICLES = frozenset({"a", "an", "the"})
FUNCTION_WORDS = (
    ARTICLES
    | AUXILIARIES
    | BREAKS
    | (NEGATORS - {"不", "没", "沒"})
    | frozenset(
        [
            "i", "you", "he", "she", "it", "we", "they", "me", "him", "her", "us", "them", "my", "your", "his", "its",
            "our", "their", "this", "that", "these", "those", "there", "here", "who", "what", "which", "where",
            "when", "how", "of", "in", "on", "at", "to", "from", "by", "with", "for", "as", "than", "or", "if",
            "many", "several", "about", "also", "too", "very", "just", "only", "yes", "yeah", "ok", "okay", "oh",
            "well", "sure", "course",
            "definitely", "certainly", "maybe", "perhaps", "probably", "please", "thanks", "thank", "think", "know",
            "remember", "believe", "told", "said", "say", "am", "s", "t", "both", "some", "any", "all",
        ]
    )
)
LABELS = frozenset(
    [
        "answer", "ans", "final", "correct", "response", "reply", "result", "output", "solution", "value", "assistant",
        "bot", "ai", "model", "conclusion", "a", "q", "name", "color", "colour", "number", "place", "fact",
    ]
)
"""What a label may say that is no value beside the one that it announces: "Final answer: red"."""
# fmt: on

_CONTRACTION = regex.compile(r"n't\b", regex.IGNORECASE)
_UNMARKED = regex.compile(r"\b(do|does|did|is|was|are|were|has|have|had|could|would|should)nt\b", regex.IGNORECASE)
_CANNOT = regex.compile(r"\b(?:cannot|can't)\b", regex.IGNORECASE)
_WONT = regex.compile(r"\bwon't\b", regex.IGNORECASE)
_ENDING = regex.compile(r"(?<=\w|\+|\#)'(?:s|re|ve|ll|d|m)\b|'(?=\s|$)", regex.IGNORECASE)

_PIECE = regex.compile(
    r"""(?V1)\ *(?:
      (?P<simple>[A-Za-z]+(?![\w'&+\#*$-]|\.\w|/[hs]\b|://|[^\x00-\x7f]))
    | (?P<url>(?:https?://|www\.)[^\s<>"]*[^\s<>".,;:!?)])
    | (?P<mail>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)
    | (?P<code>\#[0-9a-fA-F]{6}\b | (?<![\w.])0\d{2,}(?!\w|[.,]\d)
        | (?<![\w.])\d+(?:[.:/-]\d+){2,}(?!\w) | (?<![\w.])\d{1,2}:\d{2}(?!\d) | \d+\+(?!\w))
    | (?P<short>(?:\p{L}\.|\p{Lu}\p{Ll}\.(?=\p{Lu}\b)){2,}(?:\p{L}(?![\p{L}\p{M}\p{N}]))?)
    | (?P<sign>(?<![\p{L}\p{M}\p{N}_)\]])[-+\u2013](?=\p{Sc}?\.?\d) | \u2212)
    | (?P<currency>(?:US|CA|AU|NZ|HK|A|C|S)?\p{Sc})
    | (?P<number>(?:
          \d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)? | \d{1,3}(?:['_\ ]\d{3})+(?![\d,])(?:\.\d+)?
        | \d{1,2}(?:,\d{2})+,\d{3}(?!\d)
        | \d+,\d{1,2}(?![\d,]) | \d*\.?\d+(?:/\d+(?![\d/]))?)(?:(?<!/\d+)[eE][-+]?\d{1,3}(?!\w))?)
      (?P<tail>(?:[ap]\.m\.|[\u00b2\u00b3\u00b9\u2070-\u209f]|[[\p{L}\p{M}]--[UNSPACED]](?:[[\p{L}\p{M}\p{N}]--[UNSPACED]]*(?:/\p{L}+)?))?)
    | (?P<vulgar>[\u00bc-\u00be\u2150-\u215e])
    | (?P<degree>\u00b0(?:\s?[CF](?![\p{L}\p{N}]))?)
    | (?P<numeral>[NUMERALS]+)
    | (?P<letter>[UNSPACED]\p{M}*)
    | (?P<word>(?:(?<!\S)\.(?=\p{L}{2}))?[[\p{L}\p{M}\p{N}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]]+
        (?:(?:['_]|&(?=\p{L})|\.(?=\p{L})|(?<=\d)\.(?=\d))[\p{L}\p{M}\p{N}]+|/[hs](?!\w))*
        (?:(?:\+{1,2}|\#)(?![\p{L}\p{M}\p{N}])|(?<=(?<!\w)\w)\*(?!\w)|(?<=(?<!\w)\p{Lu}{1,2})[-\u2212](?=[\s.,;:!?)"]|$))?)
    | (?P<emoji>(?=\p{Extended_Pictographic}|\p{Regional_Indicator})\X)
    | (?P<dash>--+|\u2014|(?<=\s|^)[-\u2013](?=\s+[\p{L}\p{N}]))
    | (?P<join>(?<=[\p{L}\p{M}\p{N}])[-\u2013](?=[\p{L}\p{M}\p{N}]))
    | (?P<mark>\.{2,}|!{2,}|\?{2,}|[.,;:!?()\[\]{}\n|/])
    | (?P<symbol>[+=<>*^~@\#%&]{2,}|[^\s"'\\])
    )""".replace("UNSPACED", LETTER).replace("NUMERALS", NUMERALS),
    regex.VERBOSE,
)
_LONGEST = 1000
"""Characters of a number; what is longer is a word, compared as it is written, as is what has a longer exponent."""
_NUMBERED = regex.compile(rf"([A-Za-z]+)([1-9]\d{{,{_LONGEST}}})")
_ENDS = frozenset(".!?:\n")
_ARROWS = frozenset({"=", "=>", "\u2192"})


@dataclass(frozen=True, slots=True)
class Text:
    """Words of a text, with the clause of each.

    Attributes:
        words: as they are compared.
        clauses: index of the clause of each word.
        questions: clauses that end in a question mark.
        items: what stands between commas, slashes, "and" and "or": the words' index ranges.
        bound: words that a hyphen binds to the one before.
        capitals: words that are written with a capital.
        inner: words before which no mark stands.
        labels: words before a colon, a dash or an arrow at the start of a sentence ("Final answer: red"), and the
            numbers of a list.
    """

    words: tuple[str, ...]
    clauses: tuple[int, ...]
    questions: frozenset[int]
    items: tuple[tuple[int, int], ...]
    bound: frozenset[int] = frozenset()
    capitals: frozenset[int] = frozenset()
    inner: frozenset[int] = frozenset()
    labels: frozenset[int] = frozenset()


@lru_cache(maxsize=32768)
def parse(text: str) -> Text:
    """Split a text into words, clauses and list items."""
    pieces = alike(merge(_pieces(text))) or [
        Piece(word, "symbol") for word in text.split()
    ]  # a lone quote or backslash
    return _Clauses().read(pieces)


class _Clauses:
    """Words as they come, and where clauses and items end."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.clauses: list[int] = []
        self.questions: set[int] = set()
        self.items: list[tuple[int, int]] = []
        self.labels: set[int] = set()
        self.clause = self.start = self.sentence = 0

    def read(self, pieces: list[Piece]) -> Text:
        bound, capitals, inner = set(), set(), set()
        after_word = False
        for at, piece in enumerate(pieces):
            if piece.kind == "mark":
                self.mark(piece.word)
                after_word = False
                if not _stands_alone(pieces, at):
                    continue
            word, number = piece.word, len(self.words)
            listed = word == "and" or word == "or"
            if listed:
                self.close_item()
            if word in BREAKS and self.open and (self.words[-1], word) not in EXCLUDERS:
                self.clause += 1
            if word in _ARROWS and number - self.sentence <= 4:
                self.labels.update(range(self.sentence, number))
            if piece.bound:
                bound.add(number)
            if piece.capital:
                capitals.add(number)
            if after_word:
                inner.add(number)
            self.words.append(word)
            self.clauses.append(self.clause)
            if listed:
                self.start = len(self.words)
            after_word = True
        self.close_item()
        return Text(
            tuple(self.words), tuple(self.clauses), frozenset(self.questions), tuple(self.items),
            frozenset(bound), frozenset(capitals), frozenset(inner), frozenset(self.labels),
        )  # fmt: skip

    @property
    def open(self) -> bool:
        """Whether the present clause has a word."""
        return bool(self.clauses) and self.clauses[-1] == self.clause

    def close_item(self) -> None:
        if len(self.words) > self.start:
            self.items.append((self.start, len(self.words)))
        self.start = len(self.words)

    def mark(self, mark: str) -> None:
        self.close_item()
        length = len(self.words) - self.sentence
        announces = mark in ":\u2014" and length <= 4
        numbers = mark in ".)" and length == 1 and self.words[-1].startswith("№")
        heads = mark == "\n" and all(word in LABELS or not word.isalnum() for word in self.words[self.sentence :])
        if announces or numbers or heads:
            self.labels.update(range(self.sentence, len(self.words)))
        if self.open:
            if "?" in mark:
                self.questions.add(self.clause)
            self.clause += 1
        elif "?" in mark and self.clauses:
            self.questions.add(self.clauses[-1])
        if mark[0] in _ENDS:
            self.sentence = len(self.words)


def _stands_alone(pieces: list[Piece], at: int) -> bool:
    """Whether a mark is what the text says ("The sign is !."): there is space before it, and no word behind it."""
    return pieces[at].apart and (at + 1 == len(pieces) or pieces[at + 1].kind == "mark")


def _pieces(text: str) -> list[Piece]:
    text = respell(plain(text))
    if "'" in text:
        text = _CONTRACTION.sub(" not", _WONT.sub("will not", _CANNOT.sub("can not", text)))
        text = _ENDING.sub(" ", text)
    elif "annot" in text or "ANNOT" in text:
        text = _CANNOT.sub("can not", text)
    text = _UNMARKED.sub(r"\1 not", text)
    pieces: list[Piece] = []
    bound = False
    for found in _PIECE.finditer(text):
        kind = str(found.lastgroup)
        if kind == "join":
            bound = True
            continue
        first = len(pieces)
        if kind == "simple":
            raw = found[kind]
            word = raw.lower()
            value = 0 if word.strip("ivx") else romans(raw, pieces[-1] if pieces else None)
            pieces.append(whole(value) if value else Piece(SHORT.get(word, word), "word", raw[0].isupper()))
        else:
            pieces += _read(kind, found[kind], found)
            if kind == "mark":
                pieces[-1].apart = found[kind] != "\n" and (found.start(kind) > found.start() or not found.start())
        if bound:
            pieces[first].bound, bound = True, False
    return pieces


def _read(kind: str, raw: str, found: regex.Match[str]) -> list[Piece]:
    """What a piece of the text says."""
    if kind in ("number", "tail"):
        return _number(found["number"], found["tail"])
    if kind == "mark" or kind == "dash":
        return [Piece("\u2014" if kind == "dash" else raw, "mark")]
    if kind == "sign":
        return [Piece("+" if raw == "+" else "-", "sign")]
    if kind == "currency":
        return [Piece(raw.removeprefix("US").casefold(), "currency")]
    if kind == "vulgar":
        part = Fraction(unicodedata.numeric(raw)).limit_denominator(10)
        return [Piece(number_word(part), "number", value=part)]
    if kind == "degree":
        return [Piece(raw.replace(" ", "").casefold(), "symbol")]
    if kind == "numeral":
        value = numeral(raw) if len(raw) <= _LONGEST else None
        return [Piece(raw, "word") if value is None else whole(value)]
    if kind == "url":
        return [Piece(regex.sub(r"^(https?://)?(www\.)?|/$", "", raw.casefold()), "word")]
    if kind == "short":
        return [Piece(_folded(raw.replace(".", "")), "word", raw[0].isupper())]
    if kind == "word" and "." in raw[1:]:
        return _dotted(raw)
    if kind == "word" and (parts := _NUMBERED.fullmatch(raw)):  # B12 is B-12
        return [Piece(parts[1].lower(), "word", raw[0].isupper()), replace(whole(int(parts[2])), bound=True)]
    if kind in ("symbol", "emoji"):
        return [Piece(raw if raw != "&" else "and", "symbol" if raw != "&" else "word")]
    return [Piece(_folded(raw), "word", raw[0].isupper())]


def _folded(word: str) -> str:
    if word.isascii():
        return word.lower()
    return unicodedata.normalize("NFC", word.casefold().replace("i\u0307", "i"))


def _number(digits: str, tail: str) -> list[Piece]:
    if len(digits) > _LONGEST:
        return [Piece(f"{digits}{tail}", "word")]
    scale = LARGE.get(tail, 1)
    tail = "" if scale > 1 else tail.replace(".", "").lower() if tail[:1].isascii() else tail
    body, _, below = digits.partition("/")
    if "," in body and len(body) - body.rindex(",") <= 3 and body.count(",") == 1:
        body = body.replace(",", ".")
    value = scale * Fraction(regex.sub(r"[,'_ ]", "", body))
    word = number_word(value)
    if below:
        if not int(below) or Fraction(f"{body}/{below}").denominator != int(below):
            return [Piece(digits + tail, "word")]
        value = Fraction(f"{body}/{below}")
        word = f"{number_word(value)}"
    if tail == "s" and len(digits) == 4 and digits.endswith("0"):  # the 1980s
        return [Piece(digits + tail, "word")]
    if tail in ("st", "nd", "rd", "th"):
        return [Piece(number_word(value, ordinal=True), "number", value=value)]
    if tail and tail not in UNITS and tail not in ("am", "pm", "c", "f", "b"):
        return [Piece(f"{digits}{tail}", "word")]
    number = Piece(word, "number", value=value)
    return [number, Piece({"c": "°c", "f": "°f"}.get(tail, tail), "word")] if tail else [number]


def _dotted(raw: str) -> list[Piece]:
    """A word with a full stop in it: a name ("Node.js"), or two sentences without a space ("It is red.It is big")."""
    head, _, rest = raw.rpartition(".")
    if _folded(rest) in FUNCTION_WORDS or (rest[0].isupper() and head[-1].islower()):
        before = _dotted(head) if "." in head[1:] else [Piece(_folded(head), "word", head[0].isupper())]
        return [*before, Piece(".", "mark"), Piece(_folded(rest), "word", rest[0].isupper())]
    return [Piece(_folded(raw), "word", raw[0].isupper())]
