"""Contexts from plain text: the ad-hoc tokenizer gives back what it was given."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rxt_mrl.contracts import Ask, RewardContext
from rxt_mrl.errors import UserError
from rxt_mrl.texts import ANSWER, BOS, EOS, QUERY, WordCodec


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_decoding_returns_the_text(text: str) -> None:
    codec = WordCodec()
    assert codec.decode(codec.encode_text(text)) == text


def test_a_word_is_one_token_wherever_it_stands() -> None:
    codec = WordCodec()
    assert codec.encode_text("red and red")[0] == codec.encode_text("red and red")[2]
    assert len(codec.encode_text("It's red.")) == 5


def test_the_template_of_the_dialogues() -> None:
    context = RewardContext.from_text("Who?", "Rex", "Rex", history=[[("a", "b")]])
    assert context.query.ids[0, :2].tolist() == [BOS, QUERY]
    assert context.query.ids[0, -1] == ANSWER
    assert context.generated.ids[0, -1] == EOS
    assert context.history[0].text == ["a b"]
    assert (len(context), context.step, context.steps) == (1, 1, 1)
    assert context.generated.content_mask.sum() == 1


def test_embeddings_are_fixed_by_the_word() -> None:
    one = RewardContext.from_text("q", "red", "Red")
    other = RewardContext.from_text("what", "something red", "red")
    torch.testing.assert_close(one.embed(one.generated), other.embed(other.reference))
    torch.testing.assert_close(one.embed(one.generated), one.embed(one.reference))


def test_batches_are_checked() -> None:
    with pytest.raises(UserError, match="generated has 1 texts for 2 queries"):
        RewardContext.from_text(["a", "b"], ["x"])
    with pytest.raises(UserError, match="history has 1 entries"):
        RewardContext.from_text(["a", "b"], ["x", "y"], history=[[]])
    with pytest.raises(UserError, match="equally long"):
        RewardContext.from_text(["a", "b"], ["x", "y"], history=[[], [("q", "a")]])
    with pytest.raises(UserError, match="asks has 1 entries"):
        RewardContext.from_text(["a", "b"], ["x", "y"], asks=[[Ask("x", 0)]])


def test_a_dialogue_tokenizer_serves_too() -> None:
    from rxt_mrl.dialogues import DialogueTokenizer

    tokenizer = DialogueTokenizer.train(["the dog is red"], 270)
    embedding = torch.randn(tokenizer.vocab_size, 4)
    context = RewardContext.from_text("the dog", "is red", "is red", codec=tokenizer, embedding=embedding)
    assert context.generated.text == ["is red"]
    assert context.embed(context.generated).shape == (1, 4)
    assert RewardContext.from_text("the dog", "is red", codec=tokenizer).embedding is None
