"""Every source gives the same kind of dialogues; settings are checked before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from pydantic import ValidationError
from rxt_mrl.envs import MemoryRetentionVectorEnv

from rxt_mrl.contracts import Ask, Dialogue, Interaction
from rxt_mrl.dialogues import DialogueTokenizer, encode_dialogues
from rxt_mrl.dialogues.schema import to_dataset
from rxt_mrl.dialogues.sources import DataSettings, load_dialogues, load_pairs, load_texts
from rxt_mrl.dialogues.sources.rows import Columns, RowError, dialogue_from_row
from rxt_mrl.errors import UserError


def made(count: int, steps: int = 2, tag: str = "") -> list[Dialogue]:
    return [
        Dialogue(
            f"{tag} Tom has {number} cats.",
            "I see.",
            tuple(
                Interaction(f"How many {step}?", f"It is {number}.", (Ask(str(number), 0),)) for step in range(steps)
            ),
        )
        for number in range(count)
    ]


TRAIN, VALIDATION = made(5), made(3, tag="Now")


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """A repository as on the Hub: two sub-sets, described in its card."""
    for config in ("steps-2", "steps-8-lr"):
        folder = tmp_path / "repo" / config
        folder.mkdir(parents=True)
        to_dataset(TRAIN).to_parquet(str(folder / "train-00000-of-00002.parquet"))
        to_dataset(TRAIN).to_parquet(str(folder / "train-00001-of-00002.parquet"))
        to_dataset(VALIDATION).to_parquet(str(folder / "validation-00000-of-00001.parquet"))
    entries = "".join(
        f"- config_name: {config}\n  data_files:\n  - split: train\n    path: {config}/train-*\n"
        f"  - split: validation\n    path: {config}/validation-*\n"
        for config in ("steps-2", "steps-8-lr")
    )
    (tmp_path / "repo" / "README.md").write_text(f"---\nconfigs:\n{entries}---\n")
    return tmp_path / "repo"


def test_hub_layout_as_parquet_folder(hub_folder: Path) -> None:
    settings = DataSettings(source="parquet", path=str(hub_folder), config="steps-2")
    assert load_dialogues(settings).dialogues == TRAIN * 2
    assert load_dialogues(settings, "validation").dialogues == VALIDATION
    with pytest.raises(UserError, match="no split 'supervised'; it has: train, validation"):
        load_dialogues(settings, "supervised")
    mapped = DataSettings(source="parquet", path=str(hub_folder / "steps-2"), splits={"supervised": "validation"})
    assert load_dialogues(mapped, "supervised").dialogues == VALIDATION
    with pytest.raises(UserError, match="several sub-sets, set config to one of: steps-2, steps-8-lr"):
        load_dialogues(DataSettings(source="parquet", path=str(hub_folder)))
    with pytest.raises(UserError, match="no config 'steps-4'; it has: steps-2, steps-8-lr"):
        load_dialogues(DataSettings(source="parquet", path=str(hub_folder), config="steps-4"))


@pytest.mark.parametrize("streaming", [True, False])
def test_hub_source(hub_folder: Path, streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    settings = DataSettings(source="hub", name=str(hub_folder), config="steps-8-lr", streaming=streaming)
    assert load_dialogues(settings).dialogues == TRAIN * 2
    assert len(load_dialogues(settings, "validation", episodes=2)) == 2
    with pytest.raises(UserError, match=r"Bad split|Unknown split") as caught:
        load_dialogues(settings, "supervised")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="steps-3"):
        load_dialogues(settings.model_copy(update={"config": "steps-3"}))


def test_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub\nsecond line")

    monkeypatch.setattr("datasets.load_dataset", refuse)
    with pytest.raises(UserError, match=r"^data: the Hub cannot be reached for 'a/b' \(Couldn't reach the Hub\)$"):
        load_dialogues(DataSettings(source="hub", name="a/b"))


def test_arrow_files_and_saved_folder(tmp_path: Path) -> None:
    to_dataset(TRAIN).save_to_disk(str(tmp_path / "saved"))
    assert load_dialogues(DataSettings(source="arrow", path=str(tmp_path / "saved"))).dialogues == TRAIN
    (file,) = (tmp_path / "saved").glob("*.arrow")
    assert load_dialogues(DataSettings(source="arrow", path=str(file))).dialogues == TRAIN
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match=r"row 1: truncated or not Arrow"):
        load_dialogues(DataSettings(source="arrow", path=str(file)))


def test_jsonl_folder_with_patterns(tmp_path: Path) -> None:
    to_dataset(TRAIN).to_json(str(tmp_path / "part-a.jsonl"))
    to_dataset(VALIDATION).to_json(str(tmp_path / "part-b.jsonl"))
    settings = DataSettings(
        source="jsonl", path=str(tmp_path), splits={"train": "*-a.jsonl", "validation": "*-b.jsonl"}
    )
    assert load_dialogues(settings).dialogues == TRAIN
    assert load_dialogues(settings, "validation").dialogues == VALIDATION
    assert load_dialogues(DataSettings(source="jsonl", path=str(tmp_path))).dialogues == TRAIN + VALIDATION
    with pytest.raises(UserError, match=r"no file in .* matches 'x\*.jsonl'"):
        load_dialogues(settings.model_copy(update={"splits": {"train": "x*.jsonl"}}))


def test_limit_and_holdout(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    many = made(100)
    to_dataset(many).to_parquet(str(path))
    settings = DataSettings(source="parquet", path=str(path), holdout=0.3)
    train, validation = load_dialogues(settings).dialogues, load_dialogues(settings, "validation").dialogues
    assert sorted([*train, *validation], key=many.index) == many
    assert 15 < len(validation) < 45
    assert load_dialogues(settings.model_copy(update={"limit": 7}), episodes=9).dialogues == train[:7]


def test_withheld_references_leave_training_to_rewards() -> None:
    """No reference reaches a reward or the memory; what compares with one does not apply."""
    plain, withheld = (DataSettings(options={"level": "easy"}, references=given) for given in (True, False))
    full, bare = (load_dialogues(settings, steps=3, episodes=4).dialogues for settings in (plain, withheld))
    assert [turn.query for item in full for turn in item.turns] == [turn.query for item in bare for turn in item.turns]
    assert [turn.asks for item in full for turn in item.turns] == [turn.asks for item in bare for turn in item.turns]
    assert {turn.answer for item in bare for turn in item.interactions} == {""}
    assert all(item.answer for item in bare)
    held_out = (load_dialogues(settings, "validation", steps=3, episodes=4).dialogues for settings in (plain, withheld))
    assert next(held_out) == next(held_out)
    tokenizer = DialogueTokenizer.train(
        [text for item in full for turn in item.turns for text in (turn.query, turn.answer)], 400
    )
    data = encode_dialogues(bare, tokenizer, max_query=99, max_answer=40)
    terms = [{"use": name} for name in ("fact_recall", "bleu", "embedding_cosine", "length", "published", "coherence")]
    env = MemoryRetentionVectorEnv(
        data,
        tokenizer,
        num_envs=4,
        reward={"terms": terms},
        max_new_tokens=40,
        embedding=torch.rand(tokenizer.vocab_size, 4),
    )
    env.reset(options={"episodes": range(4)})
    rows = [tokenizer.encode_answer(item.interactions[0].answer) for item in full]
    width = max(map(len, rows))
    ids = np.array([row + [0] * (width - len(row)) for row in rows])
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], dtype=np.int8)
    info = env.step({"ids": ids, "mask": mask})[-1]
    assert info["valid"].all()
    assert info["terms"]["fact_recall"].tolist() == [1.0] * 4
    assert not np.isnan(info["terms"]["coherence"]).any()
    assert all(np.isnan(info["terms"][name]).all() for name in ("bleu", "embedding_cosine", "length", "published"))


def test_storyworld_source() -> None:
    settings = DataSettings(options={"level": "easy"})
    train = load_dialogues(settings, steps=3, episodes=8).dialogues
    assert [len(dialogue.interactions) for dialogue in train] == [3] * 8
    assert train == load_dialogues(settings, steps=3, episodes=8).dialogues
    assert train != load_dialogues(settings, steps=3, episodes=8, seed=1).dialogues
    assert train != load_dialogues(settings, "validation", steps=3, episodes=8).dialogues
    assert len(load_texts(settings, limit=5)) == len(load_pairs(settings, limit=5)) == 5
    far = load_dialogues(DataSettings(strategy="long_range"), steps=4, episodes=4).dialogues
    assert all(dialogue.interactions[-1].asks[0].told_at == 0 for dialogue in far)
    assert DataSettings(options={"strategy": "long_range"}).strategy == "long_range"


PLUG_IN = '''
from rxt_mrl.contracts import Dialogue, Interaction

class Numbers:
    """Counts."""
    def __init__(self, top=3):
        self.top = top
    def __call__(self, split, *, steps, episodes, seed):
        for number in range(episodes or self.top):
            if number == self.top:
                raise RuntimeError("no more numbers")
            yield Dialogue(f"{split} {number}", "Yes.", (Interaction("Which?", str(number)),) * (steps or 1))

def rows(split, *, steps, episodes, seed):
    return [{"query": "a", "answer": "b", "interactions": []}]
'''


def test_plug_in_source(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLUG_IN)
    settings = DataSettings(source=f"{file}:Numbers", options={"top": 4})
    loaded = load_dialogues(settings, "validation", steps=2)
    assert [dialogue.query for dialogue in loaded.dialogues] == [f"validation {number}" for number in range(4)]
    assert load_pairs(settings, limit=2) == [("train 0", "Yes."), ("Which?", "0")]
    with pytest.raises(UserError, match=r"mine.py:\d+\) failed at item 5: RuntimeError: no more numbers"):
        load_dialogues(settings, episodes=9)
    with pytest.raises(UserError, match=r"mine.py:rows item 1: 'interactions' is empty"):
        load_dialogues(DataSettings(source=f"{file}:rows"))
    with pytest.raises(UserError, match="unknown option 'bottom'"):
        load_dialogues(DataSettings(source=f"{file}:Numbers", options={"bottom": 1}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"source": "storyworl"}, "unknown source 'storyworl'; allowed: storyworld, hub, parquet"),
        ({"source": "hub"}, "needs name"),
        ({"source": "jsonl"}, "needs path"),
        ({"source": "jsonl", "path": "x", "options": {"a": 1}}, "takes no options"),
        (
            {"source": "babi", "path": "x", "options": {"layot": "joined"}},
            "'options.layot' .did you mean 'layout'",
        ),
        ({"source": "storyworld", "options": {"level": "hardest"}}, "options.level = 'hardest'"),
        ({"source": "storyworld", "on_bad_row": "ignore"}, "on_bad_row"),
        ({"source": "storyworld", "split": {}}, "split"),
        ({"source": "storyworld", "splits": {"testing": "x"}}, "splits.testing"),
        ({"source": "jsonl", "path": "x", "holdout": 1.5}, "holdout"),
        ({"source": "storyworld", "holdout": 0.1}, "makes its splits itself"),
        ({"source": "jsonl", "path": "x", "holdout": 0.1, "splits": {"validation": "dev"}}, "give one of them"),
    ],
)
def test_wrong_settings(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSettings(**content)


def test_wrong_split_names() -> None:
    with pytest.raises(UserError, match="unknown split 'dev'; allowed: train, validation, supervised"):
        load_dialogues(DataSettings(), "dev")
    with pytest.raises(UserError, match="storyworld has no split 'dev'"):
        load_dialogues(DataSettings(splits={"validation": "dev"}), "validation")


def test_published_columns_only(tmp_path: Path) -> None:
    to_dataset(TRAIN, asks=False).to_parquet(str(tmp_path / "train.parquet"))
    loaded = load_dialogues(DataSettings(source="parquet", path=str(tmp_path / "train.parquet")))
    assert [dialogue.query for dialogue in loaded.dialogues] == [dialogue.query for dialogue in TRAIN]
    assert not any(turn.asks for dialogue in loaded.dialogues for turn in dialogue.turns)


def test_text_column_of_a_data_set_serves_stories(tmp_path: Path) -> None:
    Dataset.from_dict({"text": ["Tom sat. He ate.", ""]}).to_parquet(str(tmp_path / "train.parquet"))
    settings = DataSettings(source="tinystories", name=str(tmp_path), streaming=True, on_bad_row="skip")
    assert load_texts(settings) == ["Tom sat. He ate."]


def test_rows_of_interactions_alone_begin_with_the_first():
    turns = [{"query": f"q{n}", "answer": f"a{n}"} for n in range(3)]
    expected = [("q0", "a0"), ("q1", "a1"), ("q2", "a2")]
    columns = {"query": [turn["query"] for turn in turns], "answer": [turn["answer"] for turn in turns]}
    for items in (turns, columns):
        dialogue = dialogue_from_row({"interactions": items})
        assert [(turn.query, turn.answer) for turn in dialogue.turns] == expected
    named = Columns(follow_up_query="prompt", follow_up_answer="reply")
    renamed = [{"prompt": turn["query"], "reply": turn["answer"]} for turn in turns]
    assert [turn.query for turn in dialogue_from_row({"interactions": renamed}, named).turns] == ["q0", "q1", "q2"]
    for items, problem in (
        ([], "no first interaction"),
        (turns[:1], "no follow-ups"),
        ([{"query": "q"}], "answer is missing"),
    ):
        with pytest.raises(RowError, match=problem):
            dialogue_from_row({"interactions": items})
