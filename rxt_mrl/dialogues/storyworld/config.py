"""How hard the storyworld's dialogues are: a level sets every knob, and a knob that is given overrides it."""

from __future__ import annotations

from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from ...contracts import Strategy
from ...settings import Settings
from .choices import CHOICES
from .phrasing import BY_NAME, SLOTS
from .vocabulary import FAMILIES, ROLES

Level = Literal["easy", "medium", "hard"]

Split = Literal["train", "validation", "test"]

Kind = Literal["recall", "before", "check", "who", "hop", "compare", "tally"]
"""Kinds of questions, see :class:`QuestionWeights`."""

KINDS: tuple[Kind, ...] = get_args(Kind)

PHRASINGS = 4
"""The most phrasings that a slot has."""


class QuestionWeights(Settings):
    """How often each kind of question is asked, where it can be: relative weights."""

    recall: float = Field(default=1.0, ge=0)
    """The newest value: "What colour was the boy's toy?"."""
    before: float = Field(default=0.0, ge=0)
    """The value before all changes: "What colour was the boy's toy at first?"."""
    check: float = Field(default=0.0, ge=0)
    """Yes or no: "Was the boy's toy red?" - "No, the boy's toy was blue."."""
    who: float = Field(default=0.0, ge=0)
    """The character: "Whose toy was red?"."""
    hop: float = Field(default=0.0, ge=0)
    """Two facts: "What was the name of the person whose toy was red?"."""
    compare: float = Field(default=0.0, ge=0)
    """Numbers of all characters: "Who was the oldest?"."""
    tally: float = Field(default=0.0, ge=0)
    """Counting over the dialogue: "How many toys do we know of?"."""

    @model_validator(mode="after")
    def _recall_is_possible(self) -> Self:
        if self.recall <= 0:
            raise ValueError(f"recall must be above 0, got {self.recall}: it is the only kind that is always possible")
        return self


