import re
from collections import Counter
from itertools import pairwise

import pytest
from pydantic import ValidationError

from rxt_mrl.contracts import Dialogue
from rxt_mrl.dialogues.storyworld import LEVELS, StoryworldConfig, dialogues, generate
from rxt_mrl.dialogues.storyworld.phrasing import BY_NAME
from rxt_mrl.dialogues.storyworld.vocabulary import FAMILIES

EASY = StoryworldConfig(steps=8)
VALUES = {word for family in FAMILIES.values() for word in family}


def told_in(text: str) -> frozenset[str]:
    """The values in a text: in easy dialogues each slot has its own words, so they are the facts."""
    return frozenset(re.findall(r"\w+", text)) & VALUES


def asked(made: list[Dialogue], first_turn: int = 1):
    """(turn, ask) of every annotated question."""
    for dialogue in made:
        for turn, interaction in enumerate(dialogue.interactions, start=1):
            for ask in interaction.asks:
                if turn >= first_turn:
                    yield turn, ask


@pytest.fixture(scope="module")
def easy():
    return dialogues(EASY, 2000)


def test_a_dialogue_is_a_pure_function_of_its_key(easy):
    assert [generate(EASY, "train", index) for index in (7, 3, 7)] == [easy[7], easy[3], easy[7]]
    assert dialogues(EASY, 5, start=100) == easy[100:105]
    assert dialogues(EASY, 5, seed=1) != easy[:5]
    assert dialogues(EASY, 5, "validation") != easy[:5]
    assert len(set(easy)) == len(easy)


def test_easy_dialogues_read_like_this():
    """Stored runs refer to dialogues by index: a change here changes what they mean. It is also what shows that
    every process tells the same stories.
    """
    dialogue = generate(StoryworldConfig(steps=2), "train", 0)
    assert [(turn.query, turn.answer) for turn in dialogue.turns] == [
        (
            "Once there was a boy. The weather was chilly. The boy hoped to become a doctor. The boy had soup to eat.",
            "What a nice story.",
        ),
        ("Later the boy went to the farm. What did the boy have to eat?", "The boy had soup to eat."),
        ("Then the boy's pet was a fox. Where did the boy go?", "The boy went to the farm."),
    ]


def test_annotations_point_at_the_words(easy):
    for dialogue in easy[:500]:
        for turn, interaction in enumerate(dialogue.interactions, start=1):
            (ask,) = interaction.asks
            assert ask.value in told_in(dialogue.turns[ask.told_at].query)
            assert ask.value in told_in(interaction.answer)
            assert ask.value not in told_in(interaction.query)
            assert 0 <= ask.told_at < turn
            assert ask.value not in ask.wrong


def test_splits_share_no_combination_of_first_facts():
    splits = ("train", "validation", "test")
    first = {split: {told_in(item.query) for item in dialogues(EASY, 800, split)} for split in splits}
    assert all(len(facts) == EASY.first_facts for facts in first["train"])
    assert all(len(first[split]) > 780 for split in splits)
    assert not first["train"] & first["validation"]
    assert not first["train"] & first["test"]
    assert not first["validation"] & first["test"]
    # small enough to exhaust: of the two-fact combinations of two slots, each belongs to one split only
    small = StoryworldConfig(slots=("pet", "food"), first_facts=2, steps=1, values=5)
    seen = {split: {told_in(item.query) for item in dialogues(small, 250, split)} for split in splits}
    assert len(set.union(*seen.values())) == sum(map(len, seen.values())) == 25


def test_splits_are_apart_whatever_the_seed_and_the_phrasing():
    train = {told_in(item.query) for item in dialogues(StoryworldConfig(phrasings=4, steps=1), 800, "train", seed=5)}
    assert not train & {told_in(item.query) for item in dialogues(StoryworldConfig(steps=1), 800, "validation", seed=9)}


