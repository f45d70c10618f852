import pytest
from datasets import load_dataset

from rxt_mrl.dialogues import DialogueTokenizer, encode_dialogues, from_dataset
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues, pairs, plain_stories, storyworld, write
from rxt_mrl.dialogues.storyworld import export as module
from rxt_mrl.errors import UserError

CONFIG = StoryworldConfig(steps=3)


def test_data_set_is_the_dialogues():
    made = storyworld(CONFIG, 12, "validation", seed=2)
    assert made.column_names == ["query", "answer", "interactions"]
    assert from_dataset(made) == dialogues(CONFIG, 12, "validation", 2)


def test_written_files_load_as_splits(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 8)
    paths = write(CONFIG, 20, tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["train.parquet", "validation.parquet"]
    read = load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    assert from_dataset(read["train"]) == dialogues(CONFIG, 20)
    assert from_dataset(read["validation"]) == dialogues(CONFIG, 2, "validation")
    with pytest.raises(UserError, match=r"train\.parquet exists already"):
        write(CONFIG, 20, tmp_path / "data")
    assert write(CONFIG, 5, tmp_path / "data", validation=4, overwrite=True) == paths


def test_write_errors(tmp_path):
    with pytest.raises(UserError, match="episodes 0 is too few"):
        write(CONFIG, 0, tmp_path)
    with pytest.raises(UserError, match="validation 0 is too few"):
        write(CONFIG, 5, tmp_path, validation=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        write(CONFIG, 5, tmp_path / "file" / "data")


def test_texts_for_the_first_stages():
    stories = plain_stories(CONFIG, 30, facts=6)
    assert len(set(stories)) == 30
    assert all(6 <= story.count(".") <= 7 for story in stories)
    for query, answer in pairs(CONFIG, 30):
        assert query.endswith("?")
        assert answer.endswith(".")
    train, validation = pairs(CONFIG, 300, "train"), pairs(CONFIG, 300, "validation")
    assert not {query for query, _ in train} & {query for query, _ in validation}
    with pytest.raises(UserError, match="facts 1 is not possible: 2 to 10"):
        pairs(CONFIG, 1, facts=1)


def test_easy_dialogues_are_short():
    """The demo's model has 64 positions; its speed depends on these lengths."""
    config = StoryworldConfig(steps=8)
    made = dialogues(config, 700)
    texts = [text for item in made for turn in item.turns for text in (turn.query, turn.answer)]
    tokenizer = DialogueTokenizer.train(texts, 1024)
    tensors = encode_dialogues(made[:300], tokenizer, max_query=48, max_answer=16, on_long="error")
    assert tensors.query.mask[:, 1:].sum(-1).max() <= 26
    assert tensors.interactions().ids.shape[-1] <= 56
    assert tensors.answer.mask.sum(-1).float().mean() < 9
