"""What a follow-up asks for: which fact, with what kind of question, and what a right answer contains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ...contracts import NEVER_TOLD, Ask
from .config import Kind
from .phrasing import COMPARISONS
from .plots import NUMBER_WORDS, Fact, Plot, Told
from .vocabulary import NUMBERS

ABILITIES: Mapping[str, str] = {
    "before": "update", "check": "yes_no", "hop": "two_facts", "compare": "comparison", "tally": "count",
    "untold": "abstention",
}  # fmt: skip
"""What a kind of question takes, where it is not recall; so does recall of a fact that has changed: ``update``."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question to ask: its kind, the fact that it is about, and what a right answer contains."""

    kind: Kind | Literal["untold"]
    fact: Fact
    ask: Ask
    other: str = ""
    """check: the value asked about; compare: the index of the comparison."""


class Examiner:
    """Asks about one plot.

    Args:
        plot: what has been told so far; the examiner notes in it what was asked.
    """

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self._last: Kind | Literal["untold"] = "recall"

    def ask(
        self, turn: int, now: Told | None, *, first_only: bool = False, later_only: bool = False
    ) -> Question | None:
        """Choose what interaction ``turn`` asks for.

        Args:
            turn: index of the interaction.
            now: what the same query tells; it is not asked for.
            first_only: only facts of the first interaction.
            later_only: only facts told after it.
        """
        told = now.fact if now is not None else None
        facts = [fact for fact in self.plot.facts.values() if fact is not told]
        if first_only or later_only:
            facts = [fact for fact in facts if (fact.told_at == 0) == first_only]
        facts = [fact for fact in facts if fact.asked < 0 or fact.asked < turn - 1] or facts
        if not self.plot.config.reask:
            facts = [fact for fact in facts if fact.asked < 0] or facts
        if not facts:
            return None
        first = [fact for fact in facts if fact.told_at == 0]
        later = [fact for fact in facts if fact.told_at > 0]
        group = later if later and (not first or self.plot.rng.random() < self.plot.config.later_share) else first
        group = [fact for fact in group if fact.asked < 0] or group
        fact = group[self.plot.below(len(group))]
        question = _with_ability(
            self._question(turn, fact, now, None if not (first_only or later_only) else first_only)
        )
        self._last = question.kind
        if question.kind != "tally":
            question.fact.asked = turn
        if question.kind == "hop":
            self.plot.facts[fact.subject, "name"].asked = turn
        return question

    def ask_untold(self) -> Question | None:
        """Choose something that was not told so far, or None when everything was."""
        untold = self.plot.untold
        if not untold:
            return None
        fact = untold[self.plot.below(len(untold))]
        ask = _ask("", NEVER_TOLD, list(self.plot.values[fact.slot.name]), fact.slot.name)
        return _with_ability(Question("untold", fact, ask))

    def _question(self, turn: int, fact: Fact, now: Told | None, first: bool | None) -> Question:
        """A question about a fact: kinds are tried in a random, weighted order until one makes sense."""
        kinds = list(self.plot.lexicon.kinds)
        while len(kinds) > 1:
            point = self.plot.rng.random() * sum(weight for _, weight in kinds)
            index = 0
            while index < len(kinds) - 1 and point >= kinds[index][1]:
                point -= kinds[index][1]
                index += 1
            made = self._make(kinds.pop(index)[0], turn, fact, now)
            if made is not None and (first is None or (made.ask.told_at == 0) == first):
                return made
        return self._recall(fact)

    def _make(self, kind: Kind, turn: int, fact: Fact, now: Told | None) -> Question | None:
        """A question of a kind about a fact, or None where it makes no sense."""
        if kind == "recall":
            return self._recall(fact)
        if kind == self._last and kind in ("compare", "tally"):
            return None
        if kind == "before":
            return self._before(fact)
        if kind == "check":
            return self._check(fact)
        if kind == "tally":
            return self._tally(turn, fact, now)
        # The remaining kinds are answered with a character: one that the same query names would give it away.
        if now is not None and kind in ("who", "compare") and now.fact.slot.scope == "character":
            named = now.fact.subject
        else:
            named = -1
        if kind == "who":
            return self._who(fact, named)
        if kind == "hop":
            return self._hop(fact, now)
        return self._compare(named, now)

    def rivals(self, fact: Fact) -> list[str]:
        """Values that compete with a fact's: what was denied, and the same slot of other characters, now and before."""
        words = list(fact.denied)
        for other in self.plot.facts.values():
            if other is not fact and other.slot is fact.slot:
                words += [other.value, *(value for value, _ in other.past)]
        return words

    def _recall(self, fact: Fact) -> Question:
        wrong = [value for value, _ in fact.past] + self.rivals(fact)
        return Question("recall", fact, _ask(fact.value, fact.told_at, wrong, fact.slot.name))

    def _before(self, fact: Fact) -> Question | None:
        if not fact.past:
            return None
        value, told_at = fact.past[0]
        wrong = [fact.value, *(word for word, _ in fact.past[1:]), *self.rivals(fact)]
        return Question("before", fact, _ask(value, told_at, wrong, fact.slot.name))

    def _check(self, fact: Fact) -> Question | None:
        if self.plot.rng.random() < 0.5:
            return Question("check", fact, _ask("Yes", fact.told_at, ["No"], "yes_no"), fact.value)
        rivals = self._recall(fact).ask.wrong
        if rivals and self.plot.chance(0.5):
            other: str | None = rivals[self.plot.below(len(rivals))]
        else:
            other = self.plot.draw(fact.slot)
        if other is None:
            return None
        wrong = [other, *(value for value, _ in fact.past), *self.rivals(fact)]
        return Question("check", fact, _ask(fact.value, fact.told_at, wrong, fact.slot.name), other)

    def _who(self, fact: Fact, named: int) -> Question | None:
        if not fact.slot.who or fact.subject == named or len(self.plot.newcomers) < 2:
            return None
        wrong = [self.plot.roles[subject] for subject in self.plot.newcomers if subject != fact.subject]
        return Question("who", fact, _ask(self.plot.roles[fact.subject], fact.told_at, wrong, "who"))

    def _hop(self, fact: Fact, now: Told | None) -> Question | None:
        name = self.plot.facts.get((fact.subject, "name"))
        if name is None or name is fact or not fact.slot.who or len(self.plot.newcomers) < 2:
            return None
        if now is not None and now.fact is name:
            return None
        return Question("hop", fact, _ask(name.value, name.told_at, self.rivals(name), "name"))

    def _compare(self, named: int, now: Told | None) -> Question | None:
        """A question about everybody's numbers, whichever fact was chosen."""
        groups: dict[str, list[Fact]] = {}
        for fact in self.plot.facts.values():
            if fact.slot.name in COMPARISONS and (now is None or now.fact.slot is not fact.slot):
                groups.setdefault(fact.slot.name, []).append(fact)
        names = [name for name, group in groups.items() if len(group) > 1]
        if not names:
            return None
        name = names[self.plot.below(len(names))]
        index = self.plot.below(len(COMPARISONS[name]))
        best = (max if COMPARISONS[name][index][2] else min)(groups[name], key=lambda fact: NUMBERS[fact.value])
        if best.subject == named:
            return None
        wrong = [self.plot.roles[subject] for subject in self.plot.newcomers if subject != best.subject]
        return Question(
            "compare", best, _ask(self.plot.roles[best.subject], best.told_at, wrong, "compare"), str(index)
        )

    def _tally(self, turn: int, fact: Fact, now: Told | None) -> Question | None:
        count = len(self.plot.newcomers)
        latest = max(self.plot.newcomers.values())
        if count not in NUMBER_WORDS or latest >= turn:
            return None
        value = NUMBER_WORDS[count]
        if now is not None and value in (now.said, now.denied):
            return None
        wrong = [NUMBER_WORDS[other] for other in range(2, 9) if other != count]
        return Question("tally", fact, _ask(value, latest, wrong, "tally"))


def _with_ability(question: Question) -> Question:
    """The question with what it takes, as it stands now: whether its fact has changed."""
    usual = "update" if question.fact.past else "recall"
    return replace(question, ask=replace(question.ask, ability=ABILITIES.get(question.kind, usual)))


def _ask(value: str, told_at: int, wrong: list[str], slot: str) -> Ask:
    """An annotated fact; each wrong value once, in order, never the right one."""
    if not wrong:
        return Ask(value, told_at, (), slot)
    return Ask(value, told_at, tuple(dict.fromkeys(word for word in wrong if word != value)), slot)