def test_held_out_values_are_new_in_their_slot_only():
    config = StoryworldConfig(level="medium", steps=8, held_out_values=8)
    by_split = {}
    for split in ("train", "validation"):
        values: dict[str, set[str]] = {}
        for _, ask in asked(dialogues(config, 800, split)):
            if ask.slot in BY_NAME:
                values.setdefault(ask.slot, set()).add(ask.value)
        by_split[split] = values
    train, validation = by_split["train"], by_split["validation"]
    assert set(train) == set(validation) == set(config.slot_names)
    for slot in config.slot_names:
        assert len(train[slot]) == 20
        assert len(validation[slot]) == 8
        assert not train[slot] & validation[slot]
    # the new value of "place" is a known word: train uses it for "home"
    assert validation["place"] <= train["home"]
    assert validation["home"] & train["place"]


def test_guessing_scores_one_in_twenty(easy):
    by_slot: dict[str, Counter[str]] = {}
    for _, ask in asked(easy):
        by_slot.setdefault(ask.slot, Counter())[ask.value] += 1
    assert set(by_slot) == set(EASY.slot_names)
    for slot, counts in by_slot.items():
        assert len(counts) == 20, slot
        assert max(counts.values()) / counts.total() < 0.08, slot
    best = {slot: counts.most_common(1)[0][0] for slot, counts in by_slot.items()}
    right = [ask.value == best[ask.slot] for _, ask in asked(dialogues(EASY, 600, start=50_000))]
    assert sum(right) / len(right) < 0.062, "the best constant answer per kind of question"


def test_one_fact_of_the_story_says_nothing_about_another(easy):
    """Guess each asked value from the first value of the story: no better than one in twenty, on new dialogues."""
    table: dict[tuple[str, str], Counter[str]] = {}

    def clue(dialogue):
        words = [word for word in re.findall(r"\w+", dialogue.query) if word in VALUES]
        return words[0]

    for dialogue in easy:
        for _, ask in asked([dialogue]):
            table.setdefault((ask.slot, clue(dialogue)), Counter())[ask.value] += 1
    right = total = 0
    for dialogue in dialogues(EASY, 600, start=50_000):
        for _, ask in asked([dialogue]):
            if ask.value != clue(dialogue) and (guesses := table.get((ask.slot, clue(dialogue)))):
                right += guesses.most_common(1)[0][0] == ask.value
                total += 1
    assert right / total < 0.075


@pytest.mark.parametrize("steps", [4, 8, 16])
@pytest.mark.parametrize("level", ["easy", "hard"])
def test_late_facts_are_asked_as_often_as_early_ones(level, steps):
    config = StoryworldConfig(level=level, steps=steps, questions={"recall": 1})
    made = dialogues(config, 400)
    later = [ask.told_at > 0 for _, ask in asked(made, first_turn=2)]
    assert 0.5 < sum(later) / len(later) < 0.65
    distances = Counter(turn - ask.told_at for turn, ask in asked(made))
    assert set(distances) == set(range(1, steps + 1))


def test_no_fact_is_asked_twice_running(easy):
    for dialogue in easy:
        values = [interaction.asks[0].value for interaction in dialogue.interactions]
        assert all(one != two for one, two in pairwise(values))


def test_without_reask_every_fact_is_asked_once():
    config = StoryworldConfig(steps=8, tell_rate=1, reask=False)
    for dialogue in dialogues(config, 200):
        values = [interaction.asks[0].value for interaction in dialogue.interactions]
        assert len(set(values)) == 8


def test_long_range_returns_to_the_first_story():
    config = StoryworldConfig(steps=6, strategy="long_range")
    for dialogue in dialogues(config, 200):
        switch, *between, last = dialogue.interactions
        assert switch.asks == ()
        assert all(ask.told_at > 0 for turn in between for ask in turn.asks)
        assert all(turn.asks for turn in between)
        assert [ask.told_at for ask in last.asks] == [0]
        role = re.search(r"an? (boy|girl)", dialogue.query)[1]
        assert not any(role in turn.query for turn in (switch, *between)), "nothing reminds of the first character"


