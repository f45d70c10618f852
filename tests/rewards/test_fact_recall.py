"""Fact recall pays for the fact, in any words, and for no trick."""

from __future__ import annotations

import pytest
from rxt_mrl.rewards.claims import parse, value_words
from rxt_mrl.rewards.fact_recall import FactRecall

from rxt_mrl.contracts import Ask, Interaction, RewardContext
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.errors import UserError

QUERY = "What is the dog's name?"
REFERENCE = "The dog's name is Rex."
ASKS = (Ask("Rex", 0, ("Max", "Bella"), "name"),)
TOLD = ["My dog is called Rex. He is brown. Rex is a nice name!"]


def score(answer: str, reference: str = REFERENCE, query: str = QUERY, asks: tuple[Ask, ...] = ASKS) -> float:
    return FactRecall().score(answer, reference, query, asks, TOLD)


@pytest.mark.parametrize(
    "answer",
    [
        REFERENCE,
        "Rex",
        "rex!",
        "It's Rex.",
        "Your dog goes by Rex.",
        "You told me that the name of your dog is Rex.",
        "No, it was Rex.",
        "It is not Max, it is Rex.",
        "Not Max but Rex.",
        "Rex instead of Max",
        "It's Rex, remember?",
        "Rex, thanks!",
        "It is Rex, and he is a good boy.",
        "The name of the dog is Rex and it is a big dog.",
        "What is the dog's name? Rex.",
        "Rex\u2019s name is Rex.",
    ],
)
def test_the_fact_in_any_words_earns_everything(answer: str) -> None:
    assert score(answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   ",
        "The dog's name is Max.",
        "The dog's name is not Rex.",
        "It isn't Rex.",
        "It isn\u2019t Rex.",
        "It is never Rex.",
        "Rex is not the name.",
        "Rex is wrong.",
        "It was Rex, not any more.",
        "Max instead of Rex",
        "anything but Rex",
        "Is it Rex?",
        "Rex?",
        QUERY,
        TOLD[0],
        "Rex or Spot",
        "Rex and Spot",
        "The dog's name is Spot and Rex.",
        "Rex, Spot",
        "Rex Spot",
        "Spot or maybe Rex",
        "Rex, Max and Bella",
        "Rex, Spot, Fluffy, Buddy",
        "Rex and Spot and Fluffy",
        "The names are Rex, Spot and Fluffy.",
        "The names are Spot, Fluffy and Rex.",
        "Rex Spot Fluffy Buddy",
        "Rex Rex Rex Rex Rex Rex",
        "Rexford",
        "It is Rex. It is Max.",
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen Rex",
    ],
)
def test_tricks_earn_nothing(answer: str) -> None:
    assert score(answer) == 0.0


def test_a_fact_that_stands_in_the_query_must_be_said_again() -> None:
    asks = (Ask("red", 0, ("blue",)),)
    query, reference = "Was the boy's toy red?", "Yes, the boy's toy was red."
    assert score(query, reference, query, asks) == 0.0
    assert score(query.rstrip("?"), reference, query, asks) == 0.0
    assert score(reference, reference, query, asks) == 1.0
    assert score("Yes, it was red.", reference, query, asks) == 1.0


def test_yes_and_no_are_values_too() -> None:
    asks = (Ask("no", 1, ("yes",)),)
    assert score("no", "no", "Is Sandra in the hall?", asks) == 1.0
    assert score("No.", "no", "Is Sandra in the hall?", asks) == 1.0
    assert score("yes", "no", "Is Sandra in the hall?", asks) == 0.0


def test_several_facts_are_shared_out() -> None:
    asks = (Ask("Rex", 0), Ask("red ball", 1))
    reference = "Rex has a red ball."
    assert score(reference, reference, asks=asks) == 1.0
    assert score("Rex has a blue ball.", reference, asks=asks) == 0.5
    assert score("Rex has a ball that is red.", reference, asks=asks) == 0.5
    assert score("Rex, a red ball", reference, asks=asks) == 1.0


def test_the_newest_value_of_a_slot_wins() -> None:
    asks = (Ask("blue", 0, (), "colour"), Ask("red", 2, (), "colour"))
    reference = "The hat is red."
    assert score("It is red.", reference, asks=asks) == 1.0
    assert score("It is blue.", reference, asks=asks) == 0.0
    both = "The hat of Tom is blue and the hat of Ann is red."
    assert score(both, both, asks=asks) == 1.0
    assert score("It is red.", both, asks=asks) == 0.5


