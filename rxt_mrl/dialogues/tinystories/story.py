"""A children's story taken apart by regular expressions: narration, names, noun phrases, who a sentence is about.

Careful rather than complete: what is not certain (a pronoun with two possible owners, a phrase whose end is unclear)
is left unresolved, and the rules of :mod:`.story_facts` then ask nothing about it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from . import words as words

STRAIGHT = str.maketrans("\u201c\u201d\u201e\u2018\u2019", '"""\'\'')
QUOTE = re.compile(r'"[^"\n]*"')
SENTENCE_END = re.compile(r'(?<!Mr)(?<!Mrs)(?<!Ms)(?<!Dr)[.!?]+(?=["\s]|$)|\n+')
DETERMINERS = ("a", "an", "the", "his", "her", "their", "its", "some", *words.NUMBERS[:5])
PHRASE_START = re.compile(rf"\b({'|'.join(DETERMINERS)}) ", re.IGNORECASE)
ANIMATE = words.ANIMALS | words.PEOPLE
KINDS = ("animal", "person", "place", "object")
MOST_WORDS = 4
"""A noun phrase has at most so many words after its determiner."""

_CLAUSE_START = re.compile(
    r"(?:^|[.,;:\"!?]|\b(?:then|so|but|when|because|day|morning|afternoon|night|suddenly|finally|until|as))\s*$",
    re.IGNORECASE,
)
_ADVERB = re.compile(r" (?:also|then|soon|even|just|[a-z]+ly)$")
_OTHER_SUBJECT = re.compile(r"\b(?:he|she|they|it|who|that|and|but)\b")
_WORD = re.compile(r"[a-z][a-z'-]*(?![A-Za-z])")


def _starts_clause(before: str, subject: str) -> bool:
    """Whether ``subject``, which ends ``before``, stands where a clause begins."""
    return bool(_CLAUSE_START.search(before[: len(before) - len(subject)]))


def singular(noun: str) -> str:
    """A noun without its plural ending, roughly (``butterflies`` -> ``butterfly``)."""
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("ches", "shes", "xes", "sses")):
        return noun[:-2]
    if noun.endswith("s") and not noun.endswith(("ss", "us")) and len(noun) > 3:
        return noun[:-1]
    return {"mice": "mouse", "men": "man", "women": "woman", "children": "child", "leaves": "leaf"}.get(noun, noun)


