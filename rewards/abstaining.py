"""Whether a short English answer says that it does not know, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from rxt_mrl.contracts import Ask

from .claims import FUNCTION_WORDS, LABELS, Text, claims, is_symbol, occurrences, parse, value_words

_PHRASES: tuple[tuple[str, ...], ...] = (
    ("not", "know"),
    ("not", "known"),
    ("not", "sure"),
    ("not", "certain"),
    ("not", "remember"),
    ("not", "recall"),
    ("not", "tell"),
    ("not", "told"),
    ("not", "say"),
    ("not", "mention"),
    ("not", "mentioned"),
    ("never", "told"),
    ("never", "said"),
    ("never", "mentioned"),
    ("no", "idea"),
    ("no", "clue"),
    ("unknown",),
)
"""Words of which one must stand in an answer that abstains ("don't" is read as "do not")."""

_EXCUSES = frozenset(
    ["sorry", "afraid", "story", "dialogue", "conversation", "mention", "mentioned", "forgot", "forgotten", "nobody"]
)
"""Further words that tell nothing."""


def abstains(answer: str, query: str = "", asks: Sequence[Ask] = ()) -> bool:
    """Whether an answer says that it does not know, and claims nothing beside it.

    Clauses without one of the phrases may repeat words of the question only: "I do not know. It was red." is a claim,
    also where nobody told the color.

    Args:
        answer: the text.
        query: the question.
        asks: what was asked; their values, right or wrong, must not be claimed.
    """
    said = parse(answer)
    abstaining = {said.clauses[at] for phrase in _PHRASES for at in occurrences(said.words, phrase)}
    if not abstaining or _strangers(said, abstaining, parse(query)):
        return False
    return not any(claims(said, value_words(value)) for ask in asks for value in (ask.value, *ask.wrong) if value)


def _strangers(said: Text, abstaining: set[int], question: Text) -> bool:
    """Whether words outside of the abstaining clauses could tell something."""
    harmless = FUNCTION_WORDS | _EXCUSES | LABELS | frozenset(question.words)
    return any(
        word not in harmless and not is_symbol(word)
        for word, clause in zip(said.words, said.clauses, strict=True)
        if clause not in abstaining
    )
