"""Plain stories, the facts that rules find in them, and dialogues made of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import pytest

from rxt_mrl.dialogues.sources import DataSettings, load_dialogues, load_pairs, load_texts
from rxt_mrl.dialogues.sources.rows import LoadReport
from rxt_mrl.dialogues.tinystories import continuation, shorten
from rxt_mrl.dialogues.tinystories.fact import words_of
from rxt_mrl.dialogues.tinystories.facts import facts
from rxt_mrl.errors import UserError

DATA = Path(os.environ.get("RXT_MRL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "tinystories"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"no TinyStories text in {DATA} (set RXT_MRL_DATA)")

LILY = """Once upon a time, there was a little girl named Lily. Lily liked to draw. One day, Lily found a shiny red
key in the garden. "What is this key for?" asked Lily. Her cat, Luna, looked at Lily. Then Tom gave Lily a box. The
key was in her hand. Lily and Luna went to the kitchen. Tom said, "I can open the box with it." Luna sat on the table.
Tom was happy, and Luna liked Tom.""".replace("\n", " ")
FIN = """One day, a little fish named Fin was swimming near the shore. Fin saw a big crab. The crab wore three hats.
Fin wanted to help the crab. So Fin swam away and Fin brought a stone. Fin and the crab became friends.""".replace(
    "\n", " "
)


def known(text: str) -> dict[str, str]:
    return {fact.questions[0]: fact.value for fact in facts(text)}


def test_facts_of_a_story() -> None:
    found = known(LILY)
    assert found["What was the name of the girl?"] == "Lily"
    assert found["What was the name of the cat?"] == "Luna"
    assert found["What color was the key?"] == "red"
    assert found["What did Lily find?"] == "key"
    assert found["Where did Lily find a shiny red key?"] == "garden"
    assert found["What did Tom give Lily?"] == "box"
    assert found["What did Lily like to do?"] == "draw"
    assert found["Where did Lily and Luna go?"] == "kitchen"
    assert found['Who said, "I can open the box with it"?'] == "Tom"
    assert found["Where did Luna sit?"] == "table"
    assert known(FIN)["What kind of animal was Fin?"] == "fish"
    assert known(FIN)["How many hats were there?"] == "three"


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("Tom and Ann sat. Tom found a ball. Later Tom found a doll. Ann slept and Tom slept.", "What did Tom find?"),
        ("Tom and Ann sat. Then Tom found a ball and a doll. So Ann saw Tom.", "What did Tom find?"),
        ("Tom and Ann sat. Tom did not find a ball. So Ann saw Tom.", "What did Tom find?"),
        ("Tom and Ann played. He found a ball. So Ann saw Tom.", "What did Tom find?"),
        ("Ann and Tom sat. Tom had a red ball. Then Ann had a blue ball. So Tom sat.", "What color was the ball?"),
        ("Tom and Ann sat. Tom went to the park. Then Tom ran to the lake. Ann sat.", "Where did Tom go?"),
        ("A boy named Tom met a boy named Sam. So Tom saw Sam and Sam saw Tom.", "What was the name of the boy?"),
        ("Tom and Ann were not friends. Then Tom saw Ann and Ann saw Tom.", "Who was Tom's friend?"),
        ("Sam, Tom and Ann were friends. Then Sam saw Tom and Ann saw Tom.", "Who was Tom's friend?"),
        ("Tom and Ann were twins. Then Tom saw Ann and Ann saw Tom.", "Who was Tom's friend?"),
    ],
)  # fmt: skip
def test_nothing_is_asked_that_has_two_answers(text: str, never: str) -> None:
    assert never not in known(text)


def test_twins_are_twins() -> None:
    assert known("Tom and Ann were twins. Then Tom saw Ann and Ann saw Tom.")["Who was Tom's twin?"] == "Ann"
    assert known("Tom and Ann were best friends. Tom saw Ann and Ann saw Tom.")["Who was Tom's friend?"] == "Ann"


def check_facts(text: str) -> int:
    """What must hold for every fact of any story."""
    found = facts(text)
    own = {word.strip("'") for word in words_of(text.replace("\u2019", "'"))}
    for fact in found:
        assert set(words_of(fact.value)) <= own, fact
        assert re.search(rf"\b{re.escape(fact.value)}\b", fact.answer, re.IGNORECASE), fact
        assert not set(words_of(fact.value)) & {word for text in fact.questions for word in words_of(text)}, fact
        assert not {wrong.lower() for wrong in fact.wrong} & set(words_of(fact.answer)), fact
        assert fact.value not in fact.wrong, fact
    return len(found)


def test_made_stories_are_sound() -> None:
    assert check_facts(LILY) >= 8
    assert check_facts(FIN) >= 4


def write(tmp_path: Path, text: str | bytes) -> DataSettings:
    path = tmp_path / "TinyStories-train.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return DataSettings(source="tinystories", path=str(path))


def test_texts_are_split_and_the_cut_one_is_left_out(tmp_path: Path) -> None:
    report = LoadReport("", "")
    settings = write(tmp_path, "One. Two.\nThree.\n<|endoftext|>\n\nFour.\n<|endoftext|>\nFive was")
    assert load_texts(settings, report=report) == ["One. Two.\nThree.", "Four."]
    assert report.passed == {"cut off at the end of the file": 1}
    assert load_texts(write(tmp_path, "One.<|endoftext|>Two.")) == ["One.", "Two."]


def test_bad_bytes_spoil_one_story(tmp_path: Path) -> None:
    settings = write(tmp_path, b"One.\n<|endoftext|>\nTwo \xff.\n<|endoftext|>\nThree.\n")
    with pytest.raises(UserError, match=r"line 3: line 3: not UTF-8"):
        load_texts(settings)
    assert load_texts(settings.model_copy(update={"on_bad_row": "skip"})) == ["One.", "Three."]


def test_holdout_makes_two_disjoint_splits(tmp_path: Path) -> None:
    text = "\n<|endoftext|>\n".join(f"Story {number}." for number in range(200))
    settings = write(tmp_path, text).model_copy(update={"holdout": 0.25})
    train, validation = load_texts(settings), load_texts(settings, "validation")
    assert len(train) + len(validation) == 200
    assert 30 < len(validation) < 70
    assert not set(train) & set(validation)
    with pytest.raises(UserError, match="has no split 'validation'"):
        load_texts(settings.model_copy(update={"holdout": 0.0}), "validation")


def test_multi_step_dialogue(tmp_path: Path) -> None:
    settings = write(tmp_path, f"{LILY}\n<|endoftext|>\nTom sat.\n")
    loaded = load_dialogues(settings, steps=4)
    (dialogue,) = loaded.dialogues
    assert loaded.report.passed == {"too few facts": 1}
    assert dialogue.query.endswith(LILY)
    said: set[str] = set()
    for turn in dialogue.interactions:
        (ask,) = turn.asks
        assert ask.told_at == 0
        assert not set(words_of(ask.value)) & said, "an earlier follow-up gives the value away"
        said |= {*words_of(turn.query), *words_of(turn.answer)}
    assert load_dialogues(settings, steps=4).dialogues == loaded.dialogues
    seeds = {load_dialogues(settings, steps=4, seed=seed).dialogues[0] for seed in range(6)}
    assert len(seeds) > 1


def test_long_range_dialogue(tmp_path: Path) -> None:
    settings = DataSettings(source="tinystories", path=write(tmp_path, f"{LILY}\n<|endoftext|>\n{FIN}\n").path,
                            strategy="long_range")  # fmt: skip
    (dialogue,) = load_dialogues(settings, steps=4).dialogues
    assert dialogue.query.endswith(LILY)
    assert dialogue.interactions[0].query.endswith(FIN)
    assert [ask.told_at for turn in dialogue.interactions for ask in turn.asks] == [1, 1, 0]
    assert "first story" in dialogue.interactions[-1].query
    last = dialogue.interactions[-1].asks[0]
    assert last.value.lower() not in words_of(FIN)
    with pytest.raises(UserError, match="long_range needs at least 2 steps"):
        load_dialogues(settings, steps=1)


def test_a_story_told_in_parts(tmp_path: Path) -> None:
    settings = write(tmp_path, LILY).model_copy(update={"options": {"parts": 2}})
    (dialogue,) = load_dialogues(settings, steps=3).dialogues
    first, *asked = dialogue.turns
    told = [first.query, asked[0].query]
    assert asked[0].query.count("?") >= 1
    assert re.search(r'\?"? (?:And then:|The story goes on:) ', asked[0].query)
    assert LILY.split()[-1] in told[1], "the second part is told with the first question"
    for number, turn in enumerate(asked, start=1):
        (ask,) = turn.asks
        assert ask.told_at < number
        assert ask.value in told[ask.told_at]
    assert {ask.told_at for turn in asked for ask in turn.asks} == {0, 1}
    with pytest.raises(UserError, match="parts: 3 need as many steps"):
        load_dialogues(settings.model_copy(update={"options": {"parts": 3}}), steps=2)
    with pytest.raises(UserError, match="parts are for multi_step"):
        load_dialogues(settings.model_copy(update={"strategy": "long_range"}), steps=4)


def test_sentences_max_words_and_pairs(tmp_path: Path) -> None:
    settings = write(tmp_path, LILY)
    short = settings.model_copy(update={"options": {"sentences": 3, "follow_ups": 2}})
    (dialogue,) = load_dialogues(short).dialogues
    assert dialogue.query.endswith("in the garden.")
    with pytest.raises(UserError, match="1 too long"):
        load_dialogues(settings.model_copy(update={"options": {"max_words": 20}}))
    pairs = load_pairs(settings)
    assert len(pairs) == len(facts(LILY))
    assert all(query.startswith(LILY) for query, _ in pairs)


def test_text_helpers() -> None:
    assert shorten('He said, "Go. Now." Then he left. End.', 1) == 'He said, "Go. Now." Then he left.'
    assert continuation("One. Two. Three.") == ("Tell me how this story goes on: One.", "Two. Three.")
    assert continuation("Only one.") is None


@real
def test_real_texts() -> None:
    report = LoadReport("", "")
    texts = load_texts(DataSettings(source="tinystories", path=str(DATA)), report=report)
    assert len(texts) == 2316
    assert report.passed.total() == 1
    assert not any("<|endoftext|>" in text or text != text.strip() for text in texts)


@real
def test_questions_that_were_read() -> None:
    """All questions that the rules made from 267 stories were read; one that is not among them counts as wrong."""
    checked = json.loads((Path(__file__).parent / "tinystories_checked.json").read_text())
    texts = load_texts(DataSettings(source="tinystories", path=str(DATA)))
    made, right = 0, 0
    for story, digests in checked.items():
        for fact in facts(texts[int(story)]):
            digest = hashlib.blake2b(f"{fact.questions[0]}|{fact.value}".encode(), digest_size=4).hexdigest()
            made, right = made + 1, right + (digest in digests.split())
    assert made >= 330
    assert right / made >= 0.99


@real
def test_real_dialogues_are_sound() -> None:
    settings = DataSettings(source="tinystories", path=str(DATA))
    texts = load_texts(settings, limit=150)
    assert sum(map(check_facts, texts)) > len(texts)
    loaded = load_dialogues(settings, steps=2, episodes=40)
    assert len(loaded) == 40
    assert loaded.report.read < 200, "a fifth of real stories and more has two facts"
    for dialogue in loaded.dialogues:
        for turn in dialogue.interactions:
            assert words_of(turn.asks[0].value)[0] in words_of(dialogue.query)
    far = load_dialogues(settings.model_copy(update={"strategy": "long_range"}), steps=3, episodes=10)
    assert {dialogue.interactions[-1].asks[0].told_at for dialogue in far.dialogues} == {0}
