"""The small rewards: what each gives, its edges, its options."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from rxt_mrl.rewards.coherence import Coherence, running_mean
from rxt_mrl.rewards.embedding_cosine import EmbeddingCosine
from rxt_mrl.rewards.length import Length
from rxt_mrl.rewards.published import Published
from rxt_mrl.rewards.repetition import Repetition
from rxt_mrl.rewards.sentence_cosine import SentenceCosine
from rxt_mrl.rewards.topic_switch import TopicSwitch

from rxt_mrl import plugins
from rxt_mrl.contracts import Mode, RewardContext
from rxt_mrl.errors import UserError
from rxt_mrl.scoring import load_reward

HISTORY = [("I have a dog called Rex.", "Rex is nice."), ("He likes bones.", "Bones are good.")]


def context(
    *answers: str, reference: str = "the dog is called Rex", mode: Mode = "standard", **more: Any
) -> RewardContext:
    more.setdefault("history", [HISTORY] * len(answers))
    return RewardContext.from_text(["What is his name?"] * len(answers), answers, reference, mode=mode, **more)


@pytest.mark.parametrize("name", [name for name in plugins.names("reward") if name != "sentence_cosine"])
@pytest.mark.parametrize("mode", ["standard", "topic_switch", "return"])
def test_every_reward_is_in_range_for_any_batch(name: str, mode: Mode) -> None:
    """Empty answers and references, one row or several, with and without history."""
    reward = load_reward(name)
    for history in ([], [HISTORY] * 3):
        batch = RewardContext.from_text(
            ["q", "", "x y"], ["", "a b c", "a"], ["a", "", "a"], history=history, mode=mode
        )
        for rows in ([0, 1, 2], [1], []):
            out = reward(batch.select(rows))
            values, applies = out if isinstance(out, tuple) else (out, torch.ones(len(rows), dtype=torch.bool))
            assert values.shape == applies.shape == (len(rows),)
            assert values.dtype == torch.float32
            assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize("name", plugins.names("reward"))
def test_every_reward_says_what_it_cannot_tell_apart_and_travels(name: str) -> None:
    cls = plugins.find("reward", name)
    assert "What it cannot tell apart" in (cls.__doc__ or "")
    assert pickle.loads(pickle.dumps(cls())).__class__ is cls


def test_embedding_cosine() -> None:
    scores = EmbeddingCosine()(context("the dog is called Rex", "Rex called is dog the", "nothing alike", ""))
    assert scores[:2].tolist() == pytest.approx([1.0, 1.0])
    assert scores[2] < 0.5
    assert scores[3] == 0.0


def test_embedding_rewards_say_when_there_is_no_embedding() -> None:
    bare = RewardContext.from_text(["q"], ["a"], ["a"], history=[HISTORY])
    bare = RewardContext(bare.query, bare.generated, bare.reference, bare.history)
    for reward in (EmbeddingCosine(), Coherence(), Published()):
        with pytest.raises(ValueError, match="embedding=None"):
            reward(bare)


def test_length() -> None:
    answers = ("a b c d e", "a b", "a " * 10, "")
    assert Length()(context(*answers)).tolist() == pytest.approx([1.0, 0.4, 0.5, 0.0], abs=0.05)
    assert Length(penalise_longer=False)(context(*answers))[2] == 1.0
    assert Length(target=2)(context(*answers)).tolist() == pytest.approx([0.4, 1.0, 2 / 11, 0.0], abs=0.05)
    assert Length()(context("", reference="")).tolist() == [1.0]
    with pytest.raises(UserError, match="at least 1"):
        Length(target=0)


def test_repetition() -> None:
    scores = Repetition()(context("a b c d", "a a a a a", "a b a b a b", "a", ""))
    assert scores.tolist() == pytest.approx([1.0, 1 / 4, 2 / 5, 1.0, 0.0], abs=0.1)
    assert Repetition(orders=[1])(context("a a b b")).tolist() == [0.5]
    with pytest.raises(UserError, match="n-gram length"):
        Repetition(orders=[])


def test_topic_switch_leaves_the_old_topic() -> None:
    batch = context(
        "the kite is green", "He likes bones. Bones are good.", "", reference="the kite is green", mode="topic_switch"
    )
    scores, applies = TopicSwitch()(batch)
    assert applies.all()
    assert scores[0] > 0.9
    assert scores[1] < 0.1
    assert scores[2] == 0
    assert not TopicSwitch()(context("a"))[1].any()
    with pytest.raises(UserError, match="0 to 1"):
        TopicSwitch(strength=2)


def test_coherence_follows_the_newest_interaction_most() -> None:
    batch = context("He likes bones", "I have a dog called Rex", "green kites fly", "")
    scores, applies = Coherence()(batch)
    assert applies.all()
    assert scores[0] > max(scores[1], scores[2])
    assert scores[3] == 0
    assert not Coherence()(context("a", mode="topic_switch"))[1].any()
    mean = running_mean(batch, batch.history, 0.2)
    torch.testing.assert_close(mean, 0.2 * batch.embed(batch.history[0]) + 0.8 * batch.embed(batch.history[1]))


def test_published_options_are_validated() -> None:
    for options, message in (
        ({"bleu_facto": 1}, "unknown key 'bleu_facto' .did you mean 'bleu_factor'"),
        ({"bleu_factor": 0.9}, "sum to 1.4"),
        ({"bleu_mode": "x"}, "separate"),
        ({"reward_len": True}, "len_factor"),
        ({"reward_len": True, "len_factor": 0.0}, "max_rewarded_len"),
        ({"bleu_ref_weights": [2]}, "n-gram weights"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            load_reward("published", **options)
        assert "\n" not in str(caught.value)


def test_published_does_not_apply_without_history() -> None:
    assert not Published()(context("a", history=[[]]))[1].any()


def test_published_with_factors_above_one_stays_in_range() -> None:
    reward = Published(bleu_factor=1.0, cos_factor=1.0, allow_not_summing_factors=True)
    values, _ = reward(context("the dog is called Rex"))
    assert reward.config.largest == 2.0
    assert 0 < values.item() <= 1


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a static word-embedding model: what `SentenceCosine` loads offline."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = ["[UNK]", "dog", "cat", "red", "is", "the", "blue"]
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = torch.eye(len(words)).numpy()
    path = tmp_path_factory.mktemp("encoder")
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu").save(str(path))
    return str(path)


def test_sentence_cosine_loads_lazily_from_a_folder(tiny_encoder: str) -> None:
    reward = SentenceCosine(model=tiny_encoder, device="cpu")
    assert reward._loaded is None
    scores = reward(context("the dog is red", "red is the dog", "blue cat", "", reference="the dog is red"))
    assert scores.tolist() == pytest.approx([1.0, 1.0, 0.0, 0.0], abs=1e-5)
    assert reward._loaded is not None
    again = pickle.loads(pickle.dumps(reward))
    assert again._loaded is None
    assert again(context("", reference="")).tolist() == [0.0]
    assert again._loaded is None


def test_sentence_cosine_names_a_model_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        SentenceCosine(model=str(tmp_path / "none"))(context("a"))
    assert "\n" not in str(caught.value)
