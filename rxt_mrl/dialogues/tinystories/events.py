"""Rules about who did what, to what and where.

Each rule gives the facts that it finds; see :mod:`.story_facts` for what makes a question sound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from . import words as words
from .fact import StoryFact, make_fact, others_than
from .story import Phrase, Story, Subject, kind_of, phrase_at


@dataclass(frozen=True, slots=True)
class Event:
    """Somebody did something to something: ``Lily found a needle``; an unresolved subject is None."""

    subject: Subject | None
    verb: str
    thing: Phrase
    sentence: int


_VERBS = "|".join(sorted(words.VERBS, key=len, reverse=True))
_EVENT = re.compile(rf"\b({_VERBS}) (?=[a-z])")
_USES = re.compile(rf"\b({_VERBS}) (?!(?:it|them|that|out|how|what|him|up|to)\b)")


def events_of(story: Story) -> list[Event]:
    """Every verb with a thing after it; the subject is None where it is not certain."""
    found = []
    for index, sentence in enumerate(story.sentences):
        for match in _EVENT.finditer(sentence):
            thing = phrase_at(sentence, match.end())
            if thing is not None and not _is_unclear(story, match[1], thing, sentence):
                found.append(Event(story.subject_before(index, match.start()), match[1], thing, index))
    return found


def _is_unclear(story: Story, verb: str, thing: Phrase, sentence: str) -> bool:
    """``made the flower grow``: a second verb may follow the thing; ``picked the penny up``: it may be another verb."""
    if re.match(r"\s*(?:up|off|out|away|down|back|over|had|was|were|has|is|could|would|did)\b", sentence[thing.end :]):
        return True
    if not is_known(story, thing):
        return True
    loose = verb in ("made", "saw", "heard", "noticed", "helped", "had", "wanted", "needed")
    plain = all(word in words.ADJECTIVES or word in words.COLORS for word in thing.words[:-1])
    if loose and not plain and thing.determiner.lower() in ("the", "his", "her", "their"):
        return True
    return verb in ("wanted", "helped", "needed", "made") and sentence[thing.end :].lstrip().startswith("to ")


def is_known(story: Story, thing: Phrase) -> bool:
    """Whether a phrase is an adjective or two and a noun, or a noun of two words that the story says again."""
    *before, head = thing.words
    if all(word in words.ADJECTIVES or word in words.COLORS for word in before):
        return True
    return story.plain.count(f"{before[-1]} {head}") > 1


def event_rule(story: Story) -> Iterator[StoryFact]:
    """``Lily found a needle``: what did she find, and who found it."""
    events = events_of(story)
    for event in events:
        if event.subject is None or event.thing.head in words.VAGUE or event.verb in words.LOOSE:
            continue
        yield from _what(story, event, events)
        yield from _who(story, event, events)
        yield from _where(story, event, events)


def _family(verb: str) -> frozenset[str]:
    """The verb and those that mean nearly the same."""
    return next((family for family in words.FAMILIES if verb.split()[0] in family), frozenset((verb.split()[0],)))


def _what(story: Story, event: Event, events: list[Event]) -> Iterator[StoryFact]:
    subject, verb, head = event.subject, event.verb, event.thing.head
    assert subject is not None
    for other in events:
        same_doer = other.subject is None or other.subject.entities & subject.entities
        if other.verb.split()[0] in _family(verb) and same_doer and other.thing.head != head:
            return  # two answers
    # other objects of the same verb: "found Tom", "saw two cats and a dog"
    others = _with_object(story.narration).count(verb) - sum(other.verb == verb for other in events)
    if others > 0 or _continues(story, event):
        return
    base, kind = words.VERBS[verb], kind_of(head)
    ask = {"person": "who", "animal": "what animal"}.get(kind, "what")
    yield make_fact(
        kind,
        story.starts[event.sentence],
        (
            f"{ask.capitalize()} did {subject.text} {base}?",
            f"Do you remember {ask} {subject.text} {verb}?",
            f"Tell me {ask} {subject.text} {verb}.",
        ),
        f"{subject.opening} {verb} {event.thing.text}.",
        head,
        others_than(story, head) if kind == "person" else story.nouns[kind],
    )


def _times(story: Story, verb: str) -> int:
    """How often a verb, or one that means nearly the same, is narrated or said, in the past or the base form."""
    forms = {form for past in _family(verb) for form in (past, words.VERBS.get(past, past).split()[0])}
    return sum(story.lower_words[form] for form in forms)


@lru_cache(maxsize=1)
def _with_object(narration: str) -> list[str]:
    """Every use of a verb but with ``it``, ``that`` and other words that name nothing."""
    return _USES.findall(narration)


def _continues(story: Story, event: Event) -> bool:
    """``a ball and a doll``, ``a ball, a doll``, ``her hat and coat``: the thing is not all."""
    rest = story.sentences[event.sentence][event.thing.end :].lstrip()
    if re.match(r", ?(?:a|an|the|some|his|her|two|three|[a-z]+,)\b", rest):
        return True
    after = re.match(r",? ?and (?:then |also |even |[a-z]+ly )?([a-z]+)", rest)
    return after is not None and after[1] not in _VERB_FORMS and not after[1].endswith("ed")


_VERB_FORMS = frozenset(
    (*(verb.split()[0] for verb in words.VERBS), *words.MOVING, *words.SPEAKING, *words.LIKING, "put", "gave", "was",
     "were", "became", "felt", "fell", "began", "left", "told", "sat", "stood", "let", "kept", "knew", "thought",
     "she", "he", "it", "they")
)  # fmt: skip


def _who(story: Story, event: Event, events: list[Event]) -> Iterator[StoryFact]:
    subject, verb, head = event.subject, event.verb, event.thing.head
    assert subject is not None
    if len(subject.entities) > 1:
        return
    if _times(story, verb) > 1:  # nobody else is told, or says, to have done so, in whatever word
        return
    if kind_of(head) == "person" and event.thing.known != event.thing.text:
        return  # "Who saw the dad?": whose?
    (entity,) = subject.entities
    questions = (f"Who {verb} {event.thing.known}?", f"Do you remember who {verb} {event.thing.known}?")
    others = others_than(story, entity)
    if others:
        answer = f"{subject.opening} {verb} {event.thing.text}."
        yield make_fact("who", story.starts[event.sentence], questions, answer, entity, others)


_NO_WHERE = frozenset(("put on",))


def _where(story: Story, event: Event, events: list[Event]) -> Iterator[StoryFact]:
    """``Lily found a needle in her room``: where did she find it."""
    subject = event.subject
    assert subject is not None
    sentence = story.sentences[event.sentence]
    link = re.compile(r" ?(in|on|under|behind|near|at|by|inside) ").match(sentence, event.thing.end - 1)
    place = phrase_at(sentence, link.end()) if link else None
    if link is None or place is None or place.head in words.VAGUE or event.verb in _NO_WHERE:
        return
    if _times(story, event.verb) > 1 or not is_known(story, place):
        return
    questions = (
        f"Where did {subject.text} {words.VERBS[event.verb]} {event.thing.known}?",
        f"Do you remember where {subject.text} {event.verb} {event.thing.known}?",
    )
    answer = f"{subject.opening} {event.verb} {event.thing.text} {link[1]} {place.text}."
    yield make_fact(
        "place",
        story.starts[event.sentence],
        questions,
        answer,
        place.head,
        (*story.nouns["place"], *story.nouns["object"]),
    )


def gift_rule(story: Story) -> Iterator[StoryFact]:
    """``Mom gave Lily a cake``."""
    gifts = [
        (index, story.subject_before(index, match.start()), match[1], phrase_at(sentence, match.end()))
        for index, sentence in enumerate(story.sentences)
        for match in re.finditer(r"\bgave ([A-Z][a-z]+) (?=[a-z])", sentence)
        if match[1] in story.called
    ]
    for index, giver, taker, thing in gifts:
        if (
            giver is None
            or thing is None
            or thing.head in words.VAGUE
            or not is_known(story, thing)
            or story.lower_words["gave"] > 1
        ):
            continue
        if taker in giver.entities:
            continue
        questions = (f"What did {giver.text} give {taker}?", f"What did {taker} get from {giver.text}?")
        answer = f"{giver.opening} gave {taker} {thing.text}."
        kind = kind_of(thing.head)
        yield make_fact(kind, story.starts[index], questions, answer, thing.head, story.nouns[kind])


_NO_DOING = words.listed("being feeling going getting having becoming coming waiting")


def doing_rule(story: Story) -> Iterator[StoryFact]:
    """``Lily was eating an apple``: what was she eating."""
    pattern = re.compile(r"\b(?:was|were) ([a-z]+ing) (?=[a-z])")
    for index, sentence in enumerate(story.sentences):
        for match in pattern.finditer(sentence):
            thing = phrase_at(sentence, match.end())
            subject = story.subject_before(index, match.start())
            once = story.narrated[match[1]] == 1
            if thing is None or subject is None or not once or thing.head in words.VAGUE or match[1] in _NO_DOING:
                continue
            if not is_known(story, thing):
                continue
            be, kind = subject.verb_be, kind_of(thing.head)
            questions = (
                f"What {be} {subject.text} {match[1]}?",
                f"Do you remember what {subject.text} {be} {match[1]}?",
            )
            if kind == "person" or _continues(story, Event(subject, match[1], thing, index)):
                continue
            answer = f"{subject.opening} {be} {match[1]} {thing.text}."
            yield make_fact(kind, story.starts[index], questions, answer, thing.head, story.nouns[kind])


def liking_rule(story: Story) -> Iterator[StoryFact]:
    """``Lily loved to draw``, ``Tom decided to make a cake``: what did she love to do, what did he decide to make."""
    pattern = re.compile(rf"\b({'|'.join(words.LIKING)}) to ([a-z]+)\b ?")
    found = [
        (index, story.subject_before(index, match.start()), match)
        for index, sentence in enumerate(story.sentences)
        for match in pattern.finditer(sentence)
    ]
    for index, subject, match in found:
        verb, action = match[1], match[2]
        if subject is None:
            continue
        same = [
            other for _, who, other in found if other[1] == verb and (who is None or who.entities & subject.entities)
        ]
        base = words.LIKING[verb]
        thing = phrase_at(story.sentences[index], match.end())
        if thing is not None and not is_known(story, thing):
            continue
        span = f" {thing.text}" if thing else ""
        rest = story.sentences[index][thing.end if thing else match.end() :]
        whole = re.match(r"\s*(?:[.!?,;]|$|(?:in|on|with|for|at|to|around|near|from|by)\b)", rest)
        if action in words.TAKING:
            if thing is None or thing.head in words.VAGUE or sum(other[2] == action for other in same) > 1:
                continue
            if _continues(story, Event(subject, action, thing, index)):
                continue
            kind = kind_of(thing.head)
            ask = {"person": "who", "animal": "what animal"}.get(kind, "what")
            questions = (
                f"{ask.capitalize()} did {subject.text} {base} to {action}?",
                f"Do you remember {ask} {subject.text} {verb} to {action}?",
            )
            wrong = others_than(story, thing.head) if kind == "person" else story.nouns[kind]
            yield make_fact(
                kind, story.starts[index], questions, f"{subject.opening} {verb} to {action}{span}.", thing.head, wrong
            )
        elif action not in words.DULL_ACTIONS and len({other[2] for other in same}) == 1 and whole:
            wrong = [other[2] for _, _, other in found if other[2] not in words.DULL_ACTIONS]
            questions = (f"What did {subject.text} {base} to do?", f"Do you remember what {subject.text} {verb} to do?")
            yield make_fact(
                "action", story.starts[index], questions, f"{subject.opening} {verb} to {action}{span}.", action, wrong
            )


def going_rule(story: Story) -> Iterator[StoryFact]:
    """``Sara went to the park``, where the story has no second place that she could have gone to."""
    verbs = "|".join(words.MOVING)
    pattern = re.compile(rf"\b({verbs}) (?:out |over |back |down |up |off )?(?:to|into) (?=[a-z])")
    found: list[tuple[int, Subject | None, str, Phrase]] = []
    for index, sentence in enumerate(story.sentences):
        for match in pattern.finditer(sentence):
            place = phrase_at(sentence, match.end())
            if place is None:
                return  # another place, whose name is not clear
            if kind_of(place.head) == "place" and is_known(story, place):
                found.append((index, story.subject_before(index, match.start()), match[0], place))
    if re.search(rf"\b(?:{verbs})\b[^.!?]{{0,30}}\b(?:home|outside|inside)\b", story.narration):
        return  # other places, in other words
    for index, subject, moved, place in found:
        if subject is None or _continues(story, Event(subject, moved, place, index)):
            continue
        rivals = {
            other.head for _, who, _, other in found if who is None or who.entities & subject.entities
        }  # fmt: skip
        if len(rivals) > 1:
            continue
        questions = (f"Where did {subject.text} go?", f"Do you remember where {subject.text} went?")
        answer = f"{subject.opening} {moved.strip()} {place.text}."
        yield make_fact("place", story.starts[index], questions, answer, place.head, story.nouns["place"])


def being_rule(story: Story) -> Iterator[StoryFact]:
    """``Fin was swimming near the shore``; ``Tom hid under the bed``."""
    doing = r"(?:was|were) ([a-z]+ing)"
    staying = {"lived": "live", "played": "play", "sat": "sit", "slept": "sleep", "hid": "hide", "stood": "stand",
               "landed": "land", "worked": "work", "fell": "fall", "waited": "wait"}  # fmt: skip
    pattern = re.compile(rf"\b(?:{doing}|({'|'.join(staying)})) (in|at|on|near|by|under|behind|into) (?=[a-z])")
    for index, sentence in enumerate(story.sentences):
        for match in pattern.finditer(sentence):
            place = phrase_at(sentence, match.end())
            subject = story.subject_before(index, match.start())
            word = match[1] or match[2]
            if place is None or subject is None or place.head in words.VAGUE or not is_known(story, place):
                continue
            if story.narrated[word] > 1:
                continue
            if match[1]:
                be = subject.verb_be
                questions = (f"Where {be} {subject.text} {word}?", f"Do you remember where {subject.text} {be} {word}?")
            else:
                base = staying[word]
                questions = (f"Where did {subject.text} {base}?", f"Do you remember where {subject.text} {word}?")
            answer = f"{subject.opening} {match[0].strip()} {place.text}."
            wrong = (*story.nouns["place"], *(story.nouns["object"] if kind_of(place.head) == "object" else ()))
            yield make_fact("place", story.starts[index], questions, answer, place.head, wrong)


def putting_rule(story: Story) -> Iterator[StoryFact]:
    """``Tim put the key in the box``: where did he put it."""
    found = []
    for index, sentence in enumerate(story.sentences):
        for match in re.finditer(r"\bput (?=[a-z])", sentence):
            thing = phrase_at(sentence, match.end())
            link = thing and re.compile(r" ?(?:back )?(in|on|into|under|inside|behind) ").match(sentence, thing.end - 1)
            place = phrase_at(sentence, link.end()) if link else None
            if thing is not None and link and place is not None and is_known(story, thing) and is_known(story, place):
                found.append((index, story.subject_before(index, match.start()), thing, link[0].strip(), place))
    for index, subject, thing, how, place in found:
        rivals = {other.head for _, _, what, _, other in found if what.head == thing.head}
        if subject is None or len(rivals) > 1 or place.head in words.VAGUE or thing.head in words.VAGUE:
            continue
        questions = (f"Where did {subject.text} put {thing.known}?", f"Where was {thing.known} put?")
        answer = f"{subject.opening} put {thing.text} {how} {place.text}."
        wrong = (*story.nouns["place"], *story.nouns["object"])
        yield make_fact("place", story.starts[index], questions, answer, place.head, wrong)


def company_rule(story: Story) -> Iterator[StoryFact]:
    """``Sara went to the park with her mom``: who did she go with."""
    pattern = re.compile(r"\bwent (?:out |over |back |down |up )?to (?:the|a|an|his|her|their) [a-z ]{3,20} with ")
    found = [(index, match) for index, text in enumerate(story.sentences) for match in pattern.finditer(text)]
    if len(found) != 1:
        return
    ((index, match),) = found
    sentence, subject = story.sentences[index], story.subject_before(index, match.start())
    name = re.compile(r"[A-Z][a-z]+").match(sentence, match.end())
    phrase = phrase_at(sentence, match.end())
    rest = sentence[(name.end() if name else phrase.end if phrase else 0) :].lstrip()
    if subject is None or rest.startswith("and"):
        return
    who = name[0] if name and name[0] in story.called else phrase.head if phrase else ""
    if not who or (phrase and not name and kind_of(who) not in ("person", "animal")):
        return
    questions = (f"Who did {subject.text} go out with?", f"Do you remember who went with {subject.text}?")
    answer = f"{subject.opening} went with {who if name else phrase.text if phrase else who}."
    yield make_fact("who", story.starts[index], questions, answer, who, others_than(story, who))