def test_long_range_with_several_topics_and_short_dialogues():
    config = StoryworldConfig(steps=9, strategy="long_range", topics=3)
    for dialogue in dialogues(config, 50):
        assert [turn for turn, item in enumerate(dialogue.interactions, start=1) if not item.asks] == [1, 3, 6]
    for steps in (1, 2):
        (dialogue,) = dialogues(StoryworldConfig(steps=steps, strategy="long_range", topics=3), 1)
        assert dialogue.interactions[-1].asks[0].told_at == 0


def test_dialogues_may_be_as_long_as_one_likes():
    for level in LEVELS:
        for strategy in ("multi_step", "long_range"):
            config = StoryworldConfig(level=level, strategy=strategy, steps=300)
            (dialogue,) = dialogues(config, 1)
            assert len(dialogue.interactions) == 300
            assert max(ask.told_at for _, ask in asked([dialogue])) > 60
            assert sum(not turn.asks for turn in dialogue.interactions) == (strategy == "long_range") * config.topics


def test_the_smallest_worlds_never_run_dry():
    for slots in (("pet", "food"), ("age", "stickers"), ("pet", "wild", "weather")):
        for strategy in ("multi_step", "long_range"):
            config = StoryworldConfig(
                slots=slots, first_facts=2, values=5, steps=40, change_rate=0.6, tell_rate=1, strategy=strategy
            )
            for dialogue in dialogues(config, 50):
                assert len(dialogue.interactions) == 40
                assert all(turn.asks for turn in dialogue.interactions[1:])


def test_outdated_values_are_wrong():
    config = StoryworldConfig(level="hard", steps=12, change_rate=0.6, questions={"recall": 1})
    changed = 0
    for dialogue in dialogues(config, 100):
        for _, ask in asked([dialogue]):
            changed += bool(ask.wrong)
            assert len(set(ask.wrong)) == len(ask.wrong)
    assert changed > 300


def test_yes_and_no_are_balanced():
    config = StoryworldConfig(level="hard", steps=8, questions={"recall": 0.01, "check": 1})
    answers = Counter(
        turn.answer.split(",")[0]
        for dialogue in dialogues(config, 400)
        for turn in dialogue.interactions
        if turn.answer.startswith(("Yes,", "No,"))
    )
    assert 0.45 < answers["Yes"] / answers.total() < 0.55


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"slots": 99}, "slots 99 is not possible: 1 to 23"),
        ({"slots": ("pet", "tail")}, r"slots \['tail'\] do not exist"),
        ({"slots": ("pet", "pet")}, "each named once"),
        ({"slots": ("weather",)}, r"at least one must be about a character"),
        ({"values": 25, "held_out_values": 10}, "values \\+ held_out_values 35 is too many: slot 'pet_name' has 30"),
        ({"slots": 3, "first_facts": 4}, "first_facts 4 is too many for 3 slots"),
        ({"first_characters": 2}, "first_characters 2 is above characters 1"),
        ({"characters": 24, "roles": 24, "strategy": "long_range"}, "characters and topics need 25 roles"),
        ({"questions": {"recall": 0}}, "recall must be above 0"),
        ({"level": "harder"}, "level"),
        ({"colour": 1}, "Extra inputs are not permitted"),
    ],
)
def test_impossible_settings_are_named(knobs, message):
    with pytest.raises(ValidationError, match=message):
        StoryworldConfig(**knobs)


def test_a_level_is_a_set_of_defaults():
    config = StoryworldConfig(level="hard", change_rate=0, steps=3)
    assert (config.change_rate, config.characters, config.steps) == (0, 4, 3)
    assert StoryworldConfig.model_validate_json(config.model_dump_json()) == config
    assert StoryworldConfig(level="easy") == StoryworldConfig()
