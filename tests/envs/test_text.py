from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from rxt_mrl.envs import MemoryRetentionEnv, TextView
from rxt_mrl.envs.spaces import OpenText, PrefixMask

from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer


@pytest.fixture
def view(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> TextView:
    return TextView(MemoryRetentionEnv(dialogues, tokenizer, steps=2))


def test_a_dialogue_in_text(view: TextView, dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    queries = tokenizer.decode_batch(dialogues.query.ids[3], dialogues.query.mask[3])
    answers = tokenizer.decode_batch(dialogues.answer.ids[3], dialogues.answer.mask[3])
    observation, _ = view.reset(options={"episode": 3})
    assert observation == {"interaction": {"query": queries[0], "answer": answers[0]}, "query": queries[1]}
    observation, reward, terminated, _, info = view.step(answers[1])
    assert (reward, terminated) == (1.0, False)
    assert observation == {"interaction": {"query": queries[1], "answer": answers[1]}, "query": queries[2]}
    assert info["text"]["generated"] == answers[1]
    observation, reward, terminated, _, _ = view.step("No — é!")
    assert (reward, terminated) == (0.0, True)
    assert observation["interaction"]["answer"] == "No — é!"
    assert observation["query"] == ""
    assert observation in view.observation_space


def test_tokens_are_never_tokenised_again(view: TextView, tokenizer: DialogueTokenizer) -> None:
    # The letters of a word one by one: text that a tokenizer would merge.
    ids = np.array([tokenizer.encode_text(letter)[-1] for letter in "dog"])
    assert ids.tolist() != tokenizer.encode_text("dog")
    view.reset(seed=0)
    *_, info = view.step({"ids": ids, "mask": np.ones(3, dtype=np.int8)})
    assert info["answer"]["ids"][:3].tolist() == ids.tolist()
    assert info["written"]["ids"][info["written"]["answer_mask"].astype(bool)].tolist() == ids.tolist()


def test_a_long_string_is_cut_like_a_generation(view: TextView, tokenizer: DialogueTokenizer) -> None:
    view.reset(seed=0)
    *_, info = view.step("the boy was here " * 30)
    assert info["answer"]["mask"].all()
    assert tokenizer.eos_id not in info["answer"]["ids"]


def test_template_tokens_in_a_string_are_letters(view: TextView, tokenizer: DialogueTokenizer) -> None:
    ids = view.encode("[EOS] [A]")["ids"].tolist()
    assert ids[-1] == tokenizer.eos_id
    assert not set(ids[:-1]) & set(tokenizer.special_ids)


def test_render_shows_the_dialogue(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    env = TextView(MemoryRetentionEnv(dialogues, tokenizer, render_mode="ansi"))
    observation, _ = env.reset(seed=0)
    env.step("A cat.")
    shown = env.render()
    assert isinstance(shown, str)
    assert shown.splitlines()[:4:2] == ["> " + observation["interaction"]["query"], "> " + observation["query"]]
    assert "A cat." in shown


def test_async_vectors_need_unshared_memory() -> None:
    env = gym.make_vec(
        "rxt_mrl.envs:rxt_mrl/MemoryRetentionText-v0",
        num_envs=1,
        vectorization_mode="async",
        vector_kwargs={"shared_memory": False, "context": "fork"},
    )
    try:
        observation, _ = env.reset(seed=0)
        assert "there was a" in observation["interaction"]["query"][0].lower()
    finally:
        env.close()


def test_open_text_holds_any_character() -> None:
    space = OpenText(5)
    assert "é—字" in space
    assert "" in space
    assert "123456" not in space
    assert 5 not in space
    assert " " in space.characters
    assert all(space.sample() in space for _ in range(5))


def test_prefix_masks_have_no_holes() -> None:
    space = PrefixMask((3, 4), seed=0)
    assert np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=np.int8) in space
    assert np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=np.int8) not in space
    assert np.ones((2, 4), dtype=np.int8) not in space
    assert all(space.sample() in space for _ in range(5))
    assert len({int(space.sample().sum()) for _ in range(20)}) > 3