def test_a_rule_that_the_reference_breaks_is_not_applied() -> None:
    asks = (Ask("Rex", 0),)
    assert score("He was not called Rex.", "The cat was not called Rex.", asks=asks) == 1.0
    listed = "They were Rex, Spot, Fluffy and Buddy."
    assert score("Rex, Spot, Fluffy, Buddy", listed, asks=asks) == 1.0


def test_numbers_and_articles() -> None:
    assert score("3", "There were three.", asks=(Ask("three", 0, ("two",)),)) == 1.0
    assert score("Two.", "There were three.", asks=(Ask("three", 0, ("2",)),)) == 0.0
    assert score("a sailor", "He was a sailor.", asks=(Ask("a sailor", 0),)) == 1.0


@pytest.mark.parametrize(
    "number",
    [
        "9" * 5000,
        "0." + "9" * 5000,
        "1" + ",000" * 2000,
        "B" + "9" * 5000,
        "1/" + "9" * 5000,
        "五" * 5000,
        "1e9999999",
        "1e-9999999",
        "1e" + "9" * 5000,
        "1/3e5",
    ],
    ids=lambda number: number[:10],
)
def test_a_number_beyond_all_numbers_is_a_word(number: str) -> None:
    """Python reads no more than 4,300 digits of a number, and would write out every zero of an exponent."""
    asks = (Ask(number, 0, ("7",)),)
    assert score(f"It is {number}.", number, asks=asks) == 1.0
    assert score("It is 7.", number, asks=asks) == score(f"It is {number[:-1]}8.", number, asks=asks) == 0.0
    assert value_words(number) == (number.lower(),) or number == "1e-9999999"


def test_exact_wants_nothing_but_the_value() -> None:
    exact = FactRecall(match="exact")
    assert exact.score("Rex!", REFERENCE, QUERY, ASKS) == 1.0
    assert exact.score("the Rex", REFERENCE, QUERY, ASKS) == 1.0
    assert exact.score("It is Rex.", REFERENCE, QUERY, ASKS) == 0.0


def test_it_does_not_apply_where_nothing_is_asked() -> None:
    context = RewardContext.from_text([QUERY] * 3, ["Rex", "Rex", "Max"], REFERENCE, asks=[ASKS, (), ASKS])
    scores, applies = FactRecall()(context)
    assert applies.tolist() == [True, False, True]
    assert scores.tolist() == [1.0, 0.0, 0.0]
    _, nowhere = FactRecall()(RewardContext.from_text([QUERY], ["Rex"], REFERENCE))
    assert nowhere.tolist() == [False]


def test_options_are_checked() -> None:
    with pytest.raises(UserError, match="words, exact"):
        FactRecall(match="some")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="at least 1"):
        FactRecall(longest=0.5)


def test_parsing() -> None:
    text = parse("It isn't Rex's ball, is it? No.")
    assert text.words == ("it", "is", "not", "rex", "ball", "is", "it", "no")
    assert text.clauses == (0, 0, 0, 0, 0, 1, 1, 2)
    assert text.questions == {1}
    assert value_words("The Red Ball") == ("red", "ball")


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
@pytest.mark.parametrize("strategy", ["multi_step", "long_range"])
def test_on_the_storyworld_right_answers_earn_everything_and_tricks_nothing(level: str, strategy: str) -> None:
    config = StoryworldConfig.model_validate({"level": level, "strategy": strategy, "steps": 8})
    asked = 0
    for dialogue in dialogues(config, 25):
        past: list[str] = []
        for turn in dialogue.turns:
            if turn.asks:
                asked += 1
                value = turn.asks[0].value

                def score(answer: str, turn: Interaction = turn, past: list[str] = past) -> float:
                    return FactRecall().score(answer, turn.answer, turn.query, turn.asks, past)

                assert score(turn.answer) == 1.0, turn
                if len(turn.asks) == 1:
                    assert score(value) == 1.0, turn
                tricks = (turn.query, past[-1], " ".join(past), turn.answer.replace(value, f"not {value}", 1))
                for trick in tricks + tuple(turn.answer.replace(value, wrong) for wrong in turn.asks[0].wrong):
                    assert score(trick) == 0.0, (turn, trick)
            past.append(f"{turn.query} {turn.answer}")
    assert asked > 100
