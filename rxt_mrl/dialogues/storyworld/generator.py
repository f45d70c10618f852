"""The storyworld in words: plots put into plain children's English.

Dialogue ``index`` of ``(seed, split)`` is a pure function of these and of the configuration: no dialogue depends on
those before it, so any of them can be made by anyone at any time.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

from ... import seeding
from ...contracts import Dialogue, Interaction
from ...errors import UserError
from .chooser import Chooser
from .config import Split, StoryworldConfig
from .lexicon import Lexicon
from .phrasing import COMPARISONS, OPENINGS, REQUESTS, RETURNS, SWITCHES, THANKS, UNKNOWN, UNKNOWN_VALUE
from .plots import Fact, Item, Plot, Told
from .questions import Examiner, Question
from .vocabulary import FILLERS, article

CONNECTIVES = ("Then ", "Later ", "Also ", "")
"""What a statement in a follow-up begins with."""


class Storyworld:
    """An endless, seeded source of dialogues.

    Args:
        config: the knobs.
    """

    def __init__(self, config: StoryworldConfig) -> None:
        self.config = config
        self.lexicon = Lexicon(config)

    def dialogue(self, split: Split, index: int, seed: int = 0) -> Dialogue:
        """Dialogue ``index`` of a split."""
        narrator = self._narrator("dialogue", split, index, seed)
        query, answer = narrator.first()
        follow_ups = narrator.long_range() if self.config.strategy == "long_range" else narrator.multi_step()
        return Dialogue(query, answer, tuple(follow_ups))

    def story(self, split: Split, index: int, seed: int = 0, *, facts: int | None = None) -> str:
        """A plain story of ``facts`` facts (None: ``first_facts``), for pre-training on texts."""
        narrator = self._narrator("story", split, index, seed)
        return narrator.story(0, self._count(facts))

    def pair(self, split: Split, index: int, seed: int = 0, *, facts: int = 2) -> tuple[str, str]:
        """A query that tells a few facts and asks for one of them, with its answer, for supervised fine-tuning."""
        narrator = self._narrator("pair", split, index, seed)
        text = narrator.story(0, self._count(facts))
        asked, answer = narrator.question(narrator.examine(1, None))
        return f"{text} {asked}", answer

    def _count(self, facts: int | None) -> int:
        """How many facts a story has, checked."""
        count = self.config.first_facts if facts is None else facts
        most = self.config.most_first_facts
        if not 2 <= count <= most:
            raise UserError(f"facts {count} is not possible: 2 to {most} (slots of the first characters)")
        return count

    def _narrator(self, purpose: str, split: Split, index: int, seed: int) -> Narrator:
        """The one that tells dialogue ``index``; its random stream is keyed, never shared."""
        rng = Random(seeding.key("storyworld", purpose, seed, split, index))
        return Narrator(Plot(self.lexicon, split, rng))


@lru_cache(maxsize=16)
def _world(settings: str) -> Storyworld:
    return Storyworld(StoryworldConfig.model_validate_json(settings))


def world(config: StoryworldConfig) -> Storyworld:
    """The storyworld of a configuration, made once."""
    return _world(config.model_dump_json())


class Narrator:
    """Tells one plot in words."""

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self.examiner = Examiner(plot)
        self.chooser = Chooser(plot)
        self.config = plot.config

    def pick(self, options: tuple[Item, ...]) -> Item:
        """One of the options."""
        return options[int(self.plot.rng.random() * len(options))]

    def frame(self, options: tuple[str, ...]) -> str:
        """One of the first ``phrasings`` options; slots have been cut to them already."""
        return self.pick(options[: self.config.phrasings])

    def sentence(self, template: str, fact: Fact, value: str, prefix: str = "") -> str:
        """A slot's template with its character and value; ``prefix`` stands before a sentence that begins with {S}."""
        return self._filled(template, fact, fact.slot.noun(value), prefix)

    def _filled(self, template: str, fact: Fact, noun: str, prefix: str = "") -> str:
        role = self.plot.roles[fact.subject]
        start = f"{prefix}the {role}" if prefix else f"The {role}"
        return template.format(s=f"the {role}", S=start, n=noun)

    # --- statements ----------------------------------------------------------------------------------------------

    def story(self, turn: int, count: int, characters: int | None = None) -> str:
        """A new story: its opening and ``count`` facts."""
        self.plot.open_cast(characters if characters is not None else self.config.first_characters)
        return self._narrate(self.plot.tell_story(turn, count))

    def _narrate(self, told: list[Told]) -> str:
        sentences: list[str] = []
        known: set[int] = set()
        for item in told:
            subject = item.fact.subject
            if subject not in known:
                role = self.plot.roles[subject]
                who = f"{article(role)} {role}"
                also = "There was also {r}." if known else self.frame(OPENINGS)
                known.add(subject)
                if item.fact.slot.name == "name" and item.denied is None:
                    sentences.append(also.format(r=f"{who} named {item.said}"))
                    continue
                sentences.append(also.format(r=who))
            sentences.append(self.statement(item))
        return " ".join(sentences)

    def statement(self, told: Told, prefix: str = "") -> str:
        """A fact, told or changed."""
        slot = told.fact.slot
        if not told.changed:
            text = self.sentence(self.pick(slot.says)[0], told.fact, told.said, prefix)
        elif slot.numeric:
            text = self.sentence(slot.changes[told.fewer], told.fact, told.said)
        else:
            text = self.sentence(self.pick(slot.changes), told.fact, told.said)
        return f"{text[:-1]}, not {slot.noun(told.denied)}." if told.denied is not None else text

    def thanks(self, facts: list[Fact]) -> str:
        """The answer to a told story: acknowledged, and a few of its facts repeated."""
        count = min(self.config.retell, len(facts))
        again = [self.sentence(self.pick(fact.slot.says)[0], fact, fact.value) for fact in facts[:count]]
        return " ".join([self.frame(THANKS), *again])

    # --- questions -----------------------------------------------------------------------------------------------

    def question(self, question: Question) -> tuple[str, str]:
        """The question and its answer."""
        fact, slot = question.fact, question.fact.slot
        if question.kind == "tally":
            value = question.ask.value
            return "How many characters do we know by now?", f"We know {value} characters by now."
        if question.kind == "compare":
            asked, answer, _ = COMPARISONS[slot.name][int(question.other)]
            return asked, self.sentence(answer, fact, fact.value)
        wording = self.pick(slot.says)
        if question.kind == "untold":
            in_place = self._filled(wording[0], fact, UNKNOWN_VALUE)
            return self._filled(wording[1], fact, ""), in_place if self.config.unknown == "in_place" else UNKNOWN
        told = self.sentence(wording[0], fact, fact.value)
        if question.kind == "check":
            reply = "Yes" if question.other == fact.value else "No"
            return self.sentence(slot.check, fact, question.other), f"{reply}, {told[0].lower()}{told[1:]}"
        if question.kind == "who":
            return self.sentence(slot.who, fact, fact.value), told
        if question.kind == "hop":
            name = self.plot.facts[fact.subject, "name"]
            who = self.sentence(slot.who, fact, fact.value)
            asked = f"What was the name of the person {who[0].lower()}{who[1:]}"
            return asked, self.sentence(self.pick(name.slot.says)[0], name, name.value)
        asked = self.sentence(wording[1], fact, fact.value)
        if question.kind == "before":
            told = self.sentence(wording[0], fact, question.ask.value)
            return f"At first, {asked[0].lower()}{asked[1:]}", f"At first {told[0].lower()}{told[1:]}"
        if fact.past and self.plot.chance(0.5):
            asked = f"In the end, {asked[0].lower()}{asked[1:]}"
        return asked, told

    # --- dialogues -----------------------------------------------------------------------------------------------

    def first(self) -> tuple[str, str]:
        """The first interaction: a story, told by the user or by the agent."""
        text = self.story(0, self.config.first_facts)
        opening = self.config.opening
        if opening == "requested" or (opening == "both" and self.plot.rng.random() < 0.5):
            role = self.plot.roles[0]
            return self.frame(REQUESTS).format(r=f"{article(role)} {role}"), text
        return text, self.thanks(list(self.plot.facts.values()))

    def follow_up(self, turn: int, *, first_only: bool = False, later_only: bool = False) -> Interaction:
        """An interaction that may tell something, and asks for something told before."""
        parts: list[str] = []
        told: Told | None = None
        if self.plot.chance(self.config.filler_rate):
            parts.append(self.pick(FILLERS))
        if not first_only and (turn == 1 or self.plot.chance(self.config.tell_rate)):
            told = self.plot.tell_more(turn)
            if told is not None:
                parts.append(self.statement(told, self.frame(CONNECTIVES)))
        if not first_only and self.plot.chance(self.config.own_words):
            decision = self.chooser.decide(turn)
            if decision is not None:
                return Interaction(" ".join([*parts, decision.query]), decision.answer, decision.asks)
        question = self.examine(turn, told, first_only=first_only, later_only=later_only)
        asked, answer = self.question(question)
        if first_only and self.config.phrasings > 1 and self.plot.rng.random() < 0.5:
            parts.append(self.frame(RETURNS))
        return Interaction(" ".join([*parts, asked]), answer, (question.ask,))

    def examine(self, turn: int, told: Told | None, *, first_only: bool = False, later_only: bool = False) -> Question:
        """What interaction ``turn`` asks for: a fact, or now and then what was not told yet."""
        if not first_only and self.plot.chance(self.config.unanswerable):
            untold = self.examiner.ask_untold()
            if untold is not None:
                return untold
        question = self.examiner.ask(turn, told, first_only=first_only, later_only=later_only)
        assert question is not None, "the first story has at least two facts, so one is left to ask for"
        return question

    def multi_step(self) -> list[Interaction]:
        """Follow-ups on the first story and its continuation."""
        self.plot.open_cast(self.config.characters - self.config.first_characters)
        return [self.follow_up(turn) for turn in range(1, self.config.steps + 1)]

    def long_range(self) -> list[Interaction]:
        """Other stories in between; the last follow-up returns to the first."""
        steps, topics = self.config.steps, self.config.topics
        self.plot.reserved = topics
        switches = {1 + topic * (steps - 1) // topics for topic in range(topics)} - {steps}
        follow_ups: list[Interaction] = []
        for turn in range(1, steps):
            if turn in switches:
                follow_ups.append(self.switch(turn))
            else:
                follow_ups.append(self.follow_up(turn, later_only=True))
        return [*follow_ups, self.follow_up(steps, first_only=True)]

    def switch(self, turn: int) -> Interaction:
        """The beginning of another story; nothing is asked for."""
        self.plot.leave()
        self.plot.reserved -= 1
        before = len(self.plot.facts)
        text = self.story(turn, max(2, self.config.first_facts // 2), characters=1)
        facts = list(self.plot.facts.values())[before:]
        return Interaction(f"{self.frame(SWITCHES)} {text}", self.thanks(facts))
