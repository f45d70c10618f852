"""Facts of dialogues that nobody annotated: the words that an answer carries over from earlier interactions.

``annotate: carried_words`` of a source marks, in each reference answer, the content words that an earlier interaction
said and the query does not, with the interaction that told them. So whatever needs ``asks`` (recall, distance,
``fact_recall``) works on any English dialogue.

A word is told by a statement: a sentence that is no question. What an answer only says again was told by whoever said
it first. Where several statements hold the word, the one that shares most content words with the question and its
answer told it; of equals, the earliest. An inflection of a word of the query (*go*, *went*) is the query's word.

What it cannot see: answers that no earlier word holds (yes and no, sums, counts), paraphrases, and whether a word that
is carried is what was asked for ("No, *at home* the boy took care of a **duck**.").
"""

# ruff: noqa: SIM905 - word lists read better as lines of words
from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from ..contracts import Ask, Dialogue, Interaction

SLOT = "carried_words"
"""``Ask.slot`` of what is marked here."""

FUNCTION_WORDS = frozenset(
    """a an the this that these those some any no every each all both few many much more most less least other another
    such own same i me my mine myself you your yours yourself he him his himself she her hers herself it its itself we
    us our ours ourselves they them their theirs themselves who whom whose which what when where why how one ones
    someone somebody something anyone anybody anything everyone everybody everything nobody nothing none and or but nor
    so yet if because as than while though although unless until since whether of at by for with about against between
    into through during before after above below to from up down in out on off over under near close along across
    behind beside besides beyond around among upon toward towards onto within without inside outside like per via next
    be am is are was were been being have has had having do does did doing done will would wo shall should can could ca
    may might must ought not never also too very just only even still then there here now again once ever always quite
    rather almost already soon later first last finally yes no yeah oh well please thank thanks okay ok sorry""".split()
)
"""Words that tell nothing by themselves (``ca`` and ``wo`` are what is left of *can't* and *won't*)."""
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_ENDING = re.compile(r"(?:['\u2019](?:s|re|ve|ll|d|m)|n['\u2019]t)$", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class _Statement:
    """A sentence that tells something: the lemmas of its words, and those that were told before it."""

    turn: int
    lemmas: frozenset[str]
    known: frozenset[str]

    def tells(self, lemmas: frozenset[str]) -> bool:
        return bool(lemmas & self.lemmas) and not lemmas & self.known


def carried_words(dialogue: Dialogue) -> Dialogue:
    """The dialogue with the carried words of its follow-ups as ``asks``; those that it had are replaced."""
    told = list(_statements(0, dialogue.query, dialogue.answer, frozenset()))
    follow_ups: list[Interaction] = []
    for turn, interaction in enumerate(dialogue.interactions, start=1):
        follow_ups.append(replace(interaction, asks=_asks(interaction, told)))
        known = frozenset().union(*(statement.lemmas for statement in told))
        told += _statements(turn, interaction.query, interaction.answer, known)
    return replace(dialogue, interactions=tuple(follow_ups))


def _asks(interaction: Interaction, told: list[_Statement]) -> tuple[Ask, ...]:
    """The words of the answer that a statement told and the query does not say, each once."""
    query = _lemmas(_words(interaction.query))
    context = query | _lemmas(_words(interaction.answer))
    asks: dict[str, Ask] = {}
    for word in _words(interaction.answer):
        lemmas = lemmas_of(word)
        if word.lower() in FUNCTION_WORDS or lemmas & query or word.lower() in asks:
            continue
        tellers = [statement for statement in told if statement.tells(lemmas)]
        if tellers:
            topic = context - lemmas - FUNCTION_WORDS
            best = max(tellers, key=lambda statement: (len(statement.lemmas & topic), -statement.turn))
            asks[word.lower()] = Ask(word, best.turn, slot=SLOT)
    return tuple(asks.values())


def _statements(turn: int, query: str, answer: str, known: frozenset[str]) -> Iterable[_Statement]:
    """The sentences of an interaction that tell something; an answer tells only what was not ``known``."""
    for text, before in ((query, frozenset[str]()), (answer, known)):
        for sentence in _SENTENCE.split(text):
            lemmas = _lemmas(_words(sentence))
            if lemmas and not sentence.rstrip(" \"'\u201d)").endswith("?"):
                yield _Statement(turn, lemmas, before)


def _words(text: str) -> list[str]:
    """The words of a text as they stand there, without possessive endings and contractions."""
    return [_ENDING.sub("", word) for word in _WORD.findall(text)]


def _lemmas(words: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*map(lemmas_of, words))


@lru_cache(maxsize=65536)
def lemmas_of(word: str) -> frozenset[str]:
    """A word in lower case with all that it may be a form of: ``felt`` is *felt* and *feel*."""
    from lemminflect import getAllLemmas  # reads its dictionary when imported

    word = word.lower()
    return frozenset({word}.union(*getAllLemmas(word).values()))


@dataclass(frozen=True, slots=True)
class Agreement:
    """Marked (word, told_at) pairs against the true ones.

    Attributes:
        found: pairs of both.
        marked: pairs that were marked.
        true: pairs of the annotations.
    """

    found: int
    marked: int
    true: int

    @property
    def precision(self) -> float:
        """Share of the marked pairs that are true; 0 where nothing is marked."""
        return self.found / max(1, self.marked)

    @property
    def recall(self) -> float:
        """Share of the true pairs that are marked; 0 where there are none."""
        return self.found / max(1, self.true)


def agreement(dialogues: Iterable[Dialogue]) -> Agreement:
    """How well :func:`carried_words` finds the facts of annotated dialogues; what was never told does not count."""
    found = marked = true = 0
    for dialogue in dialogues:
        for ours, theirs in zip(carried_words(dialogue).interactions, dialogue.interactions, strict=True):
            mine = _pairs(ours.asks)
            wanted = _pairs(theirs.asks)
            found += len(mine & wanted)
            marked += len(mine)
            true += len(wanted)
    return Agreement(found, marked, true)


def _pairs(asks: Iterable[Ask]) -> set[tuple[str, int]]:
    return {(ask.value.lower(), ask.told_at) for ask in asks if ask.told_at >= 0}