class StoryworldConfig(Settings):
    """What the generator's dialogues are like.

    ``level`` gives every knob below it a value (see ``LEVELS``); a knob that is given replaces the level's. A given
    ``questions`` replaces the level's weights as a whole.
    """

    steps: int = Field(default=4, ge=1, le=10_000)
    """Follow-ups of a dialogue."""
    strategy: Strategy = "multi_step"
    level: Level = "easy"

    slots: int | tuple[str, ...] = 10
    """How many kinds of facts (the plain ones first), or their names."""
    values: int = Field(default=20, ge=5)
    """Values of each slot (numbers: all 22): guessing scores one in this many."""
    held_out_values: int = Field(default=0, ge=0)
    """If above 0: validation and test use this many values of each slot that train never uses there (numbers apart)."""
    phrasings: int = Field(default=2, ge=1, le=PHRASINGS)
    """Phrasings of each statement, question and answer."""
    first_facts: int = Field(default=3, ge=2)
    """Facts that the first interaction tells."""
    first_characters: int = Field(default=1, ge=1)
    """Characters that the first interaction is about."""
    characters: int = Field(default=1, ge=1)
    """Characters that follow-ups tell about at random; another one comes in when nothing is left to tell."""
    roles: int = Field(default=2, ge=1, le=len(ROLES))
    """The characters are drawn from this many roles ("boy", "girl", ...) before any others."""
    topics: int = Field(default=1, ge=1)
    """Long range: how many other stories come in between."""
    tell_rate: float = Field(default=0.75, ge=0, le=1)
    """Probability that a follow-up tells something before it asks; the first follow-up always does."""
    change_rate: float = Field(default=0.0, ge=0, le=1)
    """Probability that what is told changes a fact told before."""
    negation_rate: float = Field(default=0.0, ge=0, le=1)
    """Probability that a statement also says what was not so ("red, not blue")."""
    filler_rate: float = Field(default=0.0, ge=0, le=1)
    """Probability of a sentence that tells nothing, before a follow-up's statement or question."""
    later_share: float = Field(default=0.6, ge=0, le=1)
    """Probability of asking for a fact told after the first interaction, where both kinds are there. More than a half,
    because the first follow-up has nothing else to ask for than the first interaction."""
    reask: bool = True
    """Whether a fact may be asked again while others have never been asked (never twice running).
    Without it, ``later_share`` gives way to facts that have not been asked."""
    own_words: float = Field(default=0.0, ge=0, le=1)
    """Share of the follow-ups that let the agent choose something, or ask what it chose (the last one of a long-range
    dialogue apart)."""
    unanswerable: float = Field(default=0.0, ge=0, le=1)
    """Share of the other questions that are about what was not told yet: "I do not know."."""
    unknown: Literal["apart", "in_place"] = "apart"
    """How the reference says that it does not know: in a sentence of its own ("I do not know."), or with the question's
    words, so that it parts from a real answer at the value only ("The boy's toy was something unknown.")."""
    retell: int = Field(default=0, ge=0)
    """How many of its facts the answer to a story repeats."""
    opening: Literal["told", "requested", "both"] = "told"
    """Who tells the first story: the user in the query, or the agent in the answer."""
    questions: QuestionWeights = QuestionWeights()

    @model_validator(mode="before")
    @classmethod
    def _fill_from_level(cls, data: Any) -> Any:
        if isinstance(data, dict):
            level = data.get("level", "easy")
            if isinstance(level, str) and level in LEVELS:
                return {**LEVELS[level], **data}
        return data

    @model_validator(mode="after")
    def _possible(self) -> Self:
        names = self.slot_names
        unknown = [name for name in names if name not in BY_NAME]
        if unknown:
            raise ValueError(f"slots {unknown} do not exist; there are {list(BY_NAME)}")
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"slots {list(names)}: at least one, each named once")
        if isinstance(self.slots, int) and not 1 <= self.slots <= len(SLOTS):
            raise ValueError(f"slots {self.slots} is not possible: 1 to {len(SLOTS)}")
        for name in names:
            slot = BY_NAME[name]
            have = len(FAMILIES[slot.family])
            need = self.values + self.held_out_values
            if need > have and not slot.numeric:
                raise ValueError(f"values + held_out_values {need} is too many: slot {name!r} has {have} words")
        for choice in CHOICES if self.own_words else ():
            have = len(FAMILIES[choice.family])
            if self.values + self.held_out_values > have:
                need = self.values + self.held_out_values
                raise ValueError(f"values + held_out_values {need} is too many: {choice.name!r} has {have} words")
        if all(BY_NAME[name].scope == "story" for name in names):
            raise ValueError(f"slots {list(names)}: at least one must be about a character")
        if self.first_facts > self.most_first_facts:
            raise ValueError(
                f"first_facts {self.first_facts} is too many for {len(names)} slots and "
                f"{self.first_characters} first characters: at most {self.most_first_facts}"
            )
        if self.first_characters > self.characters:
            raise ValueError(f"first_characters {self.first_characters} is above characters {self.characters}")
        cast = self.characters + (self.topics if self.strategy == "long_range" else 0)
        if cast > len(ROLES):
            raise ValueError(f"characters and topics need {cast} roles, there are {len(ROLES)}")
        return self

    @property
    def slot_names(self) -> tuple[str, ...]:
        """The slots in use, by name."""
        if isinstance(self.slots, int):
            return tuple(slot.name for slot in SLOTS[: self.slots])
        return self.slots

    @property
    def most_first_facts(self) -> int:
        """How many facts there are about the first characters, and about their story."""
        slots = [BY_NAME[name] for name in self.slot_names]
        return sum(self.first_characters if slot.scope == "character" else 1 for slot in slots)


LEVELS: dict[str, dict[str, Any]] = {
    "easy": {},
    "medium": {
        "slots": 18,
        "phrasings": 3,
        "first_facts": 5,
        "characters": 2,
        "roles": 12,
        "tell_rate": 0.9,
        "change_rate": 0.2,
        "negation_rate": 0.1,
        "retell": 1,
        "questions": {"recall": 0.8, "check": 0.1, "who": 0.1},
    },
    "hard": {
        "slots": len(SLOTS),
        "phrasings": PHRASINGS,
        "first_facts": 8,
        "first_characters": 2,
        "characters": 4,
        "roles": len(ROLES),
        "topics": 2,
        "tell_rate": 0.9,
        "change_rate": 0.3,
        "negation_rate": 0.2,
        "filler_rate": 0.3,
        "retell": 2,
        "opening": "both",
        "questions": {
            "recall": 0.5,
            "before": 0.1,
            "check": 0.1,
            "who": 0.1,
            "hop": 0.1,
            "compare": 0.1,
            "tally": 0.05,
        },
    },
}
"""Knobs by level. Easy is what the fields' defaults say: one character, short sentences, plain questions."""
