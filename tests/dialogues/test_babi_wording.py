"""Copies of bAbI stories in other words: what may change, and that every answer stays right."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from rxt_mrl.contracts import Dialogue
from rxt_mrl.dialogues.sources import DataSettings, load_dialogues

DATA = Path(os.environ.get("RXT_MRL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "babi"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"no bAbI files in {DATA} (set RXT_MRL_DATA)")


def copies(tmp_path: Path, text: str, count: int = 40, **options: object) -> list[Dialogue]:
    (tmp_path / "qa1_train.txt").write_text(text)
    options |= {"copies": count}
    settings = DataSettings(source="babi", path=str(tmp_path / "qa1_train.txt"), options=options)
    return load_dialogues(settings).dialogues[1:]


def test_sayings_are_exchanged_for_those_in_the_files(tmp_path: Path) -> None:
    text = (
        "1 Mary moved to the hallway.\n2 Then she went back to the garden.\n3 After that she got the milk there.\n"
        "4 Mary left the milk there.\n5 The garden is to the left of the hallway.\n6 Where is Mary?\tgarden\t1 2\n"
    )
    made = [copy.query for copy in copies(tmp_path, text, 200)]
    assert {re.sub("garden|hallway", "L", query) for query in made} == {
        f"Mary {first} to the L. {second} she {third} to the L. {last} she got the milk there. "
        "Mary left the milk there. The L is to the left of the L."
        for first in ("moved", "went back") for third in ("moved", "went back")
        for second in ("Then", "After that") for last in ("Then", "After that")
    }  # fmt: skip


def test_questions_keep_their_words(tmp_path: Path) -> None:
    text = "1 Fred gave the milk to Bill.\n2 Bill handed the milk to Jeff.\n3 Who gave the milk to Bill?\tFred\t1\n"
    made = copies(tmp_path, text)
    assert {copy.query.split()[1] for copy in made} == {"gave", "handed"}
    for copy in made:
        (turn,) = copy.interactions
        receiver = turn.query.removeprefix("Who gave the milk to ").rstrip("?")
        assert re.search(rf"{turn.answer} (gave|handed) the milk to {receiver}\.", copy.query)


YES_NO = """1 Mary went to the hallway.
2 John went to the garden.
3 Is Mary in the hallway?\tyes\t1
4 Is John in the hallway?\tno\t2
"""


def test_yes_or_no_is_asked_of_another_place(tmp_path: Path) -> None:
    asked = set()
    for copy in copies(tmp_path, YES_NO):
        for turn in copy.interactions:
            name, place = re.findall(r"Is (\w+) in the (\w+)", turn.query)[0]
            assert turn.answer == ("yes" if f"{name} went to the {place}." in copy.query else "no")
            asked.add((name, turn.answer))
    assert asked == {(name, answer) for name in ("Mary", "John") for answer in ("yes", "no")}


def test_where_others_are_is_asked_of_as_well(tmp_path: Path) -> None:
    places = ["hallway", "garden", "office", "kitchen", "bathroom", "bedroom"]
    text = YES_NO + "".join(
        f"{5 + at} Is John in the {place}?\t{'yes' if place == 'garden' else 'no'}\t2\n"
        for at, place in enumerate(places)
    )
    answered_no = [
        (place, copy.query)
        for copy in copies(tmp_path, text, 60)
        for turn in copy.interactions
        for place in re.findall(r"Is John in the (\w+)", turn.query)
        if turn.answer == "no"
    ]
    told = sum(place in query for place, query in answered_no) / len(answered_no)
    assert 0.5 < told < 0.7, "half the time, and one of five others by chance"


def test_where_somebody_is_may_be_asked_instead(tmp_path: Path) -> None:
    turns = [(copy.query, turn) for copy in copies(tmp_path, YES_NO, ask_where=0.5) for turn in copy.interactions]
    asked = [(told, turn) for told, turn in turns if turn.query.startswith("Where is ")]
    assert 0.3 < len(asked) / len(turns) < 0.7
    for told, turn in asked:
        assert f"{turn.query.removeprefix('Where is ').rstrip('?')} went to the {turn.answer}." in told
        assert turn.asks[0].wrong == tuple({"garden", "hallway"} - {turn.answer})
    text = YES_NO.replace("2 John went to", "2 John is no longer in")
    kept = copies(tmp_path, text, ask_where=1.0)
    assert {turn.query.split()[0] for copy in kept for turn in copy.interactions} == {"Is"}


@pytest.mark.parametrize(
    "line",
    ["2 John is no longer in the garden.", "2 John is either in the garden or the hallway.", "2 John sat."],
)
def test_yes_or_no_stays_where_a_place_does_not_answer_it(line: str, tmp_path: Path) -> None:
    text = re.sub("^2 .*$", line, YES_NO, flags=re.MULTILINE).replace("John in the hallway", "John in the garden")
    made = copies(tmp_path, text)
    assert {tuple(turn.answer for turn in copy.interactions) for copy in made} == {("yes", "no")}


@real
@pytest.mark.parametrize("task", [1, 6, 11, 12, 13])
def test_answers_of_real_copies_follow_from_what_is_told(task: int) -> None:
    options = {"tasks": [task], "copies": 2, "join": 0.5, "skip": 0.4, "ask_where": 0.3}
    made = load_dialogues(DataSettings(source="babi", path=str(DATA), options=options)).dialogues[180:]
    answers = [turn.answer for copy in made for turn in copy.interactions]
    assert len(answers) > 1800
    assert answers == [answer for copy in made for answer in _simulated(copy)]


def _simulated(dialogue: Dialogue) -> list[str]:
    """What a reader answers who follows who is where."""
    where: dict[str, str] = {}
    latest: list[str] = []
    answers = []
    for turn in dialogue.turns:
        question, _, then = turn.query.rpartition("? And then:") if "And then:" in turn.query else (
            (turn.query, "", "") if turn.query.endswith("?") else ("", "", turn.query)
        )  # fmt: skip
        if question:
            name = question.split()[1] if question.startswith("Is") else question.split()[2].rstrip("?")
            asked = question.rstrip("?").split()[-1]
            answers.append(("yes" if where[name] == asked else "no") if question.startswith("Is") else where[name])
        for sentence in then.split(".")[:-1]:
            moved = re.search(r" (?:moved|went|went back|travelled|journeyed) to the (\w+)$", sentence)
            if moved:
                named = re.findall("Mary|Sandra|Daniel|John", sentence)
                latest = named or latest
                where |= dict.fromkeys(latest, moved[1])
    return answers
