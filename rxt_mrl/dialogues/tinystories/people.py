"""Rules about who is in a story and what things are like: names, kinds, colours, traits, numbers, sayings.

Each rule gives the facts that it finds; see :mod:`.story_facts` for what makes a question sound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import words as words
from .fact import StoryFact, make_fact, others_than, with_article
from .story import ANIMATE, Story, kind_of, phrase_at, singular

_NO_KIND = words.ADJECTIVES | words.AFTER_NOUN | words.VAGUE | {"twin"}


_RELATIVES = frozenset(("brother", "sister", "son", "daughter", "friend", *map(str.lower, words.KIN)))


def naming_rule(story: Story) -> Iterator[StoryFact]:
    """``a little girl named Lily`` / ``her cat, Luna``: what was its name; and for animals: what kind was it."""
    found: dict[str, dict[str, int]] = {}
    pets = r"(?:cat|dog|bunny|rabbit|hamster|fish|bird|puppy|kitten|horse|pony|turtle|bear|doll)"
    patterns = (
        r"\b([a-z]+) (?:named|called|whose name was) ([A-Z][a-z]+)\b",
        rf"\b(?:[Hh]is|[Hh]er|[Tt]heir) (?:[a-z]+ )?({pets}),? ([A-Z][a-z]+)\b",
    )
    for pattern in patterns:
        for match in re.finditer(pattern, story.narration):
            found.setdefault(match[1], {}).setdefault(match[2], match.start())
    for noun, names in found.items():
        name, at = min(names.items())
        if len(names) > 1 or name not in story.names or singular(noun) != noun or noun in _NO_KIND | _RELATIVES:
            continue
        if story.has_several(noun):
            continue
        if not re.search(rf"\b(?:a|an|the|his|her|their|my)\b[a-z ,]* {noun}\b", story.narration, re.IGNORECASE):
            continue
        others = [other for other in story.names if other != name]
        yield make_fact(
            "name",
            at,
            (f"What was the name of the {noun}?", f"What was the {noun} called?", f"Tell me the name of the {noun}."),
            f"The {noun} was called {name}.",
            name,
            others,
        )
        if kind_of(noun) == "animal":
            yield _kind(story, name, noun, at)
        elif kind_of(noun) == "object":
            questions = (f"What kind of thing was {name}?", f"What was {name}?")
            yield make_fact("object", at, questions, f"{name} was {with_article(noun)}.", noun, story.nouns["object"])
    for match in re.finditer(r"\b([A-Z][a-z]+) was an? (?:[a-z]+,? ){0,3}?([a-z]+)\b", story.narration):
        if match[1] in story.names and match[2] in words.ANIMALS:
            yield _kind(story, match[1], match[2], match.start())


def _kind(story: Story, name: str, noun: str, at: int) -> StoryFact:
    animals = [other for other in story.nouns["animal"] if singular(other) != noun]
    questions = (f"What kind of animal was {name}?", f"Which animal was {name}?")
    return make_fact("animal", at, questions, f"{name} was {with_article(noun)}.", noun, animals)


def friend_rule(story: Story) -> Iterator[StoryFact]:
    """``Tim and Sam were friends``, or twins: who was the other one."""
    pattern = r"(?<!, )\b([A-Z][a-z]+) and ([A-Z][a-z]+) were (?:(?!no|never)[a-z]+ )?(friend|twin)s\b"
    for match in re.finditer(pattern, story.narration):
        first, second, kind = match.groups()
        if first in story.names and second in story.names:
            others = [name for name in story.names if name not in (first, second)]
            questions = (f"Who was {first}'s {kind}?", f"Who was a {kind} of {first}?")
            yield make_fact("name", match.start(), questions, f"{first}'s {kind} was {second}.", second, others)


def age_rule(story: Story) -> Iterator[StoryFact]:
    """``Lily was three years old``."""
    for match in re.finditer(r"\b([A-Z][a-z]+) was (?:only )?([a-z]+|\d+) years old", story.narration):
        name, age = match[1], match[2]
        if name in story.names and (age in words.NUMBERS or age.isdigit()):
            others = [number for number in words.NUMBERS if number != age]
            questions = (f"How old was {name}?", f"What was {name}'s age?")
            yield make_fact("number", match.start(), questions, f"{name} was {age} years old.", age, others)


def hero_rule(story: Story) -> Iterator[StoryFact]:
    """``Once upon a time there was a kind farmer``: who was the story about."""
    for start, sentence in zip(story.starts[:2], story.sentences[:2], strict=True):
        match = re.search(r"\b(?:there (?:was|lived)|lived) (?=an? )", sentence)
        hero = phrase_at(sentence, match.end()) if match else None
        if hero is None or hero.head not in ANIMATE or hero.head in _RELATIVES:
            continue
        if hero.head in story.aliases or re.match(r" ?(?:named|called|and)\b", sentence[hero.end :]):
            continue
        questions = ("Who was the story about?", "Who did you hear a story about?")
        # others, by name or as somebody's daughter, may be the same one: none of them is sure to be wrong
        yield make_fact("who", start, questions, f"The story was about {with_article(hero.head)}.", hero.head, [])
        return


def color_rule(story: Story) -> Iterator[StoryFact]:
    """``a big red ball``: what color was the ball, where the story has only one ball with a color."""
    found: dict[str, set[str]] = {}
    told: dict[str, int] = {}
    for index, phrase in story.phrases:
        colors = {word for word in phrase.words[:-1] if word in words.COLORS}
        found.setdefault(phrase.head, set()).update(colors)
        if colors:
            told.setdefault(phrase.head, story.starts[index])
    for head, colors in found.items():
        if len(colors) != 1 or head in words.VAGUE or story.has_several(head):
            continue
        if singular(head) != head and found.get(singular(head)):
            continue
        (color,) = colors
        if story.states.get(head, set()) & set(words.COLORS):
            continue
        be = "were" if singular(head) != head else "was"
        questions = (f"What color {be} the {head}?", f"Tell me the color of the {head}.")
        others = [other for other in words.COLORS if other != color]
        yield make_fact("color", told[head], questions, f"The {head} {be} {color}.", color, others)


def number_rule(story: Story) -> Iterator[StoryFact]:
    """``three apples``: how many apples were there, where the story counts them once."""
    found: dict[str, set[str]] = {}
    told: dict[str, int] = {}
    for index, phrase in story.phrases:
        if singular(phrase.head) != phrase.head:
            if phrase.determiner.lower() in words.NUMBERS:
                told.setdefault(phrase.head, story.starts[index])
            found.setdefault(phrase.head, set()).add(phrase.determiner.lower())
    for head, counts in found.items():
        numbers = counts & set(words.NUMBERS)
        if len(numbers) != 1 or head in words.VAGUE or singular(head) in words.VAGUE or len(counts - {"the"}) > 1:
            continue
        (number,) = numbers
        others = [other for other in words.NUMBERS if other != number]
        questions = (f"How many {head} were there?", f"What was the number of {head}?")
        yield make_fact("number", told[head], questions, f"There were {number} {head}.", number, others)


_SPEAKER = r"([A-Z][a-z]+|[Tt]he [a-z]+(?: [a-z]+)?)"


_SPOKEN = r'"([^"\n]{8,80})"'


_SAID = "|".join(sorted(words.SPEAKING))


_SAID_AFTER = re.compile(rf"{_SPOKEN},? (?:{_SPEAKER} (?:{_SAID})|(?:said|asked|replied) {_SPEAKER})\b(?! and)")


_SAID_BEFORE = re.compile(rf'(?:^|[.!?"] |\n){_SPEAKER} (?:{_SAID}),? {_SPOKEN}', re.MULTILINE)


def saying_rule(story: Story) -> Iterator[StoryFact]:
    """``"Let's find the treasure!" Lily said``: who said it."""
    found = [
        (match[1], match[2] or match[3], match.start())
        for match in _SAID_AFTER.finditer(story.plain)
        if match[1][-1] == ","
        or (match[1][-1] in "?!" and not re.match(r'[^.!?"\n]*,? ?"', story.plain[match.end() :]))
    ]
    found += [(match[2], match[1], match.start()) for match in _SAID_BEFORE.finditer(story.plain)]
    for spoken, speaker, at in found:
        line = spoken.rstrip(",.")  # what ends a quotation before "said" is a comma
        who = _speaker(story, speaker)
        others = others_than(story, who) if who else []
        one_sentence = not re.search(r"[.!?]", line[:-1]) and 3 <= len(line.split()) <= 12
        if not one_sentence or story.plain.count(line) > 1 or not others:
            continue
        verb = "asked" if line.endswith("?") else "said"
        end = "" if line.endswith("?") else "?"
        questions = (f'Who {verb}, "{line}"{end}', f'Do you remember who {verb}, "{line}"{end}')
        name = who if who[0].isupper() else f"The {who}"
        yield make_fact("who", at, questions, f"{name} {verb} it.", who, others)


def _speaker(story: Story, speaker: str) -> str:
    """The name or the noun; empty where it may be several, or nobody that the rules know."""
    if speaker in story.called:
        return speaker
    nouns = [word for word in speaker.split()[1:] if word in ANIMATE]
    if not nouns or story.has_several(nouns[0]):
        return ""
    return story.aliases.get(nouns[0], nouns[0])
