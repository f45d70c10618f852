"""The bundled dialogues of ``reward check``: questions with answers of every kind, good ones and tricks.

Each case is a small dialogue in which a fact is told, then changed, then asked for. Kinds that can be derived (an
echo, a copy, another dialogue's answer) are; the others are written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..contracts import NEVER_TOLD, Ask, Mode, RewardContext

Kind = Literal[
    "right",
    "paraphrase",
    "short",
    "wrong value",
    "outdated value",
    "negated",
    "empty",
    "echo of the query",
    "copy of the saved interaction",
    "list of all values",
    "repetition",
    "other dialogue",
    "abstention",
    "abstention where nothing was told",
    "made up where nothing was told",
]

GOOD: tuple[Kind, ...] = ("right", "paraphrase", "short", "abstention where nothing was told")
"""Answers that deserve the reward."""

KINDS: dict[Kind, str] = {
    "right": "the reference answer",
    "paraphrase": "the fact in other words",
    "short": "the fact alone",
    "wrong value": "another value in the reference's words",
    "outdated value": "the value before it changed",
    "negated": "the reference denied",
    "empty": "no word",
    "echo of the query": "the question itself",
    "copy of the saved interaction": "the last interaction word by word, which tells the fact",
    "list of all values": "every value there is, the right one among them",
    "repetition": "the reference over and over",
    "other dialogue": "the right answer of another dialogue (a shuffled memory)",
    "abstention": "not to know what was told",
    "abstention where nothing was told": "not to know what nobody told: the right answer to another question",
    "made up where nothing was told": "a value where nobody told one",
}
"""What is checked, and what it is."""

NEVER_TOLD_KINDS: tuple[Kind, ...] = ("abstention where nothing was told", "made up where nothing was told")
"""Answers to the question about what was never told."""

ABSTENTION = "I do not know."

_REPEATS = 5


@dataclass(frozen=True)
class Case:
    """A dialogue of two interactions and the question that follows."""

    told: tuple[str, str]
    changed: tuple[str, str]
    query: str
    reference: str
    paraphrase: str
    negated: str
    value: str
    old: str
    others: tuple[str, ...]
    slot: str
    untold: str
    made_up: str

    def answer(self, kind: Kind, saved: tuple[str, str], query: str, other: Case) -> str:
        """The answer of a kind, to ``query`` after the interaction ``saved``."""
        if kind == "paraphrase":
            return self.paraphrase
        if kind == "short":
            return f"{self.value[0].upper()}{self.value[1:]}."
        if kind == "wrong value":
            return self.with_value(self.others[0])
        if kind == "outdated value":
            return self.with_value(self.old)
        if kind == "negated":
            return self.negated
        if kind == "empty":
            return ""
        if kind == "echo of the query":
            return query
        if kind == "copy of the saved interaction":
            return " ".join(saved)
        if kind == "list of all values":
            values = (*self.others, self.old, self.value)
            return f"{', '.join(values[:-1])} and {values[-1]}."
        if kind == "repetition":
            return " ".join([self.reference] * _REPEATS)
        if kind == "other dialogue":
            return other.reference
        if kind in ("abstention", "abstention where nothing was told"):
            return ABSTENTION
        if kind == "made up where nothing was told":
            return self.made_up
        return self.reference

    def with_value(self, value: str) -> str:
        """The reference with another value."""
        return self.reference.replace(self.value, value)

    @property
    def ask(self) -> Ask:
        """The fact as an annotated dialogue has it."""
        return Ask(self.value, told_at=1, wrong=(self.old, *self.others), slot=self.slot)

    @property
    def untold_ask(self) -> Ask:
        """What was never told, as an annotated dialogue has it."""
        return Ask("", NEVER_TOLD, wrong=(self.value, self.old, *self.others), slot=self.slot)


CASES: tuple[Case, ...] = (
    Case(
        told=("I have a dog. His name was Spot at first. Say hello!", "Hello, Spot!"),
        changed=("We gave my dog a new name. His name is Rex now.", "Rex is a good name for a dog."),
        query="What is my dog's name?",
        reference="Your dog's name is Rex.",
        paraphrase="You told me that he is called Rex.",
        negated="Your dog's name is not Rex.",
        value="Rex",
        old="Spot",
        others=("Buddy", "Fluffy", "Milo", "Toby"),
        slot="name",
        untold="What is my cat's name?",
        made_up="Your cat's name is Milo.",
    ),
    Case(
        told=("Once there was a girl with a blue hat. She loved to sing.", "What a nice hat the girl had!"),
        changed=("Then the girl painted her hat. Now the hat was red.", "A red hat suits the girl well."),
        query="What colour was the girl's hat in the end?",
        reference="The girl's hat was red.",
        paraphrase="In the end it had a red colour.",
        negated="The girl's hat was not red.",
        value="red",
        old="blue",
        others=("green", "yellow", "purple", "white"),
        slot="color",
        untold="What colour were the girl's shoes?",
        made_up="The girl's shoes were green.",
    ),
    Case(
        told=("Tom went to the beach. He was looking for his ball.", "I hope Tom finds it there."),
        changed=("The ball was not there, so Tom walked to the forest.", "Maybe the forest is the right place."),
        query="Where is Tom now?",
        reference="Tom is in the forest.",
        paraphrase="He went off and walked to the forest.",
        negated="Tom is not in the forest.",
        value="forest",
        old="beach",
        others=("garden", "school", "market", "castle"),
        slot="place",
        untold="Where does Tom live?",
        made_up="Tom lives near the castle.",
    ),
    Case(
        told=("A little frog lived by the pond. It ate bread every day.", "The frog must like bread."),
        changed=("But the bread was gone, and the frog began to eat cheese.", "Cheese is good for a hungry frog."),
        query="What does the frog eat these days?",
        reference="The frog eats cheese.",
        paraphrase="Its food is cheese, as you said.",
        negated="The frog does not eat cheese.",
        value="cheese",
        old="bread",
        others=("honey", "soup", "rice", "cake"),
        slot="food",
        untold="What did the frog give to its friend?",
        made_up="The frog gave its friend some cake.",
    ),
    Case(
        told=("Anna was sad because it rained. She stayed in her room.", "Poor Anna!"),
        changed=("When the sun came out, Anna felt happy and ran outside.", "I am glad that Anna is happy."),
        query="How does Anna feel at the end?",
        reference="At the end Anna feels happy.",
        paraphrase="She is a happy girl again.",
        negated="At the end Anna does not feel happy.",
        value="happy",
        old="sad",
        others=("angry", "tired", "scared", "proud"),
        slot="feeling",
        untold="How did Anna's brother feel?",
        made_up="Anna's brother felt tired.",
    ),
    Case(
        told=("The pirate had three coins in his box. He was very old.", "Three coins are not many."),
        changed=("Last night he found more. Now he has seven coins.", "Seven coins, what a lucky pirate!"),
        query="How many coins has the pirate got?",
        reference="The pirate has seven coins.",
        paraphrase="By now there are seven of them in the box.",
        negated="The pirate does not have seven coins.",
        value="seven",
        old="three",
        others=("two", "five", "nine", "twelve"),
        slot="number",
        untold="How many ships has the pirate got?",
        made_up="The pirate has five ships.",
    ),
    Case(
        told=("My uncle came to us by train. It took the whole day.", "That was a long trip by train."),
        changed=("For the way home he took a boat.", "A boat is a fine way to travel."),
        query="How did my uncle travel home?",
        reference="Your uncle travelled home by boat.",
        paraphrase="He took a boat on his way back.",
        negated="Your uncle did not travel home by boat.",
        value="boat",
        old="train",
        others=("bus", "truck", "plane", "sled"),
        slot="vehicle",
        untold="How did my aunt travel?",
        made_up="Your aunt travelled by bus.",
    ),
    Case(
        told=("The king wanted to be a baker. Nobody believed him.", "A king who bakes, how funny!"),
        changed=(
            "Now the king has changed his mind, he wants to be a sailor.",
            "Then the king should learn to be a sailor.",
        ),
        query="What does the king want to be?",
        reference="The king wants to be a sailor.",
        paraphrase="It is his wish to become a sailor.",
        negated="The king does not want to be a sailor.",
        value="sailor",
        old="baker",
        others=("farmer", "doctor", "painter", "teacher"),
        slot="job",
        untold="What does the queen want to be?",
        made_up="The queen wants to be a doctor.",
    ),
)


@dataclass(frozen=True)
class Batch:
    """All cases in all kinds as one batch: row ``case * len(kinds) + kind``."""

    context: RewardContext
    kinds: tuple[Kind, ...]


def batch(mode: Mode = "standard", columns: Mapping[str, Any] | None = None) -> Batch:
    """The bundled cases as a context, with the same ``columns`` in each.

    In mode ``topic_switch`` the history is another case's, and the query tells the newest value before it asks.
    """
    kinds = tuple(KINDS)
    queries: list[str] = []
    answers: list[str] = []
    references: list[str] = []
    histories: list[list[tuple[str, str]]] = []
    asks: list[tuple[Ask, ...]] = []
    for index, case in enumerate(CASES):
        other = CASES[(index + 1) % len(CASES)]
        past = other if mode == "topic_switch" else case
        told = f"{case.changed[0]} " if mode == "topic_switch" else ""
        history = [past.told, past.changed]
        saved = history[0] if mode == "return" else history[-1]
        for kind in kinds:
            never = kind in NEVER_TOLD_KINDS
            query = told + (case.untold if never else case.query)
            queries.append(query)
            answers.append(case.answer(kind, saved, query, other))
            references.append(ABSTENTION if never else case.reference)
            histories.append(history)
            asks.append((case.untold_ask if never else case.ask,))
    context = RewardContext.from_text(
        queries, answers, references, history=histories, asks=asks, mode=mode,
        columns={name: [value] * len(queries) for name, value in (columns or {}).items()},
    )  # fmt: skip
    return Batch(context, kinds)
