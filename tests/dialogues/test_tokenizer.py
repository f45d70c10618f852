import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.dialogues.tokenizer import SPECIALS
from rxt_mrl.errors import UserError

TEXTS = [
    text
    for dialogue in dialogues(StoryworldConfig(), 200)
    for turn in dialogue.turns
    for text in (turn.query, turn.answer)
]


@pytest.fixture(scope="module")
def tokenizer():
    return DialogueTokenizer.train(TEXTS, 600)


def test_special_ids_and_size(tokenizer):
    assert tokenizer.special_ids == (0, 1, 2, 3, 4, 5, 6)
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.query_id, tokenizer.answer_id) == (
        0,
        2,
        3,
        5,
        6,
    )
    assert tokenizer.vocab_size == len(tokenizer) == 600


def test_template(tokenizer):
    text = tokenizer.encode_text("The boy had a dog.")
    assert tokenizer.encode_query("The boy had a dog.") == [2, 5, *text, 6]
    assert tokenizer.encode_answer("The boy had a dog.") == [*text, 3]


def test_children_text_comes_back(tokenizer):
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode_text(text)) == text


@given(st.text(alphabet=st.characters(codec="utf-8")))
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back_without_outer_spaces(text):
    tokenizer = DialogueTokenizer(_tiny())
    assert tokenizer.decode(tokenizer.encode_text(text)) == text.strip()


_CACHE = {}


def _tiny() -> Tokenizer:
    if not _CACHE:
        _CACHE["tokenizer"] = DialogueTokenizer.train(TEXTS[:20], 300).tokenizer
    return _CACHE["tokenizer"]


@pytest.mark.parametrize("text", [*SPECIALS, "Say [A] now", "x[EOS]", "[BOS][Q]hi[A]ho[EOS]", " [MASK] ", "[PAD]"])
def test_text_cannot_forge_specials(tokenizer, tmp_path, text):
    tokenizer.save(tmp_path)
    for each in (tokenizer, DialogueTokenizer.load(tmp_path)):
        ids = each.encode_text(text)
        assert not set(ids) & set(each.special_ids)
        assert each.decode(ids) == text.strip()
        assert each.encode_query(text).count(each.answer_id) == 1
        assert each.encode_answer(text).count(each.eos_id) == 1


def test_encode_texts_is_encode_text(tokenizer):
    texts = [*TEXTS[:50], "[A]", "é\n ü"]
    assert tokenizer.encode_texts(texts) == [tokenizer.encode_text(text) for text in texts]


def test_training_is_repeatable_and_saving_keeps_it(tokenizer, tmp_path):
    again = DialogueTokenizer.train(TEXTS, 600)
    assert again.tokenizer.to_str() == tokenizer.tokenizer.to_str()
    file = tokenizer.save(tmp_path / "deep" / "folder")
    assert DialogueTokenizer.load(file).encode_texts(TEXTS) == tokenizer.encode_texts(TEXTS)


def test_decode_takes_tensors_and_drops_specials(tokenizer):
    ids = torch.tensor([[*tokenizer.encode_query("A red kite."), 0, 0]])
    mask = torch.arange(ids.shape[1]) < ids.shape[1] - 2
    assert tokenizer.decode(ids[0]) == "A red kite."
    assert tokenizer.decode_batch(ids, mask[None]) == ["A red kite."]
    text = tokenizer.token_text(ids, mask[None])
    assert text.text == ["A red kite."]
    assert text.content_mask.sum() == len(tokenizer.encode_text("A red kite."))


def test_errors(tmp_path):
    with pytest.raises(UserError, match="vocab_size 100 is too small: at least 263"):
        DialogueTokenizer.train(TEXTS, 100)
    with pytest.raises(UserError, match=r"no tokenizer at .*tokenizer\.json"):
        DialogueTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="is not a tokenizer file"):
        DialogueTokenizer.load(tmp_path)
    with pytest.raises(UserError, match="lacks the special tokens"):
        DialogueTokenizer(Tokenizer(models.BPE()))


def test_the_command_trains_on_sources_of_any_length(cli, tmp_path):
    rows = [
        {"query": "Hi", "answer": "Yes", "interactions": [{"query": "Who is it?", "answer": "Tom"}] * count}
        for count in (1, 9)
    ]
    (tmp_path / "dialogues.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "stories.txt").write_text("Zoe ran. She saw a bee.\n<|endoftext|>\n")
    sources = (tmp_path / "dialogues.jsonl", f"tinystories:{tmp_path / 'stories.txt'}")
    outcome = cli("tokenizer", *sources, "--vocab-size", 270, "--out", tmp_path / "made")
    assert outcome.code == 0, outcome.err
    assert "270 tokens" in outcome.out
    assert DialogueTokenizer.load(tmp_path / "made").vocab_size == 270
    assert "at least 263" in cli("tokenizer", sources[0], "--vocab-size", 9, "--out", tmp_path / "small").line
