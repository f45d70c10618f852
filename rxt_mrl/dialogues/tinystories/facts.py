"""Facts of a children's story, each with questions, an answer and what would be wrong: rules and exact spans.

Every rule reads a pattern from the narration and asks only where the story leaves no second answer: the value stands
in the story word for word, it does not stand in the question, and no other sentence of the same pattern says
something else. ``wrong`` holds other candidates of the same kind from the same story (for colours: all others).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .events import being_rule, company_rule, doing_rule, event_rule, gift_rule, going_rule, liking_rule, putting_rule
from .fact import StoryFact, is_sound
from .people import age_rule, color_rule, friend_rule, hero_rule, naming_rule, number_rule, saying_rule
from .story import Story

RULES: tuple[Callable[[Story], Iterable[StoryFact]], ...] = (
    naming_rule, friend_rule, age_rule, color_rule, event_rule, gift_rule, going_rule, being_rule, putting_rule,
    saying_rule, liking_rule, doing_rule, hero_rule, number_rule, company_rule,
)  # fmt: skip
"""The rules, in the order in which their facts are kept where two ask the same."""


def facts(text: str) -> list[StoryFact]:
    """All facts that the rules find in a story, in no particular order, each a sound question on its own."""
    story = Story(text)
    found: dict[tuple[str, str], StoryFact] = {}
    for rule in RULES:
        for fact in rule(story):
            if is_sound(fact):
                found.setdefault((fact.questions[0], fact.value), fact)
    asked: dict[str, set[str]] = {}
    for fact in found.values():
        asked.setdefault(fact.questions[0], set()).add(fact.value)
    return [fact for fact in found.values() if len(asked[fact.questions[0]]) == 1]
