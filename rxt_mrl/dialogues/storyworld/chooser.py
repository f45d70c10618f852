"""Lets the agent choose, and asks it back."""

from __future__ import annotations

from dataclasses import dataclass

from ...contracts import OWN_WORDS, Ask, Interaction
from .choices import ASKED_BACK, CHOICES, CHOSEN, OFFERS, OPTIONS, SAID, Choice
from .plots import Plot

_ANOTHER, _ENOUGH = 0.75, 0.25
"""Probability of another choice while one is open (never asked back), and while several are: so some have to wait."""


@dataclass(slots=True)
class Decision:
    """A choice that was offered.

    Attributes:
        choice: what for.
        options: the values that were offered.
        value: the one that the reference takes.
        turn: the interaction in which it was offered.
        asked: the last interaction that asked for it; -1: none.
    """

    choice: Choice
    options: tuple[str, ...]
    value: str
    turn: int
    asked: int = -1

    def ask(self) -> Ask:
        """The choice as an annotation."""
        return Ask(self.value, self.turn, tuple(word for word in self.options if word != self.value), OWN_WORDS)


class Chooser:
    """Offers the choices of one dialogue.

    Args:
        plot: what has been told so far; offered values count as used in it.
    """

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self._made: list[Decision] = []

    def decide(self, turn: int) -> Interaction | None:
        """A choice to make, or the question what was chosen; None when neither is possible.

        Choices that were never asked for come first, then new ones; nothing is asked twice running.
        """
        fresh = [decision for decision in self._made if decision.asked < 0]
        if not fresh or self.plot.chance(_ANOTHER if len(fresh) < 2 else _ENOUGH):
            offered = self._offer(turn)
            if offered is not None:
                return offered
        known = fresh or [decision for decision in self._made if decision.asked < turn - 1]
        return self._ask_back(turn, known[self.plot.below(len(known))]) if known else None

    def _offer(self, turn: int) -> Interaction | None:
        left = [choice for choice in CHOICES if all(choice is not decision.choice for decision in self._made)]
        if not left:
            return None
        choice = left[self.plot.below(len(left))]
        options = [word for _ in range(OPTIONS) if (word := self._draw(choice)) is not None]
        if len(options) < OPTIONS:
            return None
        decision = Decision(choice, tuple(options), options[self.plot.below(OPTIONS)], turn)
        self._made.append(decision)
        query = choice.offer(self._frame(OFFERS), decision.options)
        answer = CHOSEN.format(n=choice.noun(decision.value), w=choice.thing)
        return Interaction(query, answer, (decision.ask(),))

    def _ask_back(self, turn: int, decision: Decision) -> Interaction:
        decision.asked = turn
        choice = decision.choice
        query = self._frame(ASKED_BACK).format(k=choice.kind, w=choice.thing)
        answer = SAID.format(n=choice.noun(decision.value), w=choice.thing)
        return Interaction(query, answer, (decision.ask(),))

    def _draw(self, choice: Choice) -> str | None:
        word = self.plot.draw(choice)
        if word is not None:
            self.plot.used.add(word)
        return word

    def _frame(self, frames: tuple[str, ...]) -> str:
        return frames[self.plot.below(self.plot.config.phrasings)]
