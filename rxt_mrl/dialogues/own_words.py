"""Own words: the agent is asked to choose, and later what it chose. Right is what it said, whatever the reference says.

An ``Ask`` of the slot ``own_words`` lists the values that were offered (``value``, which the reference takes, and
``wrong``). Where it asks the agent to choose (``told_at`` is the asking interaction itself), any one of them is right;
later only the one that the agent took. An agent that took none, or several, has nothing that it could say later: its
choice and all questions about it earn 0, so that it never pays to evade.

Both the environment ``own_words`` and the evaluation judge by :func:`by_own_words`, so every reward that goes by
``asks`` works unchanged.
"""

from __future__ import annotations

import re
from dataclasses import replace

import torch

from ..contracts import OWN_WORDS, Ask, RewardContext
from ..texts import ANSWER, TokenText


def by_own_words(context: RewardContext) -> RewardContext:
    """A context as it is judged: asks of own words hold what the agent chose, and their references are withheld.

    A choice is read off the answer that is scored; a later question goes by what was written to memory then, which
    stands in ``history``.
    """
    rows = [row for row, asks in enumerate(context.asks) if any(ask.slot == OWN_WORDS for ask in asks)]
    if not rows:
        return context
    turns = {ask.told_at for row in rows for ask in context.asks[row] if ask.slot == OWN_WORDS}
    texts = {turn: (context.generated if turn == context.step else _said(context.history[turn])).text for turn in turns}
    asks = list(context.asks)
    for row in rows:
        asks[row] = tuple(
            chosen(ask, texts[ask.told_at][row]) if ask.slot == OWN_WORDS else ask for ask in context.asks[row]
        )
    keep = torch.ones(len(context), 1, dtype=torch.bool)
    keep[rows] = False
    return replace(context, asks=tuple(asks), reference=context.reference.only(keep))


def _said(written: TokenText) -> TokenText:
    """The answers of a written interaction: what stands behind [A]."""
    return written.only((written.ids == ANSWER).cumsum(1) > 0)


def chosen(ask: Ask, answer: str) -> Ask:
    """The ask with the value that an answer takes, or without one where it takes none or several of those offered."""
    offered = (ask.value, *ask.wrong)
    words = re.findall(r"[^\W_]+", answer.lower())
    taken = [value for value in offered if value.lower() in words]
    value = taken[0] if len(taken) == 1 else ""
    return replace(ask, value=value, wrong=tuple(other for other in offered if other != value))
