"""What happens in a storyworld dialogue, before it is put into words: facts told, changed and asked for.

A :class:`Plot` is the state of one dialogue. Values are drawn evenly and without replacement within a family, so in
one dialogue a word means one thing, characters never share a value, and nothing can be guessed from anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeVar, get_args

from ... import seeding
from ...contracts import Ask
from .config import Split, StoryworldConfig
from .phrasing import BY_NAME, COMPARISONS, Slot
from .vocabulary import FAMILIES, NUMBERS, ROLES

Item = TypeVar("Item")

Kind = Literal["recall", "before", "check", "who", "hop", "compare", "tally"]

KINDS: tuple[Kind, ...] = get_args(Kind)

NUMBER_WORDS = {number: word for word, number in NUMBERS.items()}

BUCKETS: dict[int, Split] = {0: "validation", 1: "test"}
"""Of ten buckets of fact combinations, which are kept away from train."""


@dataclass(slots=True)
class Fact:
    """What holds for one slot of one character.

    Attributes:
        subject: index of the character.
        slot: the kind of fact.
        value: the newest value.
        told_at: the interaction that told it.
        past: earlier values with the interactions that told them, oldest first.
        denied: words that were said to be untrue, or that were only a part of the value (increments of numbers).
        asked: the last interaction that asked for it; -1: never.
    """

    subject: int
    slot: Slot
    value: str
    told_at: int
    past: list[tuple[str, int]] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    asked: int = -1


@dataclass(frozen=True, slots=True)
class Told:
    """A statement to make: the fact, the word that is said, and what is said not to be so (or None)."""

    fact: Fact
    said: str
    change: int | None = None
    """Index into ``slot.changes`` for a number that goes up (0) or down (1); -1: any of them; None: no change."""
    denied: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question to ask: its kind, the fact that it is about, and what a right answer contains."""

    kind: Kind
    fact: Fact
    ask: Ask
    other: str = ""
    """check: the value asked about; compare: the index of the comparison."""


class Lexicon:
    """What all dialogues of a configuration share: slots, their values by split, and codes of facts."""

    def __init__(self, config: StoryworldConfig) -> None:
        self.config = config
        self.slots = tuple(BY_NAME[name].simplified(config.phrasings) for name in config.slot_names)
        self.character_slots = tuple(slot for slot in self.slots if slot.scope == "character")
        self.train: dict[str, tuple[str, ...]] = {}
        self.held_out: dict[str, tuple[str, ...]] = {}
        for slot in self.slots:
            words = FAMILIES[slot.family]
            if slot.numeric:
                self.train[slot.name] = self.held_out[slot.name] = words
                continue
            window = words[slot.start :] + words[: slot.start]
            self.train[slot.name] = window[: config.values]
            last = config.values + config.held_out_values
            self.held_out[slot.name] = (
                window[config.values : last] if config.held_out_values else window[: config.values]
            )
        self.codes = {
            (slot.name, word): seeding.key("storyworld fact", slot.name, word)
            for slot in self.slots
            for word in FAMILIES[slot.family]
        }
        weights = config.questions.model_dump()
        self.kinds = tuple((kind, float(weights[kind])) for kind in KINDS if weights[kind] > 0)

    def values(self, split: Split) -> dict[str, tuple[str, ...]]:
        """The values of each slot in a split."""
        return self.train if split == "train" else self.held_out

    def split_of(self, facts: list[tuple[int, Slot, str]]) -> Split:
        """The split that owns a combination of (character, slot, value), in whatever order it is told."""
        code = 0
        for subject, slot, value in facts:
            code ^= self.codes[slot.name, value] * (2 * subject + 1)
        mixed = (code ^ (code >> 31)) * 0x9E3779B97F4A7C15 & (2**64 - 1)
        return BUCKETS.get((mixed >> 32) % 10, "train")


