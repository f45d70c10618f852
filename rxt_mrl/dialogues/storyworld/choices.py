"""What the agent is asked to choose, and how it is asked back: no reference can know what it will say.

Three values are offered each time, drawn at random, so that no habit (always the first, always red) answers the later
question: it takes the memory of what was said.
"""

from __future__ import annotations

from dataclasses import dataclass

from .phrasing import Form
from .vocabulary import article, with_article


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to decide.

    Attributes:
        kind: what is chosen: ``"name"``.
        thing: what it is chosen for, of which no story tells anything: ``"baby"``.
        family: whose words are offered.
        form: the article in front of a value.
    """

    kind: str
    thing: str
    family: str
    form: Form = ""

    @property
    def name(self) -> str:
        """A name beside those of the slots: ``"choice: baby"``."""
        return f"choice: {self.thing}"

    def noun(self, value: str) -> str:
        """The value with its article: ``"the beach"``."""
        return with_article(self.form, value)

    def offer(self, frame: str, options: tuple[str, ...]) -> str:
        """The request to choose, in one of :data:`OFFERS`."""
        first, second, third = map(self.noun, options)
        return frame.format(k=f"{article(self.kind)} {self.kind}", w=self.thing, a=first, b=second, c=third)


CHOICES: tuple[Choice, ...] = (
    Choice("name", "baby", "people"),
    Choice("colour", "fence", "colors"),
    Choice("place", "party", "places", "the"),
    Choice("food", "feast", "foods"),
    Choice("name", "mascot", "pet_names"),
    Choice("gift", "guest", "things", "a"),
    Choice("animal", "circus", "animals", "a"),
    Choice("vehicle", "holiday", "vehicles", "the"),
    Choice("instrument", "concert", "instruments", "the"),
    Choice("plant", "balcony", "plants", "a"),
    Choice("garment", "parade", "clothes", "a"),
    Choice("mood", "song", "feelings"),
)
"""Everything that can be chosen, each at most once a dialogue."""

OPTIONS = 3
"""Values that are offered."""

OFFERS = (
    "Choose {k} for the {w}: {a}, {b} or {c}.",
    "Pick {k} for the {w}: {a}, {b} or {c}.",
    "Decide about {k} for the {w}: {a}, {b} or {c}.",
    "We need {k} for the {w}: {a}, {b} or {c}.",
)
"""How a choice is offered; ``{k}`` is the kind with its article."""

CHOSEN = "I choose {n} for the {w}."
"""How a choice is made."""

ASKED_BACK = (
    "Which {k} did you choose for the {w}?",
    "What {k} did you pick for the {w}?",
    "For the {w}, which {k} did you take?",
    "What was your {k} for the {w}?",
)
"""How a choice is asked for later."""

SAID = "I chose {n} for the {w}."
"""How it is repeated."""