def kind_of(head: str) -> str:
    """What kind of thing a noun is: ``animal``, ``person``, ``place`` or ``object``."""
    noun = singular(head)
    for kind, nouns in (("animal", words.ANIMALS), ("person", words.PEOPLE), ("place", words.PLACES)):
        if noun in nouns or head in nouns:
            return kind
    return "object"


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase: ``a``, ``big red ball``, head ``ball``; ``end`` is its end in the sentence."""

    determiner: str
    words: tuple[str, ...]
    end: int

    @property
    def head(self) -> str:
        """The noun."""
        return self.words[-1]

    @property
    def text(self) -> str:
        """``a big red ball``."""
        return f"{self.determiner.lower()} {' '.join(self.words)}"

    @property
    def known(self) -> str:
        """As one speaks of it to somebody who knows the story: ``the big red ball``, never ``her``."""
        own = self.determiner.lower() in ("his", "her", "their", "its")
        return f"the {' '.join(self.words)}" if own else self.text


def phrase_at(sentence: str, start: int) -> Phrase | None:
    """The noun phrase that begins at ``start``, or None where its end or its noun is unclear."""
    opening = PHRASE_START.match(sentence, start)
    if opening is None:
        return None
    found: list[str] = []
    position = opening.end()
    while len(found) <= MOST_WORDS:
        word = _WORD.match(sentence, position)
        if word is None or word[0] in words.AFTER_NOUN or _is_adverb(word[0]):
            break
        found.append(word[0])
        position = word.end()
        comma = sentence[position : position + 2] == ", " and word[0] in words.ADJECTIVES
        if sentence[position : position + 1] != " " and not comma:
            break
        position += 2 if comma else 1
    if not found or len(found) > MOST_WORDS or not _is_noun_phrase(found):
        return None
    if found[-1] in words.AFTER_THINGS:
        return None  # "held the ball tight"
    return Phrase(opening[1], tuple(found), position)


def _is_adverb(word: str) -> bool:
    return word.endswith("ly") and word not in words.ADJECTIVES and word not in ("fly", "butterfly", "belly", "jelly")


def _is_noun_phrase(found: list[str]) -> bool:
    head = found[-1]
    if head in words.ADJECTIVES or len(head) < 3 or "'" in head or head in words.VERBS or head in words.MOVING:
        return False
    if "bit" in found or "lot" in found:
        return False
    if any(word in words.SPEAKING or word in words.VERBS for word in found[1:]):
        return False
    if any(kind_of(word) in ("animal", "person") and not word.endswith("'s") for word in found[:-1]):
        return False  # "the bird sing", "the girl smile": a verb follows
    sure = words.ADJECTIVES | words.ING_NOUNS
    return not any(word.endswith(("ing", "ed")) and word not in sure for word in (found[1:] or found))


@dataclass(frozen=True, slots=True)
class Subject:
    """Who does something: ``text`` as in the middle of a sentence (``Lily``, ``the boy``, ``Tim and Sam``)."""

    text: str
    entities: frozenset[str]

    @property
    def opening(self) -> str:
        """As at the start of a sentence."""
        return self.text[0].upper() + self.text[1:]

    @property
    def verb_be(self) -> str:
        """``was`` or ``were``."""
        return "were" if len(self.entities) > 1 else "was"


@dataclass
class Story:
    """A story and what the rules need of it; everything is computed when it is first asked for."""

    text: str

    @cached_property
    def plain(self) -> str:
        """The text with straight quotation marks, of the same length."""
        return self.text.translate(STRAIGHT)

    @cached_property
    def narration(self) -> str:
        """The text with everything that is said blanked, of the same length."""
        lines = []
        for line in self.plain.split("\n"):
            if line.count('"') % 2:  # a quotation mark is missing: nothing in this paragraph is certain
                lines.append(" " * len(line))
            else:
                lines.append(QUOTE.sub(lambda found: '"' + " " * (len(found[0]) - 2) + '"', line))
        return "\n".join(lines)

    @cached_property
    def _spans(self) -> tuple[tuple[int, str], ...]:
        """The sentences of the narration, with where they begin in the text."""
        found, start = [], 0
        for end in [*(match.span() for match in SENTENCE_END.finditer(self.narration)), (len(self.narration),) * 2]:
            part = self.narration[start : end[0]]
            if part.strip():
                found.append((start + len(part) - len(part.lstrip()), part.strip()))
            start = end[1]
        return tuple(found)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """The sentences of the narration."""
        return tuple(sentence for _, sentence in self._spans)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each sentence begins in the text."""
        return tuple(start for start, _ in self._spans)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of characters, the most frequent first."""
        text = self.narration
        counts = Counter(re.findall(r"\b[A-Z][a-z]+\b", text))
        inside = set(re.findall(r"(?<=[a-z,;] )[A-Z][a-z]+\b", text))
        # "Polar Bear", "Miss Bunny": names of several words are not taken apart
        joined = {
            word for pair in re.findall(r"\b([A-Z][a-z]+) ([A-Z][a-z]+)\b", text) for word in pair
            if pair[0] not in words.NOT_NAMES or pair[0] in ("Mr", "Mrs", "Miss", "Ms", "Dr", "Little", "Big", "Old")
        } | set(re.findall(r"\b(?:Mr|Mrs|Ms|Dr)\. ([A-Z][a-z]+)", text))  # fmt: skip
        names = [
            name for name, count in counts.most_common()
            if count >= 2 and name in inside and name not in joined and name not in words.NOT_NAMES
            and name not in words.KIN and name.lower() not in self.lower_words
        ]  # fmt: skip
        return tuple(names)

    @cached_property
    def kin(self) -> tuple[str, ...]:
        """Relatives called ``Mom`` and the like."""
        return tuple(sorted(words.KIN & set(re.findall(r"\b[A-Z][a-z]+\b", self.narration))))

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Nouns that stand for one name throughout: ``a little girl named Lily`` makes ``girl`` Lily."""
        found: dict[str, set[str]] = {}
        for noun, name in re.findall(r"\b([a-z]+) (?:named|called) ([A-Z][a-z]+)\b", self.narration):
            found.setdefault(noun, set()).add(name)
        for name, noun in re.findall(r"\b([A-Z][a-z]+) was an? (?:[a-z]+,? ){0,3}?([a-z]+)\b", self.narration):
            found.setdefault(noun, set()).add(name)
        return {
            noun: min(names) for noun, names in found.items()
            if len(names) == 1 and names <= set(self.names) and noun in ANIMATE and not self.has_several(noun)
        }  # fmt: skip

    def has_several(self, noun: str) -> bool:
        """Whether the story seems to have more than one of them."""
        if noun in self._other_nouns or f"{noun}s" in self.lower_words:
            return True
        return len(re.findall(rf"\ban? (?:[a-z]+,? ){{0,3}}{noun}\b", self.narration, re.IGNORECASE)) > 1

    @cached_property
    def _other_nouns(self) -> frozenset[str]:
        """Nouns that come after ``another`` and the like, at most one word later."""
        found = re.findall(
            r"\b(?:another|other|different|new|second|every) (?=([a-z]+)(?: ([a-z]+))?)", self.plain, re.IGNORECASE
        )
        return frozenset(word for pair in found for word in pair)

    @cached_property
    def lower_words(self) -> Counter[str]:
        """How often each word in lower case is narrated or said."""
        return Counter(re.findall(r"\b[a-z]+\b", self.plain))

    @cached_property
    def narrated(self) -> Counter[str]:
        """How often each word in lower case is narrated."""
        return Counter(re.findall(r"\b[a-z]+\b", self.narration))

    @cached_property
    def states(self) -> dict[str, set[str]]:
        """What each noun ``was``, ``is``, ``looked``, ``felt`` ...: the next word, for every noun that has one."""
        pattern = r"\b([a-z]+) (?:was|were|is|looked|felt|became|got|turned) ([a-z]+)"
        found: dict[str, set[str]] = {}
        for noun, state in re.findall(pattern, self.plain):
            found.setdefault(noun, set()).add(state)
        return found

    @cached_property
    def mentioned(self) -> tuple[frozenset[str], ...]:
        """Who is mentioned in each sentence."""
        return tuple(frozenset(self.mentions(sentence)) for sentence in self.sentences)

    @cached_property
    def entities(self) -> frozenset[str]:
        """Everybody in the story: names, relatives, and nouns of people and animals."""
        return frozenset().union(*self.mentioned)

    def mentions(self, text: str) -> set[str]:
        """Who is mentioned in a piece of narration; a noun that stands for a name counts as the name."""
        found = set()
        for word in re.findall(r"[A-Za-z]+", text):
            if word in self.called:
                found.add(word)
            elif word.islower():
                noun = word if word in ANIMATE else singular(word)
                if noun in ANIMATE:
                    found.add(self.aliases.get(noun, noun))
        return found

    @cached_property
    def called(self) -> frozenset[str]:
        """Names and relatives."""
        return frozenset((*self.names, *self.kin))

    def subject_before(self, index: int, position: int) -> Subject | None:
        """The subject of the verb at ``position`` of sentence ``index``, None where it is not certain."""
        sentence = self.sentences[index]
        before = sentence[:position].rstrip()
        before = _ADVERB.sub("", before)
        joined = before.endswith(" and")
        if joined:
            return self._shared_subject(before[:-4])
        parts = re.findall(r"[A-Za-z]+", before[-60:])[-4:]
        return self._resolve(parts, before) if parts else None

    def _shared_subject(self, before: str) -> Subject | None:
        """``Lily went to the park and found ...``: the subject of the first verb, if nobody else comes between."""
        start = re.match(r"(?:[A-Z][a-z]+(?: [a-z]+){0,3}, )?((?:The|the)(?: [a-z]+){1,2}|[A-Z][a-z]+)\b", before)
        if start is None or self.mentions(before[start.end() :]) or _OTHER_SUBJECT.search(before[start.end() :]):
            return None
        opening = before[: start.end()]
        if start[1].lower().startswith("the "):  # the noun is the second or the third word
            parts = start[1].split()
            opening = opening if parts[-1] in ANIMATE else opening.rsplit(" ", 1)[0]
        return self._resolve(re.findall(r"[A-Za-z]+", opening)[-4:], opening)

    def _resolve(self, parts: list[str], before: str) -> Subject | None:
        """The subject that ``parts``, the last words of ``before``, end with; it must begin a clause."""
        last = parts[-1]
        if last in self.called:
            if len(parts) > 2 and parts[-2] == "and" and parts[-3] in self.called:
                pair = f"{parts[-3]} and {last}"
                if before.endswith(pair) and _starts_clause(before, pair):
                    return Subject(pair, frozenset((parts[-3], last)))
                return None
            return Subject(last, frozenset((last,))) if _starts_clause(before, last) else None
        if last in ANIMATE and "the" in (part.lower() for part in parts[-3:-1]):
            noun = " ".join(parts[-1:] if parts[-2].lower() == "the" else parts[-2:])
            if not before.lower().endswith(f"the {noun}") or not _starts_clause(before, f"the {noun}"):
                return None
            if last in self.aliases:
                return Subject(self.aliases[last], frozenset((self.aliases[last],)))
            return None if self.has_several(last) else Subject(f"the {noun}", frozenset((last,)))
        return None

    @cached_property
    def phrases(self) -> tuple[tuple[int, Phrase], ...]:
        """All noun phrases of the narration, with the index of their sentence."""
        return tuple(
            (index, phrase)
            for index, sentence in enumerate(self.sentences)
            for opening in PHRASE_START.finditer(sentence)
            if (phrase := phrase_at(sentence, opening.start())) is not None
        )

    @cached_property
    def nouns(self) -> dict[str, tuple[str, ...]]:
        """Heads of the story's noun phrases by kind, in order: what a wrong answer could name."""
        found: dict[str, dict[str, None]] = {kind: {} for kind in KINDS}
        for _, phrase in self.phrases:
            if phrase.head not in words.VAGUE:
                found[kind_of(phrase.head)].setdefault(phrase.head)
        return {kind: tuple(heads) for kind, heads in found.items()}
