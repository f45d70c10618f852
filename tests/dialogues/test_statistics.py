"""Statistics of dialogues, and the command that shows them with a round trip."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from rxt_mrl.contracts import Ask, Dialogue, Interaction
from rxt_mrl.dialogues.schema import to_row
from rxt_mrl.dialogues.sources import DataSettings
from rxt_mrl.dialogues.sources.inspect import inspect_source
from rxt_mrl.dialogues.sources.kinds import kind_of_path, settings_of
from rxt_mrl.dialogues.statistics import Limits, describe
from rxt_mrl.dialogues.tokenizer import DialogueTokenizer
from rxt_mrl.errors import UserError

DIALOGUES = [
    Dialogue(
        "Tom has a red cat.",
        "I see.",
        (
            Interaction("What color is it? It ran off.", "It is red.", (Ask("red", 0, slot="color"),)),
            Interaction("What did it do?", "It ran off.", (Ask("ran", 1), Ask("slept", 0))),
        ),
    ),
    Dialogue("Ann sits.", "Yes.", (Interaction("Who sits here all day long?", "Ann."),)),
]


def test_counts_and_annotation() -> None:
    report = describe(DIALOGUES)
    assert report.dialogues == 2
    assert report.follow_ups == {1: 1, 2: 1}
    assert (report.turns, report.annotated, report.asked) == (3, 2, 3)
    assert (report.told_first, report.told_later) == (2, 1)
    assert report.distances == {1: 2, 2: 1}
    assert report.slots == {"": 2, "color": 1}
    assert (report.missing, report.given_away) == (1, 0)
    assert any("67% of 3 follow-ups" in line for line in report.lines())


def test_lengths_in_words_and_what_is_over_the_limits() -> None:
    report = describe(DIALOGUES, limits=Limits(query=5, interaction=9))
    query = report.lengths["query"]
    assert (query.count, query.longest, query.limit, query.over) == (5, 7, 5, 2)
    assert query.quantiles == {0.5: 5, 0.9: 7, 0.95: 7, 0.99: 7}
    assert report.lengths["answer"].limit is None
    assert report.lengths["interaction"].over == 1
    assert report.cut == 2
    assert json.loads(json.dumps(report.to_dict()))["lengths"]["query"]["over"] == 2


def test_lengths_in_tokens_count_the_template() -> None:
    texts = [text for dialogue in DIALOGUES for turn in dialogue.turns for text in (turn.query, turn.answer)]
    tokenizer = DialogueTokenizer.train(texts * 4, 300)
    report = describe(DIALOGUES, tokenizer)
    turns = [turn for dialogue in DIALOGUES for turn in dialogue.turns]
    assert report.unit == "tokens"
    assert report.lengths["query"].longest == max(len(tokenizer.encode_query(turn.query)) for turn in turns)
    assert report.lengths["answer"].longest == max(len(tokenizer.encode_answer(turn.answer)) for turn in turns)


def test_unannotated_and_no_dialogues() -> None:
    assert any("no facts are annotated" in line for line in describe(DIALOGUES[1:]).lines())
    assert describe([]).lengths["query"].longest == 0


def write(path: Path) -> Path:
    rows = [to_row(dialogue, asks=False) for dialogue in DIALOGUES]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_command_prints_and_survives_the_round_trip(tmp_path: Path) -> None:
    source = write(tmp_path / "train.jsonl")
    out = io.StringIO()
    found = inspect_source(str(source), show=2, write=tmp_path / "out", console=Console(file=out, width=120))
    printed = out.getvalue()
    assert "2 rows read, 2 kept, 0 bad" in printed
    assert "What color is it?" in printed
    assert "read back, equal" in printed
    assert found["round_trip"] == 2
    assert found["written"] == str(tmp_path / "out" / "train.parquet")
    again = inspect_source(tmp_path / "out", show=0, console=Console(file=out))
    assert again["statistics"] == found["statistics"]
    with pytest.raises(UserError, match="is there already"):
        inspect_source(str(source), write=tmp_path / "out", console=Console(file=out))


def test_annotation_survives_the_round_trip(tmp_path: Path) -> None:
    out = Console(file=io.StringIO())
    settings = DataSettings(source="storyworld", limit=6)
    found = inspect_source(settings, show=1, write=tmp_path, steps=3, console=out)
    assert found["statistics"]["asked"] > 0
    assert inspect_source(tmp_path, console=out)["statistics"] == found["statistics"]


def test_what_a_source_is_called(tmp_path: Path) -> None:
    assert settings_of("storyworld").source == "storyworld"
    assert settings_of("babi:some/file.txt").path == "some/file.txt"
    assert settings_of("hub:owner/name").name == "owner/name"
    assert settings_of("hub:owner/name").config is None
    sub_set = settings_of("hub:owner/name/steps-8")
    assert (sub_set.source, sub_set.name, sub_set.config) == ("hub", "owner/name", "steps-8")
    assert settings_of("hub:/a/b/c").name == "/a/b/c"
    assert settings_of(write(tmp_path / "a.jsonl"), on_bad_row="skip") == DataSettings(
        source="jsonl", path=str(tmp_path / "a.jsonl"), on_bad_row="skip"
    )
    (tmp_path / "b.yaml").write_text("source: babi\npath: x\non_bad_row: skip\n")
    assert settings_of(tmp_path / "b.yaml", on_bad_row="stop").on_bad_row == "skip"
    (tmp_path / "c.yaml").write_text("source: babi\npth: x\n")
    with pytest.raises(UserError, match=r"data: unknown key 'pth' .*allowed: .*path"):
        settings_of(tmp_path / "c.yaml")
    with pytest.raises(UserError, match="unknown source 'storyworl'; allowed: storyworld, hub"):
        settings_of("storyworl")
    with pytest.raises(UserError, match=r"'no/such.jsonl' does not exist"):
        settings_of("no/such.jsonl")


def test_kind_of_a_path(tmp_path: Path) -> None:
    story, babi = tmp_path / "stories.txt", tmp_path / "qa1.txt"
    story.write_text("Once upon a time.")
    babi.write_text("1 Mary sat.\n")
    assert (kind_of_path(story), kind_of_path(babi)) == ("tinystories", "babi")
    with pytest.raises(UserError, match="several kinds: babi, tinystories"):
        kind_of_path(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no data in"):
        kind_of_path(tmp_path / "empty")
