"""What can be said about a character, and how: the slots of the storyworld with their sentences.

In a template ``{s}`` is the character ("the boy"), ``{S}`` the same at the start of a sentence, and ``{n}`` the value
with the article that the slot wants ("a dog", "the lake", "red"). The first phrasings of each list are the plain
ones; a level uses the first few of each. A sentence holds nothing from which another fact could be guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .vocabulary import article


@dataclass(frozen=True, slots=True)
class Slot:
    """A kind of fact.

    Attributes:
        name: ``"pet"``.
        family: whose words are its values.
        form: the article in front of a value.
        tells: statements that tell the fact.
        asks: questions for it.
        answers: statements that answer them.
        check: a question to be answered with yes or no.
        who: a question for the character; empty for facts of the whole story.
        changes: statements that put a new value in the place of the old one; empty: it never changes.
        start: the first word of the slot's window into its family.
        scope: a fact of one character, or of the whole story (told about the first character's story only).
    """

    name: str
    family: str
    form: Literal["", "a", "the"]
    tells: tuple[str, ...]
    asks: tuple[str, ...]
    answers: tuple[str, ...]
    check: str
    who: str = ""
    changes: tuple[str, ...] = ()
    start: int = 0
    scope: Literal["character", "story"] = "character"

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers, which can be compared and added."""
        return self.family == "numbers"

    def noun(self, value: str) -> str:
        """The value with its article: ``"a dog"``."""
        if self.form == "a":
            return f"{article(value)} {value}"
        return f"the {value}" if self.form else value


SLOTS: tuple[Slot, ...] = (
    Slot(
        "name",
        "people",
        "",
        tells=("{S} was named {n}.", "{S}'s name was {n}.", "The name of {s} was {n}.", "People called {s} {n}."),
        asks=(
            "What was {s}'s name?",
            "What was the name of {s}?",
            "How was {s} named?",
            "What did people call {s}?",
        ),
        answers=("{S}'s name was {n}.", "{S} was named {n}.", "The name of {s} was {n}."),
        check="Was {s} named {n}?",
        who="Who was named {n}?",
    ),
    Slot(
        "pet",
        "animals",
        "a",
        tells=("{S} had {n}.", "{S}'s pet was {n}.", "{S} kept {n}.", "At home {s} took care of {n}."),
        asks=(
            "What pet did {s} have?",
            "What was {s}'s pet?",
            "Which animal did {s} keep?",
            "Which animal did {s} take care of at home?",
        ),
        answers=("{S} had {n}.", "{S}'s pet was {n}.", "{S} kept {n}."),
        check="Was {s}'s pet {n}?",
        who="Whose pet was {n}?",
        changes=("Then {s} gave the pet away and got {n}.", "After that {s}'s new pet was {n}."),
    ),
    Slot(
        "pet_name",
        "pet_names",
        "",
        tells=(
            "{S}'s pet was called {n}.",
            "{S} called the pet {n}.",
            "The name of {s}'s pet was {n}.",
            "{S} gave the pet the name {n}.",
        ),
        asks=(
            "What was {s}'s pet called?",
            "What did {s} call the pet?",
            "What was the name of {s}'s pet?",
            "Which name did {s} give the pet?",
        ),
        answers=("{S}'s pet was called {n}.", "{S} called the pet {n}.", "The name of {s}'s pet was {n}."),
        check="Was {s}'s pet called {n}?",
        who="Whose pet was called {n}?",
    ),
    Slot(
        "toy",
        "things",
        "a",
        tells=(
            "{S} played with {n}.",
            "{S}'s toy was {n}.",
            "{S} had {n} to play with.",
            "All day {s} played with {n}.",
        ),
        asks=(
            "What did {s} play with?",
            "What was {s}'s toy?",
            "Which toy did {s} have?",
            "What did {s} have to play with all day?",
        ),
        answers=("{S} played with {n}.", "{S}'s toy was {n}.", "{S} had {n} to play with."),
        check="Did {s} play with {n}?",
        who="Who played with {n}?",
        changes=("Then {s} played with {n} instead.", "After that {s}'s new toy was {n}."),
    ),
    Slot(
        "colour",
        "colours",
        "",
        tells=(
            "The toy of {s} was {n}.",
            "{S}'s toy had the colour {n}.",
            "The colour of {s}'s toy was {n}.",
            "{S}'s toy was painted {n}.",
        ),
        asks=(
            "What colour was {s}'s toy?",
            "Which colour did {s}'s toy have?",
            "What was the colour of {s}'s toy?",
            "How was {s}'s toy painted?",
        ),
        answers=("The toy of {s} was {n}.", "{S}'s toy was {n}.", "The colour of {s}'s toy was {n}."),
        check="Was {s}'s toy {n}?",
        who="Whose toy was {n}?",
        changes=("Then {s} painted the toy {n}.", "After that {s}'s toy was {n}."),
    ),
    Slot(
        "place",
        "places",
        "the",
        tells=("{S} went to {n}.", "{S} walked to {n}.", "{S} visited {n}.", "That morning {s} ran to {n}."),
        asks=(
            "Where did {s} go?",
            "Where did {s} walk to?",
            "Which place did {s} visit?",
            "To what place did {s} run?",
        ),
        answers=("{S} went to {n}.", "{S} walked to {n}.", "{S} visited {n}."),
        check="Did {s} go to {n}?",
        who="Who went to {n}?",
        changes=("Then {s} left and went to {n}.", "After that {s} was at {n}."),
    ),
    Slot(
        "food",
        "foods",
        "",
        tells=("{S} ate {n}.", "{S} had {n} to eat.", "The lunch of {s} was {n}.", "At noon {s} ate some {n}."),
        asks=(
            "What did {s} eat?",
            "What did {s} have to eat?",
            "What was {s}'s lunch?",
            "What was eaten by {s} at noon?",
        ),
        answers=("{S} ate {n}.", "{S} had {n} to eat.", "The lunch of {s} was {n}."),
        check="Did {s} eat {n}?",
        who="Who ate {n}?",
    ),
    Slot(
        "feeling",
        "feelings",
        "",
        tells=("{S} felt {n}.", "{S} was {n}.", "{S} was feeling {n}.", "In the morning {s} felt very {n}."),
        asks=("How did {s} feel?", "How was {s}?", "How was {s} feeling?", "What kind of feeling did {s} have?"),
        answers=("{S} felt {n}.", "{S} was {n}.", "{S} was feeling {n}."),
        check="Did {s} feel {n}?",
        who="Who felt {n}?",
        changes=("Then {s} felt {n}.", "After that {s} was {n}."),
    ),
    Slot(
        "weather",
        "weather",
        "",
        tells=("The day was {n}.", "The weather was {n}.", "It was a day with {n} weather.", "Outside it was {n}."),
        asks=("How was the day?", "How was the weather?", "What kind of weather was it?", "How was it outside?"),
        answers=("The day was {n}.", "The weather was {n}.", "Outside it was {n}."),
        check="Was the weather {n}?",
        changes=("Then the weather changed and the day was {n}.", "After that the weather was {n}."),
        scope="story",
    ),
    Slot(
        "dream",
        "jobs",
        "a",
        tells=(
            "{S} wanted to be {n}.",
            "{S} hoped to become {n}.",
            "{S}'s dream was to be {n}.",
            "Some day {s} would like to work as {n}.",
        ),
        asks=(
            "What did {s} want to be?",
            "What did {s} hope to become?",
            "What was {s}'s dream?",
            "As what would {s} like to work some day?",
        ),
        answers=("{S} wanted to be {n}.", "{S} hoped to become {n}.", "{S}'s dream was to be {n}."),
        check="Did {s} want to be {n}?",
        who="Who wanted to be {n}?",
        changes=("Then {s} changed plans and wanted to be {n}.", "After that {s}'s dream was to be {n}."),
    ),
    Slot(
        "vehicle",
        "vehicles",
        "",
        tells=("{S} came by {n}.", "{S} travelled by {n}.", "{S} took a trip by {n}.", "On the trip {s} moved by {n}."),
        asks=(
            "How did {s} come?",
            "How did {s} travel?",
            "What did {s} take for the trip?",
            "By what did {s} move on the trip?",
        ),
        answers=("{S} came by {n}.", "{S} travelled by {n}.", "{S} took a trip by {n}."),
        check="Did {s} come by {n}?",
        who="Who came by {n}?",
        changes=("Then {s} went on by {n}.", "After that {s} travelled by {n}."),
    ),
    Slot(
        "clothes",
        "clothes",
        "a",
        tells=("{S} wore {n}.", "{S} put on {n}.", "{S} was dressed in {n}.", "That day {s} was wearing {n}."),
        asks=(
            "What did {s} wear?",
            "What did {s} put on?",
            "What was {s} dressed in?",
            "What was {s} wearing that day?",
        ),
        answers=("{S} wore {n}.", "{S} put on {n}.", "{S} was dressed in {n}."),
        check="Did {s} wear {n}?",
        who="Who wore {n}?",
        changes=("Then {s} changed and wore {n}.", "After that {s} put on {n}."),
    ),
    Slot(
        "found",
        "things",
        "a",
        tells=("{S} found {n}.", "{S} picked up {n}.", "On the ground {s} found {n}.", "{S} came upon {n}."),
        asks=(
            "What did {s} find?",
            "What did {s} pick up?",
            "What was it that {s} found on the ground?",
            "What did {s} come upon?",
        ),
        answers=("{S} found {n}.", "{S} picked up {n}.", "On the ground {s} found {n}."),
        check="Did {s} find {n}?",
        who="Who found {n}?",
        start=20,
    ),
    Slot(
        "friend",
        "people",
        "",
        tells=(
            "{S}'s friend was {n}.",
            "{S} had a friend named {n}.",
            "The best friend of {s} was {n}.",
            "{S} was friends with {n}.",
        ),
        asks=(
            "Who was {s}'s friend?",
            "What was the name of {s}'s friend?",
            "Who was the best friend of {s}?",
            "Who was {s} friends with?",
        ),
        answers=("{S}'s friend was {n}.", "{S} had a friend named {n}.", "The best friend of {s} was {n}."),
        check="Was {n} the friend of {s}?",
        who="Whose friend was {n}?",
        start=20,
    ),
    Slot(
        "wild",
        "animals",
        "a",
        tells=("{S} saw {n}.", "{S} met {n}.", "On the way {s} saw {n}.", "Behind a tree {s} spotted {n}."),
        asks=(
            "What animal did {s} see?",
            "What animal did {s} meet?",
            "Which animal was on {s}'s way?",
            "Which animal did {s} spot behind a tree?",
        ),
        answers=("{S} saw {n}.", "{S} met {n}.", "On the way {s} saw {n}."),
        check="Did {s} see {n}?",
        who="Who saw {n}?",
        start=20,
    ),
    Slot(
        "home",
        "places",
        "the",
        tells=(
            "{S} lived near {n}.",
            "{S}'s home was near {n}.",
            "{S}'s house stood by {n}.",
            "{S} slept close to {n}.",
        ),
        asks=(
            "Where did {s} live?",
            "Where was {s}'s home?",
            "Where did {s}'s house stand?",
            "What was close to where {s} slept?",
        ),
        answers=("{S} lived near {n}.", "{S}'s home was near {n}.", "{S}'s house stood by {n}."),
        check="Did {s} live near {n}?",
        who="Who lived near {n}?",
        changes=("Then {s} moved and lived near {n}.", "After that {s}'s home was near {n}."),
        start=20,
    ),
    Slot(
        "treat",
        "foods",
        "",
        tells=(
            "{S} liked {n} best.",
            "{S}'s best treat was {n}.",
            "For {s} the best food was {n}.",
            "Most of all {s} loved {n}.",
        ),
        asks=(
            "What food did {s} like best?",
            "What was {s}'s best treat?",
            "What was the best food for {s}?",
            "Which food did {s} love most of all?",
        ),
        answers=("{S} liked {n} best.", "{S}'s best treat was {n}.", "For {s} the best food was {n}."),
        check="Did {s} like {n} best?",
        who="Who liked {n} best?",
        changes=("Then {s} liked {n} best.", "After that {s}'s best treat was {n}."),
        start=20,
    ),
    Slot(
        "door",
        "colours",
        "",
        tells=(
            "{S}'s door was {n}.",
            "The door of {s} was {n}.",
            "The colour of {s}'s door was {n}.",
            "{S} had a door painted {n}.",
        ),
        asks=(
            "What colour was {s}'s door?",
            "What colour was the door of {s}?",
            "Which colour did {s}'s door have?",
            "How was {s}'s door painted?",
        ),
        answers=("{S}'s door was {n}.", "The door of {s} was {n}.", "The colour of {s}'s door was {n}."),
        check="Was {s}'s door {n}?",
        who="Whose door was {n}?",
        changes=("Then {s} painted the door {n}.", "After that {s}'s door was {n}."),
        start=12,
    ),
    Slot(
        "plant",
        "plants",
        "a",
        tells=("{S} planted {n}.", "{S} grew {n}.", "{S} put {n} into the ground.", "In spring {s} planted {n}."),
        asks=(
            "What did {s} plant?",
            "What did {s} grow?",
            "What did {s} put into the ground?",
            "What was planted by {s} in spring?",
        ),
        answers=("{S} planted {n}.", "{S} grew {n}.", "{S} put {n} into the ground."),
        check="Did {s} plant {n}?",
        who="Who planted {n}?",
    ),
    Slot(
        "music",
        "instruments",
        "the",
        tells=(
            "{S} played {n}.",
            "{S} made music on {n}.",
            "{S} learned to play {n}.",
            "Every evening {s} played {n}.",
        ),
        asks=(
            "What instrument did {s} play?",
            "What did {s} make music on?",
            "What instrument did {s} learn?",
            "Which instrument did {s} play every evening?",
        ),
        answers=("{S} played {n}.", "{S} made music on {n}.", "{S} learned to play {n}."),
        check="Did {s} play {n}?",
        who="Who played {n}?",
        changes=("Then {s} played {n} instead.", "After that {s} made music on {n}."),
    ),
    Slot(
        "pet_feeling",
        "feelings",
        "",
        tells=("{S}'s pet felt {n}.", "{S}'s pet was {n}.", "The pet of {s} was {n}.", "{S}'s pet looked {n}."),
        asks=(
            "How did {s}'s pet feel?",
            "How was {s}'s pet?",
            "How was the pet of {s} feeling?",
            "How did {s}'s pet look?",
        ),
        answers=("{S}'s pet felt {n}.", "{S}'s pet was {n}.", "The pet of {s} was {n}."),
        check="Did {s}'s pet feel {n}?",
        who="Whose pet felt {n}?",
        changes=("Then {s}'s pet felt {n}.", "After that {s}'s pet was {n}."),
        start=12,
    ),
    Slot(
        "age",
        "numbers",
        "",
        tells=("{S} was {n} years old.", "{S}'s age was {n}.", "The age of {s} was {n}.", "{S} had turned {n}."),
        asks=("How old was {s}?", "What was {s}'s age?", "What was the age of {s}?", "How many years old was {s}?"),
        answers=("{S} was {n} years old.", "{S}'s age was {n}.", "The age of {s} was {n}."),
        check="Was {s} {n} years old?",
        who="Who was {n} years old?",
    ),
    Slot(
        "stickers",
        "numbers",
        "",
        tells=(
            "{S} had {n} stickers.",
            "{S} owned {n} stickers.",
            "There were {n} stickers in {s}'s bag.",
            "The number of {s}'s stickers was {n}.",
        ),
        asks=(
            "How many stickers did {s} have?",
            "How many stickers did {s} own?",
            "How many stickers were in {s}'s bag?",
            "What was the number of {s}'s stickers?",
        ),
        answers=("{S} had {n} stickers.", "{S} owned {n} stickers.", "The number of {s}'s stickers was {n}."),
        check="Did {s} have {n} stickers?",
        who="Who had {n} stickers?",
        changes=("Then {s} got {n} more.", "Then {s} gave away {n}."),
    ),
)
"""Every slot, the plain ones first; a level takes the first few, or those named in ``StoryworldConfig.slots``."""

BY_NAME: dict[str, Slot] = {slot.name: slot for slot in SLOTS}

COMPARISONS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "age": (
        ("Who was the oldest?", "{S} was the oldest.", True),
        ("Who was the youngest?", "{S} was the youngest.", False),
    ),
    "stickers": (
        ("Who had the most stickers?", "{S} had the most stickers.", True),
        ("Who had the fewest stickers?", "{S} had the fewest stickers.", False),
    ),
}
"""Per numeric slot: question, answer, and whether the largest number wins."""

OPENINGS = ("Once there was {r}.", "There was {r}.", "Long ago there lived {r}.", "This is a story about {r}.")
"""How a story begins; ``{r}`` is the role with its article."""

SWITCHES = ("Now another story.", "Let us talk about someone else.", "Here is a new story.", "Listen to a new tale.")
"""How a new topic begins."""

RETURNS = ("Back to the first story.", "Let us go back to the start.", "Think of the first story.")
"""How a long-range dialogue returns."""

THANKS = (
    "What a nice story.",
    "I will remember it.",
    "Thank you for the story.",
    "That was a lovely tale.",
)
"""How a told story is acknowledged."""

REQUESTS = ("Tell me a story about {r}.", "Please tell me about {r}.", "Make up a story about {r}.")
"""How a story is asked for."""
