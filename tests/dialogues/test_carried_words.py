"""Facts of dialogues that nobody annotated."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from rxt_mrl.contracts import Ask, Dialogue, Interaction
from rxt_mrl.dialogues.carried_words import SLOT, carried_words
from rxt_mrl.dialogues.sources import DataSettings, load_dialogues
from rxt_mrl.dialogues.sources.annotations import check_annotations
from rxt_mrl.errors import UserError
from rxt_mrl.settings import validate


def marked(*turns: tuple[str, str]) -> list[list[tuple[str, int]]]:
    """What is marked in each follow-up."""
    first, *rest = turns
    dialogue = carried_words(Dialogue(*first, tuple(Interaction(*turn) for turn in rest)))
    return [[(ask.value, ask.told_at) for ask in turn.asks] for turn in dialogue.interactions]


STORY = ("Once there was a fox. The fox went to the lake. The fox ate plums.", "What a nice story.")


def test_the_words_that_an_answer_carries_over() -> None:
    assert marked(
        STORY, ("Where did the fox go?", "The fox went to the lake."), ("What did it eat?", "It ate Plums.")
    ) == [
        [("lake", 0)],
        [("Plums", 0)],
    ]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("Did the fox go to the lake?", "Yes, it went to the lake."),  # all in the query
        ("What will it do?", "It will sing."),  # told by nobody
        ("What did it do?", "It was there."),  # function words only
        ("Which foxes eat plums?", "The fox."),  # an inflection of the query's word
        ("Isn't it late?", "It isn't, it can't be."),
    ],
)
def test_what_is_not_carried(query: str, answer: str) -> None:
    assert marked(STORY, (query, answer)) == [[]]


def test_the_statement_that_is_about_the_question_told_it() -> None:
    turns = (
        STORY,
        ("Then the witch saw the red door.", "Good."),
        ("The boat of the witch was red.", "I see."),
        ("What colour was the boat?", "The boat was red."),
    )
    assert marked(*turns)[-1] == [("red", 2)]


def test_an_answer_that_says_it_again_did_not_tell_it() -> None:
    where = ("Where did the fox go?", "The fox went to the lake.")
    assert marked(STORY, where, where) == [[("lake", 0)], [("lake", 0)]]


def test_a_question_tells_nothing_and_an_answer_may_tell() -> None:
    turns = (
        ("Tell me a story.", "A pilot had a kite."),
        ("Was it a drum?", "No, it was a kite."),
        ("What?", "A drum."),
    )
    assert marked(*turns) == [[("kite", 0)], []]


def test_what_is_told_with_the_question_is_no_memory() -> None:
    assert marked(STORY, ("The fox met a hen. Whom did it meet?", "It met a hen.")) == [[]]


def test_an_option_of_every_source(tmp_path) -> None:
    settings = DataSettings(source="storyworld", limit=20)
    given = load_dialogues(settings, steps=4).dialogues
    found = load_dialogues(settings.model_copy(update={"annotate": "carried_words"}), steps=4).dialogues
    assert {ask.slot for row in found for turn in row.interactions for ask in turn.asks} == {SLOT}
    assert [strip(row) for row in found] == [strip(row) for row in given]
    hidden = load_dialogues(settings.model_copy(update={"annotate": "carried_words", "references": False}), steps=4)
    assert asks(hidden.dialogues) == asks(found)
    with pytest.raises(UserError, match="annotate"):
        validate(DataSettings, {"annotate": "words"}, "data")


def test_precision_and_recall_against_the_storyworld(capsys) -> None:
    console = Console(record=True, width=120)
    found = check_annotations(console=console, seed=1)
    for name, precision, recall in (("easy", 0.97, 0.95), ("medium", 0.92, 0.9), ("hard", 0.85, 0.8)):
        result = found[f"storyworld {name}"]
        assert result.precision >= precision
        assert result.recall >= recall
    assert "precision" in console.export_text()


def test_data_without_annotations_cannot_be_compared(tmp_path) -> None:
    (tmp_path / "train.jsonl").write_text(
        '{"query": "a", "answer": "b", "interactions": [{"query": "c", "answer": "d"}]}\n'
    )
    with pytest.raises(UserError, match="no annotations"):
        check_annotations([f"jsonl:{tmp_path}"], steps=1)


def strip(dialogue: Dialogue) -> Dialogue:
    return replace(dialogue, interactions=tuple(replace(turn, asks=()) for turn in dialogue.interactions))


def asks(dialogues: list[Dialogue]) -> list[tuple[Ask, ...]]:
    return [turn.asks for dialogue in dialogues for turn in dialogue.interactions]