class Plot:
    """The state of one dialogue, driven by one random stream.

    Args:
        lexicon: the slots and values.
        split: which values and fact combinations may be used.
        rng: only ``rng.random()`` is drawn, the one method whose numbers Python promises to keep.
    """

    def __init__(self, lexicon: Lexicon, split: Split, rng: Random) -> None:
        self.lexicon = lexicon
        self.config = lexicon.config
        self.split = split
        self.rng = rng
        self.values = lexicon.values(split)
        self.facts: dict[tuple[int, str], Fact] = {}
        self.used: set[str] = set()
        self.roles: list[str] = self._shuffled(list(ROLES[: self.config.roles]))
        """The characters by role, in the order in which they come in."""
        self.cast_size = 0
        """Characters that may be told about by now."""
        self.newcomers: dict[int, int] = {}
        """The interaction in which each character first appeared."""
        self.first_subject = 0
        """The first character of the current story; earlier ones belong to stories that were left."""
        self._untold: list[tuple[int, Slot]] = []
        self._last: Kind = "recall"

    # --- random choices ------------------------------------------------------------------------------------------

    def below(self, count: int) -> int:
        """An even choice of ``0 <= number < count``."""
        return int(self.rng.random() * count)

    def chance(self, probability: float) -> bool:
        """True with this probability; draws nothing at 0."""
        return probability > 0 and self.rng.random() < probability

    def _shuffled(self, items: list[Item]) -> list[Item]:
        random = self.rng.random
        return sorted(items, key=lambda _: random())

    def _draw(self, slot: Slot) -> str | None:
        """An unused value of a slot, or None when few are left."""
        words, random, used = self.values[slot.name], self.rng.random, self.used
        for _ in range(8):
            word = words[int(random() * len(words))]
            if word not in used:
                return word
        free = [word for word in words if word not in self.used]
        return free[self.below(len(free))] if free else None

    # --- telling -------------------------------------------------------------------------------------------------

    def open_cast(self, count: int) -> None:
        """Let ``count`` more characters be told about, as far as there are roles."""
        size = min(self.cast_size + count, len(ROLES))
        if size > len(self.roles):
            self.roles += self._shuffled(list(ROLES[self.config.roles :]))
        for subject in range(self.cast_size, size):
            slots = self.lexicon.slots if subject == 0 else self.lexicon.character_slots
            self._untold += [(subject, slot) for slot in slots]
        if size > self.cast_size:
            self._untold = self._shuffled(self._untold)
        self.cast_size = size

    def leave(self) -> None:
        """End the current story: nothing more is told about its characters."""
        self._untold = []
        self.first_subject = self.cast_size

    def tell_story(self, turn: int, count: int) -> list[Told]:
        """Draw a new story of ``count`` facts about the characters that are open.

        In interaction 0 it is drawn until its combination of facts belongs to the split.
        """
        keys = self._untold[:count]
        self._untold = self._untold[count:]
        keys.sort(key=lambda key: (key[0], key[1].name != "name"))
        for _ in range(100_000):
            story: list[tuple[int, Slot, str]] = []
            for subject, slot in keys:
                value = self._draw(slot)
                if value is not None:
                    self.used.add(value)
                    story.append((subject, slot, value))
            if turn > 0 or self.lexicon.split_of(story) == self.split:
                return [self._tell(turn, *item) for item in story]
            self.used.clear()
        raise ValueError(f"no story of {count} facts belongs to the {self.split} split: raise first_facts or values")

    def _tell(self, turn: int, subject: int, slot: Slot, value: str) -> Told:
        """Note a new fact."""
        self.newcomers.setdefault(subject, turn)
        fact = Fact(subject, slot, value, turn)
        self.facts[subject, slot.name] = fact
        denied = self._draw(slot) if self.chance(self.config.negation_rate) else None
        if denied is not None:
            fact.denied.append(denied)
        return Told(fact, value, denied=denied)

    def tell_more(self, turn: int) -> Told | None:
        """Tell a new fact in a follow-up, or change an old one; None when nothing is left to tell."""
        if self.chance(self.config.change_rate):
            told = self._change(turn)
            if told is not None:
                return told
        while True:
            if not self._untold:
                if self.cast_size >= len(ROLES):
                    return None
                self.open_cast(1)
            subject, slot = self._untold.pop()
            value = self._draw(slot)
            if value is not None:
                self.used.add(value)
                return self._tell(turn, subject, slot, value)

    def _change(self, turn: int) -> Told | None:
        """Put a new value in the place of an old one, in the current story."""
        facts = [fact for fact in self.facts.values() if fact.slot.changes and fact.subject >= self.first_subject]
        if not facts:
            return None
        fact = facts[self.below(len(facts))]
        change = -1
        if fact.slot.numeric:
            now = NUMBERS[fact.value]
            totals = [n for w, n in NUMBERS.items() if w not in self.used and abs(n - now) in NUMBER_WORDS]
            if not totals:
                return None
            total = totals[self.below(len(totals))]
            value, said, change = NUMBER_WORDS[total], NUMBER_WORDS[abs(total - now)], int(total < now)
            fact.denied.append(said)
        else:
            drawn = self._draw(fact.slot)
            if drawn is None:
                return None
            value = said = drawn
        self.used.add(value)
        fact.past.append((fact.value, fact.told_at))
        fact.value, fact.told_at, fact.asked = value, turn, -1
        return Told(fact, said, change)

    # --- asking --------------------------------------------------------------------------------------------------

    def ask(
        self, turn: int, now: Told | None, *, first_only: bool = False, later_only: bool = False
    ) -> Question | None:
        """Choose what interaction ``turn`` asks for.

        Args:
            turn: index of the interaction.
            now: what the same query tells; it is not asked for, and a word of it is no right answer.
            first_only: only facts of the first interaction.
            later_only: only facts told after it.
        """
        said = {now.said, now.denied, now.fact.value} if now is not None else set()
        told = now.fact if now is not None else None
        facts = [fact for fact in self.facts.values() if fact is not told and fact.value not in said]
        if first_only or later_only:
            facts = [fact for fact in facts if (fact.told_at == 0) == first_only]
        facts = [fact for fact in facts if fact.asked < 0 or fact.asked < turn - 1] or facts
        if not self.config.reask:
            facts = [fact for fact in facts if fact.asked < 0] or facts
        if not facts:
            return None
        first = [fact for fact in facts if fact.told_at == 0]
        later = [fact for fact in facts if fact.told_at > 0]
        group = later if later and (not first or self.rng.random() < self.config.later_share) else first
        group = [fact for fact in group if fact.asked < 0] or group
        fact = group[self.below(len(group))]
        question = self._question(turn, fact, now, None if not (first_only or later_only) else first_only)
        self._last = question.kind
        if question.kind != "tally":
            question.fact.asked = turn
        if question.kind == "hop":
            self.facts[fact.subject, "name"].asked = turn
        return question

    def _question(self, turn: int, fact: Fact, now: Told | None, first: bool | None) -> Question:
        """A question about a fact: kinds are tried in a random, weighted order until one makes sense."""
        kinds = list(self.lexicon.kinds)
        while len(kinds) > 1:
            point = self.rng.random() * sum(weight for _, weight in kinds)
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
        for other in self.facts.values():
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
        if self.rng.random() < 0.5:
            return Question("check", fact, _ask("Yes", fact.told_at, ["No"], "yes_no"), fact.value)
        rivals = [word for word in self._recall(fact).ask.wrong if word != fact.value]
        other = rivals[self.below(len(rivals))] if rivals and self.rng.random() < 0.5 else self._draw(fact.slot)
        if other is None or other == fact.value:
            return None
        wrong = [other, *(value for value, _ in fact.past), *self.rivals(fact)]
        return Question("check", fact, _ask(fact.value, fact.told_at, wrong, fact.slot.name), other)

    def _who(self, fact: Fact, named: int) -> Question | None:
        if not fact.slot.who or fact.subject == named or len(self.newcomers) < 2:
            return None
        if fact.slot.numeric and sum(o.value == fact.value and o.slot is fact.slot for o in self.facts.values()) > 1:
            return None
        wrong = [self.roles[subject] for subject in self.newcomers if subject != fact.subject]
        return Question("who", fact, _ask(self.roles[fact.subject], fact.told_at, wrong, "who"))

    def _hop(self, fact: Fact, now: Told | None) -> Question | None:
        name = self.facts.get((fact.subject, "name"))
        if name is None or name is fact or not fact.slot.who or len(self.newcomers) < 2:
            return None
        if now is not None and now.fact is name:
            return None
        if fact.slot.numeric and sum(o.value == fact.value and o.slot is fact.slot for o in self.facts.values()) > 1:
            return None
        return Question("hop", fact, _ask(name.value, name.told_at, self.rivals(name), "name"))

    def _compare(self, named: int, now: Told | None) -> Question | None:
        """A question about everybody's numbers, whichever fact was chosen."""
        groups: dict[str, list[Fact]] = {}
        for fact in self.facts.values():
            if fact.slot.name in COMPARISONS and (now is None or now.fact.slot is not fact.slot):
                groups.setdefault(fact.slot.name, []).append(fact)
        names = [name for name, group in groups.items() if len(group) > 1]
        if not names:
            return None
        name = names[self.below(len(names))]
        index = self.below(len(COMPARISONS[name]))
        best = (max if COMPARISONS[name][index][2] else min)(groups[name], key=lambda fact: NUMBERS[fact.value])
        if best.subject == named or sum(fact.value == best.value for fact in groups[name]) > 1:
            return None
        wrong = [self.roles[subject] for subject in self.newcomers if subject != best.subject]
        return Question("compare", best, _ask(self.roles[best.subject], best.told_at, wrong, "compare"), str(index))

    def _tally(self, turn: int, fact: Fact, now: Told | None) -> Question | None:
        count = len(self.newcomers)
        latest = max(self.newcomers.values())
        if count not in NUMBER_WORDS or latest >= turn:
            return None
        value = NUMBER_WORDS[count]
        if now is not None and value in (now.said, now.denied):
            return None
        wrong = [NUMBER_WORDS[other] for other in range(2, 9) if other != count]
        return Question("tally", fact, _ask(value, latest, wrong, "tally"))


def _ask(value: str, told_at: int, wrong: list[str], slot: str) -> Ask:
    """An annotated fact; each wrong value once, in order, never the right one."""
    if not wrong:
        return Ask(value, told_at, (), slot)
    return Ask(value, told_at, tuple(dict.fromkeys(word for word in wrong if word != value)), slot)
