"""bAbI stories as dialogues: what is told where, distances from the supporting facts, malformed lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rxt_mrl.contracts import Dialogue
from rxt_mrl.dialogues.sources import DataSettings, load_dialogues, load_pairs
from rxt_mrl.errors import UserError

DATA = Path(os.environ.get("RXT_MRL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "babi"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"no bAbI files in {DATA} (set RXT_MRL_DATA)")

STORY = """1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Daniel went to the garden.
5 Where is John?\thallway\t2
6 Where is Daniel?\tgarden\t4
7 Mary went to the office.
"""


def load(tmp_path: Path, text: str | bytes, steps: int | None = None, **options: object) -> list[Dialogue]:
    path = tmp_path / "qa1_train.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_dialogues(DataSettings(source="babi", path=str(path), options=options), steps=steps).dialogues


def told(dialogue: Dialogue) -> list[list[tuple[str, int]]]:
    return [[(ask.value, ask.told_at) for ask in turn.asks] for turn in dialogue.turns]


def test_joined_layout(tmp_path: Path) -> None:
    (dialogue,) = load(tmp_path, STORY)
    assert dialogue.query == "Mary moved to the bathroom. John went to the hallway."
    assert [turn.query for turn in dialogue.interactions] == [
        "Where is Mary? And then: Daniel went to the garden.", "Where is John?", "Where is Daniel?",
    ]  # fmt: skip
    assert [turn.answer for turn in dialogue.interactions] == ["bathroom", "hallway", "garden"]
    assert told(dialogue) == [[], [("bathroom", 0)], [("hallway", 0)], [("garden", 1)]]
    assert dialogue.interactions[0].asks[0].wrong == ("garden", "hallway")
    assert dialogue.interactions[0].asks[0].slot == "place"


def test_separate_layout(tmp_path: Path) -> None:
    (dialogue,) = load(tmp_path, STORY, layout="separate", acknowledge="Yes.")
    assert [turn.query for turn in dialogue.interactions] == [
        "Where is Mary?", "Daniel went to the garden.", "Where is John?", "Where is Daniel?",
    ]  # fmt: skip
    assert dialogue.interactions[1].answer == "Yes."
    assert told(dialogue) == [[], [("bathroom", 0)], [], [("hallway", 0)], [("garden", 2)]]


def test_steps_cut_before_what_nobody_asks_for(tmp_path: Path) -> None:
    (dialogue,) = load(tmp_path, STORY, steps=1)
    assert [turn.query for turn in dialogue.interactions] == ["Where is Mary?"]


def test_windows_tell_everything_that_came_before(tmp_path: Path) -> None:
    first, second, third = load(tmp_path, STORY, steps=1, windows=True)
    assert first.query == "Mary moved to the bathroom. John went to the hallway."
    assert second.query == third.query == f"{first.query} Daniel went to the garden."
    assert [dialogue.interactions[0].answer for dialogue in (first, second, third)] == ["bathroom", "hallway", "garden"]
    assert told(third) == [[], [("garden", 0)]]


def test_windows_hold_every_question(tmp_path: Path) -> None:
    for steps, queries in {1: ["Mary", "John", "Daniel"], 2: ["Mary", "John", "John", "Daniel"], 3: ["Mary"]}.items():
        made = load(tmp_path, STORY, steps=steps, windows=True)
        assert [turn.query.split("?")[0].split()[-1] for d in made for turn in d.interactions][
            : len(queries)
        ] == queries
        assert {turn.answer for d in made for turn in d.interactions} == {"bathroom", "hallway", "garden"}


def test_a_needed_stretch_holds_the_support(tmp_path: Path) -> None:
    made = load(tmp_path, STORY, steps=1, windows=True, tell="needed")
    assert len(made) == 3
    for dialogue, person in zip(made, ("Mary", "John", "Daniel"), strict=True):
        assert f"{person} " in dialogue.query
        assert told(dialogue)[1][0][1] == 0
    text = "1 Mary sat.\n2 Is Mary here?\tno\n"  # no id of a supporting line: all is told
    assert load(tmp_path, text, tell="needed", windows=True)[0].query == "Mary sat."


def test_pairs_hold_their_support(tmp_path: Path) -> None:
    load(tmp_path, STORY)
    pairs = load_pairs(DataSettings(source="babi", path=str(tmp_path / "qa1_train.txt")))
    assert [answer for _, answer in pairs] == ["bathroom", "hallway", "garden"]
    assert pairs[0][0] == "Mary moved to the bathroom. John went to the hallway. Where is Mary?"
    assert all(answer in query for query, answer in pairs)


CAST = """1 Mary took the milk to the kitchen.
2 Daniel and Sandra went to the office.
3 She gave it to John.
4 Where is the milk?\tkitchen,office\t1
"""


def test_copies_rename_consistently(tmp_path: Path) -> None:
    original, *copies = load(tmp_path, CAST, copies=30)
    assert original.query.startswith("Mary took the milk to the kitchen.")
    assert len(copies) == 30
    assert len({copy.query for copy in copies}) == 8, "2 women, 2 men, 2 places: all permutations"
    for copy in copies:
        words = copy.query.replace(".", "").split()
        names = {words[0], words[9]}
        assert names == {"Mary", "Sandra"}, "women stay women, for the pronouns"
        places = [words[6], words[13]]
        assert copy.interactions[0].answer == f"{places[0]},{places[1]}"
        assert copy.interactions[0].asks[0].value == places[0]
    settings = DataSettings(source="babi", path=str(tmp_path), options={"copies": 30})
    (tmp_path / "qa1_valid.txt").write_text(CAST)
    assert len(load_dialogues(settings, "validation")) == 1, "what is measured is left alone"
    assert len(load_dialogues(settings, seed=1)) == 31
    assert load_dialogues(settings, seed=1).dialogues != load_dialogues(settings).dialogues
    assert len(load_pairs(settings)) == 31


def test_copies_leave_out_questions_and_tell_everything(tmp_path: Path) -> None:
    original, *copies = load(tmp_path, STORY, steps=2, copies=40, skip=0.5)
    (plain,) = load(tmp_path, STORY, steps=2)
    assert (original.query, told(original)) == (plain.query, told(plain)), "the file's own stories are left alone"
    assert copies == load(tmp_path, STORY, steps=2, copies=40, skip=0.5)[1:]
    first = [copy.query.count(".") for copy in copies]
    assert set(first) == {2, 3}, "without the first question, what followed it is told with what came before"
    assert {"Where" in copy.interactions[0].query and "then" in copy.interactions[0].query for copy in copies} == {
        True, False,
    }  # fmt: skip
    for copy in copies:
        assert len(copy.interactions) == 2, "as many as `steps` asks for are left"
        for turn in copy.interactions:
            name = turn.query.split()[2].rstrip("?")
            told_where = [
                text for text in f"{copy.query} {copy.interactions[0].query}".split(".") if f"{name} " in text
            ]
            assert turn.answer in told_where[-1]


def test_copies_begin_with_the_beginning_of_another_story(tmp_path: Path) -> None:
    text = STORY + STORY.replace("Daniel went", "Sandra travelled").replace("Is Daniel", "Is Sandra").replace(
        "Where is Daniel", "Where is Sandra"
    )
    first, second, *copies = load(tmp_path, text, copies=30, join=0.5)
    assert [len(first.interactions), len(second.interactions)] == [3, 3]
    lengths = [len(copy.interactions) for copy in copies]
    assert set(lengths) == {3, 4, 5, 6}, "up to question 1, 2 or 3 of another story"
    assert 0.3 < sum(length > 3 for length in lengths) / len(lengths) < 0.7
    for copy in copies:
        heard = copy.query
        for turn in copy.interactions:
            question, _, then = turn.query.partition("? And then:")
            name = question.split()[2].rstrip("?")
            assert turn.answer in [text for text in heard.split(".") if f"{name} " in text][-1]
            heard += then
    tell_and_ask = [{ask.told_at for turn in copy.interactions for ask in turn.asks} for copy in copies]
    assert max(max(told) for told in tell_and_ask) > 1, "told_at goes on counting in the second story"


@pytest.mark.parametrize(
    "question",
    ["How many objects is Mary carrying?\tone\t1", "What is Mary carrying?\tmilk\t1", "Is the box red?\tno\t1",
     "Where was Mary before the hall?\tkitchen\t1", "Where is Mary?\tkitchen"],
)  # fmt: skip
def test_stories_whose_answers_hang_on_what_was_before_are_not_joined(question: str, tmp_path: Path) -> None:
    text = f"1 Mary took the milk to the kitchen.\n2 John sat by Daniel.\n3 {question}\n"
    made = load(tmp_path, text * 2, copies=10, join=1.0)
    assert {len(dialogue.interactions) for dialogue in made} == {1}


@pytest.mark.parametrize("options", [{"join": 0.5}, {"skip": 0.5}, {"ask_where": 0.5}])
def test_what_changes_copies_needs_copies(options: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises((UserError, ValueError), match="give copies"):
        load(tmp_path, STORY, **options)


def test_copies_of_motives_rename_people_only(tmp_path: Path) -> None:
    text = (
        "1 Sumit is hungry.\n2 Yann is bored.\n3 Where will sumit go?\tkitchen\t1\n4 Where will yann go?\tgarden\t2\n"
    )
    made = load(tmp_path, text, copies=20)
    assert {dialogue.query for dialogue in made} == {
        "Sumit is hungry. Yann is bored.", "Yann is hungry. Sumit is bored.",
    }  # fmt: skip
    assert {dialogue.interactions[0].answer for dialogue in made} == {"kitchen"}
    with pytest.raises(UserError, match="nothing can be renamed"):
        load(tmp_path, "1 The box is red.\n2 Is it red?\tyes\t1\n", copies=1)


def test_several_supporting_facts_count_from_the_oldest(tmp_path: Path) -> None:
    text = "1 Mary got the milk.\n2 Is Mary here?\tno\n3 Mary went home.\n4 Where is the milk?\thome,hall\t1 3\n"
    (dialogue,) = load(tmp_path, text)
    assert told(dialogue) == [[], [], [("home", 0), ("hall", 0)]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Where is Mary?\tbathroom\t1", "not a bAbI line"),
        ("\u00b2 Mary went to the bathroom.", "not a bAbI line"),
        ("9" * 5000 + " Mary went to the bathroom.", "not a bAbI line"),
        ("3 Where is Mary?\tbathroom\t\u00b2", "not a bAbI question"),
        ("3 Where is Mary?\t\t1", "has no answer"),
        ("3 Where is Mary?\tbathroom\tone", "not a bAbI question"),
        ("3 Where is Mary?\tbathroom\t7", "supporting line 7 is not an earlier statement"),
        ("8 John sat.", "line number 8 in the story, 3 or 1 is needed"),
        (b"3 Where is \xff?\tx\t1", "not UTF-8"),
    ],
)
def test_malformed_lines(line: str | bytes, message: str, tmp_path: Path) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    head = b"\n".join(STORY.encode().split(b"\n")[:2])
    text = head + b"\n" + raw + b"\n" + STORY.encode()
    with pytest.raises(UserError, match=r"qa1_train.txt line 3") as caught:
        load(tmp_path, text)
    assert message in str(caught.value)
    settings = DataSettings(source="babi", path=str(tmp_path / "qa1_train.txt"), on_bad_row="skip")
    loaded = load_dialogues(settings)
    assert (len(loaded), len(loaded.report.bad)) == (1, 1)


def test_story_without_questions_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("1 Mary sat.\n" + STORY)
    report = load_dialogues(DataSettings(source="babi", path=str(path))).report
    assert report.passed == {"nothing is told, or nothing asked": 1}


@real
@pytest.mark.parametrize(("task", "answers"), [(1, 6), (6, 2)])
def test_real_files(task: int, answers: int) -> None:
    settings = DataSettings(source="babi", path=str(DATA), options={"tasks": [task]})
    train, validation = load_dialogues(settings).dialogues, load_dialogues(settings, "validation").dialogues
    assert (len(train), len(validation)) == (180, 20)
    assert all(len(dialogue.interactions) == 5 for dialogue in train + validation)
    asks = [ask for dialogue in train for turn in dialogue.interactions for ask in turn.asks]
    assert len(asks) == 900
    assert {len(ask.wrong) for ask in asks} == {answers - 1}
    assert all(0 <= ask.told_at < step for d in train for step, turn in enumerate(d.turns) for ask in turn.asks)


@real
def test_real_files_windows() -> None:
    settings = DataSettings(source="babi", path=str(DATA / "qa1_train.txt"), options={"windows": True})
    assert len(load_dialogues(settings, steps=2)) == 540
    with pytest.raises(UserError, match="the dialogue has 5 follow-ups, steps: 8 needs more"):
        load_dialogues(settings, steps=8)
    with pytest.raises(UserError, match="no bAbI task 99 among the files; there are: 1, "):
        load_dialogues(DataSettings(source="babi", path=str(DATA), options={"tasks": [99]}))
