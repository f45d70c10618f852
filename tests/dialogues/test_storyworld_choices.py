"""Own words and unanswerable questions of the storyworld."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter

import pytest
from pydantic import ValidationError

from rxt_mrl.contracts import NEVER_TOLD, OWN_WORDS
from rxt_mrl.dialogues import from_dataset, from_row, to_dataset, to_row
from rxt_mrl.dialogues.storyworld import SLOTS, StoryworldConfig, dialogues, pairs
from rxt_mrl.dialogues.storyworld.choices import ASKED_BACK, CHOICES, CHOSEN, OFFERS, SAID
from rxt_mrl.dialogues.storyworld.config import PHRASINGS
from rxt_mrl.dialogues.storyworld.phrasing import UNKNOWN, UNKNOWN_VALUE
from rxt_mrl.dialogues.storyworld.vocabulary import FAMILIES, ROLES
from rxt_mrl.errors import UserError

DIGESTS = {
    ("easy", "multi_step"): "1d22e1f3a28f38c7",
    ("easy", "long_range"): "d7707f63d78a6be7",
    ("medium", "multi_step"): "e76ba9e577671ee2",
    ("medium", "long_range"): "55597c9c5023ec53",
    ("hard", "multi_step"): "c3a131c14abc6e90",
    ("hard", "long_range"): "36acea1b7007c628",
}


@pytest.mark.parametrize(("level", "strategy"), DIGESTS)
def test_dialogues_without_them_are_the_same_as_ever(level: str, strategy: str) -> None:
    made = dialogues(StoryworldConfig(level=level, strategy=strategy, steps=8), 200)
    texts = [[turn.query, turn.answer] for dialogue in made for turn in dialogue.turns]
    assert hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16] == DIGESTS[level, strategy]


@pytest.mark.parametrize("strategy", ["multi_step", "long_range"])
def test_choices_are_offered_and_asked_back(strategy: str) -> None:
    made = dialogues(StoryworldConfig(steps=8, own_words=0.8, strategy=strategy), 200)
    distances: Counter[int] = Counter()
    for dialogue in made:
        for index, turn in enumerate(dialogue.turns):
            for ask in (ask for ask in turn.asks if ask.slot == OWN_WORDS):
                offered = {ask.value, *ask.wrong}
                words = set(re.findall(r"\w+", turn.query))
                assert len(offered) == 3
                assert ask.value in re.findall(r"\w+", turn.answer)
                assert not set(ask.wrong) & set(re.findall(r"\w+", turn.answer))
                if ask.told_at == index:
                    assert offered <= words
                    others = [
                        other for other in dialogue.turns[:index] if set(re.findall(r"\w+", other.query)) & offered
                    ]
                    assert others == []
                else:
                    assert not offered & words
                    assert ask in dialogue.turns[ask.told_at].asks, "the reference says what it chose"
                distances[index - ask.told_at] += 1
    assert all(distances[distance] > 20 for distance in range(5)), distances
    assert from_dataset(to_dataset(made)) == made


def test_the_reference_prefers_no_place_in_the_offer() -> None:
    places: Counter[int] = Counter()
    for dialogue in dialogues(StoryworldConfig(steps=6, own_words=1.0), 300):
        for index, turn in enumerate(dialogue.turns):
            for ask in turn.asks:
                if ask.told_at == index:
                    places[sorted((ask.value, *ask.wrong), key=turn.query.index).index(ask.value)] += 1
    assert all(0.28 < places[place] / places.total() < 0.39 for place in range(3)), places


@pytest.mark.parametrize(("unknown", "said"), [("apart", UNKNOWN), ("in_place", UNKNOWN_VALUE)])
@pytest.mark.parametrize("level", ["easy", "hard"])
def test_unanswerable_questions_are_about_what_was_not_told(level: str, unknown: str, said: str) -> None:
    config = StoryworldConfig(level=level, steps=10, unanswerable=0.3, unknown=unknown, phrasings=1)
    made = dialogues(config, 200)
    asked = untold = later = 0
    for dialogue in made:
        missing: dict[str, int] = {}
        for index, turn in enumerate(dialogue.turns):
            question = re.search(r"[^.]*\?$", turn.query)
            for ask in turn.asks:
                asked += 1
                assert question
                key = question[0].strip()
                if ask.told_at != NEVER_TOLD:
                    later += key in missing
                    assert ask.told_at > missing.get(key, -1), "told, though it was unanswerable before"
                    continue
                untold += 1
                assert ask.value == ""
                assert said in turn.answer
                assert not set(ask.wrong) & set(re.findall(r"\w+", turn.answer))
                missing[key] = index
    assert 0.2 < untold / asked < 0.35
    assert later > 0, "the same question can be answered once it was told"
    assert from_dataset(to_dataset(made)) == made
    answers = [answer for _, answer in pairs(StoryworldConfig(unanswerable=0.3, unknown=unknown), 200)]
    assert 30 < sum(said in answer for answer in answers) < 90


def test_words_of_choices_mean_nothing_else() -> None:
    values = {word.lower() for family in FAMILIES.values() for word in family} | set(ROLES)
    sentences = [*OFFERS, *ASKED_BACK, CHOSEN, SAID, UNKNOWN, UNKNOWN_VALUE]
    sentences += [text for choice in CHOICES for text in (choice.kind, choice.thing)]
    for sentence in sentences:
        assert not set(re.findall(r"[a-z]+", re.sub(r"\{\w\}", "", sentence.lower()))) & values, sentence
    stories = " ".join(text for slot in SLOTS for pair in slot.says for text in pair).lower()
    assert not any(re.search(rf"\b{choice.thing}\b", stories) for choice in CHOICES)
    assert len({choice.thing for choice in CHOICES}) == len(CHOICES)
    assert len(OFFERS) == len(ASKED_BACK) == PHRASINGS


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"own_words": 1.5}, "own_words"),
        ({"unanswerable": -0.1}, "unanswerable"),
        ({"unknown": "silent"}, "unknown"),
        ({"own_words": 0.5, "slots": ("pet", "toy"), "first_facts": 2, "values": 35}, "'choice: fence' has 32 words"),
    ],
)
def test_impossible_settings_are_named(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StoryworldConfig(**knobs)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({"value": "red", "told_at": -1}, "told_at -1"),
        ({"value": "", "told_at": 0}, "ask value '' is not a text"),
        ({"value": "red", "told_at": 1}, "told_at 1 is not an earlier interaction"),
        ({"value": "red", "told_at": 2, "slot": OWN_WORDS}, "told_at 2 is not an earlier interaction"),
    ],
)
def test_asks_that_make_no_sense_are_refused(ask: dict[str, object], message: str) -> None:
    row = {"query": "q", "answer": "a", "interactions": [{"query": "q", "answer": "a", "asks": [ask]}]}
    with pytest.raises(UserError, match=message):
        from_row(row)
    assert to_row(from_row({**row, "interactions": [{"query": "q", "answer": "a"}]}))
