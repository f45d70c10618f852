"""What can be said about a character, and how: the slots of the storyworld with their sentences.

In a template ``{s}`` is the character ("the boy"), ``{S}`` the same at the start of a sentence, and ``{n}`` the value
with the article that the slot wants ("a dog", "the lake", "red"). The first phrasings of each list are the plain
ones; a level uses the first few of each. A question is answered in its own words, so that the right answer can be
known word for word. No sentence holds anything from which another fact could be guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .vocabulary import with_article

Form = Literal["", "a", "the"]
"""The article that a kind of value wants."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A kind of fact.

    Attributes:
        name: ``"pet"``.
        family: whose words are its values.
        form: the article in front of a value.
        says: pairs of a statement that tells the fact and a question that it answers, worded alike.
        check: a question to be answered with yes or no.
        who: a question for the character; empty for facts of the whole story.
        changes: statements that put a new value in the place of the old one; empty: it never changes.
        start: the first word of the slot's window into its family.
        scope: a fact of one character, or of the whole story (told about the first character's story only).
        code: the name under which combinations of facts are hashed to their split, where it is not ``name``: a slot
            that is renamed keeps it, so that no dialogue moves to another split.
    """

    name: str
    family: str
    form: Form
    says: tuple[tuple[str, str], ...]
    check: str
    who: str = ""
    changes: tuple[str, ...] = ()
    start: int = 0
    scope: Literal["character", "story"] = "character"
    code: str = ""

    def simplified(self, phrasings: int) -> Slot:
        """The slot with its first ``phrasings`` phrasings only (numbers keep both ways of changing)."""
        return replace(
            self,
            says=self.says[:phrasings],
            changes=self.changes if self.numeric else self.changes[:phrasings],
        )

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers, which can be compared and added."""
        return self.family == "numbers"

    def noun(self, value: str) -> str:
        """The value with its article: ``"a dog"``."""
        return with_article(self.form, value)


SLOTS: tuple[Slot, ...] = (
    Slot(
        "name",
        "people",
        "",
        says=(
            ("{S}'s name was {n}.", "What was {s}'s name?"),
            ("The name of {s} was {n}.", "What was the name of {s}?"),
            ("{S} was named {n}.", "How was {s} named?"),
            ("People called {s} {n}.", "What did people call {s}?"),
        ),
        check="Was {s} named {n}?",
        who="Who was named {n}?",
    ),
    Slot(
        "pet",
        "animals",
        "a",
        says=(
            ("{S} had {n}.", "What pet did {s} have?"),
            ("{S}'s pet was {n}.", "What was {s}'s pet?"),
            ("{S} kept {n}.", "Which animal did {s} keep?"),
            ("At home {s} took care of {n}.", "Which animal did {s} take care of at home?"),
        ),
        check="Was {s}'s pet {n}?",
        who="Whose pet was {n}?",
        changes=("Then {s} gave the pet away and got {n}.", "After that {s}'s new pet was {n}."),
    ),
    Slot(
        "pet_name",
        "pet_names",
        "",
        says=(
            ("{S}'s pet was called {n}.", "How was {s}'s pet called?"),
            ("{S} called the pet {n}.", "What did {s} call the pet?"),
            ("The name of {s}'s pet was {n}.", "What was the name of {s}'s pet?"),
            ("{S} gave the pet the name {n}.", "Which name did {s} give the pet?"),
        ),
        check="Was {s}'s pet called {n}?",
        who="Whose pet was called {n}?",
    ),
    Slot(
        "toy",
        "things",
        "a",
        says=(
            ("{S} played with {n}.", "What did {s} play with?"),
            ("{S}'s toy was {n}.", "What was {s}'s toy?"),
            ("{S} got {n} to play with.", "What did {s} get to play with?"),
            ("All day {s} played with {n}.", "What did {s} play with all day?"),
        ),
        check="Did {s} play with {n}?",
        who="Who played with {n}?",
        changes=("Then {s} played with {n} instead.", "After that {s}'s new toy was {n}."),
    ),
    Slot(
        "color",
        "colors",
        "",
        says=(
            ("{S}'s toy was {n}.", "What colour was {s}'s toy?"),
            ("The colour of {s}'s toy was {n}.", "What was the colour of {s}'s toy?"),
            ("{S}'s toy had the colour {n}.", "Which colour did {s}'s toy have?"),
            ("{S}'s toy was painted {n}.", "How was {s}'s toy painted?"),
        ),
        check="Was {s}'s toy {n}?",
        who="Whose toy was {n}?",
        changes=("Then {s} painted the toy {n}.", "After that {s}'s toy was {n}."),
        code="colour",
    ),
    Slot(
        "place",
        "places",
        "the",
        says=(
            ("{S} went to {n}.", "Where did {s} go?"),
            ("{S} walked to {n}.", "Where did {s} walk to?"),
            ("{S} visited {n}.", "Which place did {s} visit?"),
            ("That morning {s} ran to {n}.", "To what place did {s} run that morning?"),
        ),
        check="Did {s} go to {n}?",
        who="Who went to {n}?",
        changes=("Then {s} left and went to {n}.", "After that {s} was at {n}."),
    ),
    Slot(
        "food",
        "foods",
        "",
        says=(
            ("{S} ate {n}.", "What did {s} eat?"),
            ("{S} had {n} to eat.", "What did {s} have to eat?"),
            ("The lunch of {s} was {n}.", "What was the lunch of {s}?"),
            ("At noon {s} ate some {n}.", "What did {s} eat at noon?"),
        ),
        check="Did {s} eat {n}?",
        who="Who ate {n}?",
    ),
    Slot(
        "feeling",
        "feelings",
        "",
        says=(
            ("{S} felt {n}.", "How did {s} feel?"),
            ("{S} was {n}.", "How was {s}?"),
            ("{S} was feeling {n}.", "How was {s} feeling?"),
            ("That morning {s} felt very {n}.", "How did {s} feel that morning?"),
        ),
        check="Did {s} feel {n}?",
        who="Who felt {n}?",
        changes=("Then {s} felt {n}.", "After that {s} was {n}."),
    ),
    Slot(
        "weather",
        "weather",
        "",
        says=(
            ("The day was {n}.", "How was the day?"),
            ("The weather was {n}.", "How was the weather?"),
            ("Outside it was {n}.", "How was it outside?"),
            ("The sky and the air were {n}.", "How were the sky and the air?"),
        ),
        check="Was the weather {n}?",
        changes=("Then the weather changed and the day was {n}.", "After that the weather was {n}."),
        scope="story",
    ),
    Slot(
        "dream",
        "jobs",
        "a",
        says=(
            ("{S} wanted to be {n}.", "What did {s} want to be?"),
            ("{S} hoped to become {n}.", "What did {s} hope to become?"),
            ("{S}'s dream was to be {n}.", "What was {s}'s dream?"),
            ("{S} would like to work as {n}.", "As what would {s} like to work?"),
        ),
        check="Did {s} want to be {n}?",
        who="Who wanted to be {n}?",
        changes=("Then {s} changed plans and wanted to be {n}.", "After that {s}'s dream was to be {n}."),
    ),
    Slot(
        "vehicle",
        "vehicles",
        "",
        says=(
            ("{S} came by {n}.", "How did {s} come?"),
            ("{S} travelled by {n}.", "How did {s} travel?"),
            ("{S} took a trip by {n}.", "How did {s} take a trip?"),
            ("On the way {s} moved by {n}.", "By what did {s} move on the way?"),
        ),
        check="Did {s} come by {n}?",
        who="Who came by {n}?",
        changes=("Then {s} went on by {n}.", "After that {s} travelled by {n}."),
    ),
    Slot(
        "clothes",
        "clothes",
        "a",
        says=(
            ("{S} wore {n}.", "What did {s} wear?"),
            ("{S} put on {n}.", "What did {s} put on?"),
            ("{S} was dressed in {n}.", "What was {s} dressed in?"),
            ("That day {s} was wearing {n}.", "What was {s} wearing that day?"),
        ),
        check="Did {s} wear {n}?",
        who="Who wore {n}?",
        changes=("Then {s} changed and wore {n}.", "After that {s} put on {n}."),
    ),
    Slot(
        "found",
        "things",
        "a",
        says=(
            ("{S} found {n}.", "What did {s} find?"),
            ("{S} picked up {n}.", "What did {s} pick up?"),
            ("On the ground {s} found {n}.", "What did {s} find on the ground?"),
            ("{S} came upon {n}.", "What did {s} come upon?"),
        ),
        check="Did {s} find {n}?",
        who="Who found {n}?",
        start=20,
    ),
    Slot(
        "friend",
        "people",
        "",
        says=(
            ("{S}'s friend was {n}.", "Who was {s}'s friend?"),
            ("{S} had a friend named {n}.", "What was the friend of {s} named?"),
            ("The best friend of {s} was {n}.", "Who was the best friend of {s}?"),
            ("{S} was friends with {n}.", "Who was {s} friends with?"),
        ),
        check="Was {n} the friend of {s}?",
        who="Whose friend was {n}?",
        start=20,
    ),
    Slot(
        "wild",
        "animals",
        "a",
        says=(
            ("{S} saw {n}.", "What animal did {s} see?"),
            ("{S} met {n}.", "What animal did {s} meet?"),
            ("On the way {s} saw {n}.", "Which animal did {s} see on the way?"),
            ("Behind a tree {s} spotted {n}.", "Which animal did {s} spot behind a tree?"),
        ),
        check="Did {s} see {n}?",
        who="Who saw {n}?",
        start=20,
    ),
    Slot(
        "home",
        "places",
        "the",
        says=(
            ("{S} lived near {n}.", "Where did {s} live?"),
            ("{S}'s home was near {n}.", "Where was {s}'s home?"),
            ("{S}'s house stood by {n}.", "Where did {s}'s house stand?"),
            ("{S} slept close to {n}.", "Where did {s} sleep?"),
        ),
        check="Did {s} live near {n}?",
        who="Who lived near {n}?",
        changes=("Then {s} moved and lived near {n}.", "After that {s}'s home was near {n}."),
        start=20,
    ),
    Slot(
        "treat",
        "foods",
        "",
        says=(
            ("{S} liked {n} best.", "What food did {s} like best?"),
            ("{S}'s best treat was {n}.", "What was {s}'s best treat?"),
            ("For {s} the best food was {n}.", "What was the best food for {s}?"),
            ("Most of all {s} loved {n}.", "Which food did {s} love most of all?"),
        ),
        check="Did {s} like {n} best?",
        who="Who liked {n} best?",
        changes=("Then {s} liked {n} best.", "After that {s}'s best treat was {n}."),
        start=20,
    ),
    Slot(
        "door",
        "colors",
        "",
        says=(
            ("{S}'s door was {n}.", "What colour was {s}'s door?"),
            ("The door of {s} was {n}.", "What colour was the door of {s}?"),
            ("{S}'s door had the colour {n}.", "Which colour did {s}'s door have?"),
            ("{S}'s door was painted {n}.", "How was {s}'s door painted?"),
        ),
        check="Was {s}'s door {n}?",
        who="Whose door was {n}?",
        changes=("Then {s} painted the door {n}.", "After that {s}'s door was {n}."),
        start=12,
    ),
    Slot(
        "plant",
        "plants",
        "a",
        says=(
            ("{S} planted {n}.", "What did {s} plant?"),
            ("{S} grew {n}.", "What did {s} grow?"),
            ("{S} put {n} into the ground.", "What did {s} put into the ground?"),
            ("In spring {s} planted {n}.", "What did {s} plant in spring?"),
        ),
        check="Did {s} plant {n}?",
        who="Who planted {n}?",
    ),
    Slot(
        "music",
        "instruments",
        "the",
        says=(
            ("{S} played {n}.", "What instrument did {s} play?"),
            ("{S} made music on {n}.", "What did {s} make music on?"),
            ("{S} learned to play {n}.", "What instrument did {s} learn to play?"),
            ("Every evening {s} played {n}.", "Which instrument did {s} play every evening?"),
        ),
        check="Did {s} play {n}?",
        who="Who played {n}?",
        changes=("Then {s} played {n} instead.", "After that {s} made music on {n}."),
    ),
    Slot(
        "pet_feeling",
        "feelings",
        "",
        says=(
            ("{S}'s pet felt {n}.", "How did {s}'s pet feel?"),
            ("{S}'s pet was {n}.", "How was {s}'s pet?"),
            ("The pet of {s} was feeling {n}.", "How was the pet of {s} feeling?"),
            ("{S}'s pet looked {n}.", "How did {s}'s pet look?"),
        ),
        check="Did {s}'s pet feel {n}?",
        who="Whose pet felt {n}?",
        changes=("Then {s}'s pet felt {n}.", "After that {s}'s pet was {n}."),
        start=12,
    ),
    Slot(
        "age",
        "numbers",
        "",
        says=(
            ("{S} was {n} years old.", "How old was {s}?"),
            ("{S}'s age was {n}.", "What was {s}'s age?"),
            ("The age of {s} was {n}.", "What was the age of {s}?"),
            ("{S} had lived for {n} years.", "For how many years had {s} lived?"),
        ),
        check="Was {s} {n} years old?",
        who="Who was {n} years old?",
    ),
    Slot(
        "stickers",
        "numbers",
        "",
        says=(
            ("{S} had {n} stickers.", "How many stickers did {s} have?"),
            ("{S} owned {n} stickers.", "How many stickers did {s} own?"),
            ("In {s}'s bag there were {n} stickers.", "How many stickers were there in {s}'s bag?"),
            ("The number of {s}'s stickers was {n}.", "What was the number of {s}'s stickers?"),
        ),
        check="Did {s} have {n} stickers?",
        who="Who had {n} stickers?",
        changes=("Then {s} got {n} more stickers.", "Then {s} gave away {n} stickers."),
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

UNKNOWN = "I do not know."
"""The answer to a question about what was never told."""

UNKNOWN_VALUE = "something unknown"
"""What stands in the place of a value that was never told."""

REQUESTS = ("Tell me a story about {r}.", "Please tell me about {r}.", "Make up a story about {r}.")
"""How a story is asked for."""
