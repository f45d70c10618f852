import re
from collections import Counter

import pytest

from rxt_mrl.dialogues.storyworld import SLOTS
from rxt_mrl.dialogues.storyworld import generator as told
from rxt_mrl.dialogues.storyworld import phrasing as said
from rxt_mrl.dialogues.storyworld.config import PHRASINGS
from rxt_mrl.dialogues.storyworld.vocabulary import FAMILIES, FILLERS, NUMBERS, ROLES, article


def test_families_are_large_and_share_no_word():
    for family, words in FAMILIES.items():
        assert len(words) >= (22 if family == "numbers" else 30), family
    words = [word.lower() for family in FAMILIES.values() for word in family] + list(ROLES)
    assert [word for word, count in Counter(words).items() if count > 1] == []
    assert all(re.fullmatch("[A-Za-z]+", word) for word in words)


def test_sentences_contain_no_value():
    values = {word.lower() for family in FAMILIES.values() for word in family} | set(ROLES)
    sentences = [text for slot in SLOTS for pair in slot.says for text in pair]
    sentences += [text for slot in SLOTS for text in (*slot.changes, slot.check, slot.who)]
    sentences += [text for options in said.COMPARISONS.values() for option in options for text in option[:2]]
    sentences += [*said.OPENINGS, *said.SWITCHES, *said.RETURNS, *said.THANKS, *said.REQUESTS, *FILLERS]
    sentences += [*told.CONNECTIVES, "There was also {r} named", "How many characters do we know by now?"]
    for sentence in sentences:
        words = set(re.findall(r"[a-z]+", re.sub(r"\{\w\}", "", sentence.lower())))
        assert not words & values, sentence


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_slots_are_well_formed(slot):
    assert len(slot.says) == PHRASINGS
    assert len(set(slot.says)) == PHRASINGS
    subject = 1 if slot.scope == "character" else 0
    for tell, ask in slot.says:
        assert tell.count("{n}") == 1
        assert "{n}" not in ask
        assert tell.endswith(".")
        assert ask.endswith("?")
        assert tell.count("{s}") + tell.count("{S}") == ask.count("{s}") == subject
    for text in (*slot.changes, slot.check):
        assert text.count("{n}") == 1
    assert len(slot.changes) in (0, 2)
    assert bool(slot.who) == (slot.scope == "character")
    assert "{s}" not in slot.who
    assert "{S}" not in slot.who
    assert slot.start < len(FAMILIES[slot.family])


def test_no_two_slots_are_told_or_asked_alike():
    """ "The boy's toy was a kite" and "... was red" differ by the article alone, and so need no other difference."""
    told = Counter((pair[0], slot.form) for slot in SLOTS for pair in slot.says)
    asked = Counter(pair[1] for slot in SLOTS for pair in slot.says)
    assert [text for text, count in [*told.items(), *asked.items()] if count > 1] == []


def test_articles_and_nouns():
    assert [article(word) for word in ("dog", "owl", "ukulele", "uniform", "hour")] == ["a", "an", "a", "a", "a"]
    by_name = {slot.name: slot for slot in SLOTS}
    assert by_name["pet"].noun("owl") == "an owl"
    assert by_name["place"].noun("lake") == "the lake"
    assert by_name["color"].noun("red") == "red"
    assert NUMBERS["twenty"] == 20
    assert by_name["age"].numeric
    assert not by_name["pet"].numeric
