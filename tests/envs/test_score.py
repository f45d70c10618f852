"""Scoring candidates without moving on: what ``step`` would give, for any rows, and nothing changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence
from rxt_mrl.envs import MemoryRetentionVectorEnv, RepeatPreviousVectorEnv

from rxt_mrl.contracts import Environment, RewardContext, ScoresCandidates, TokenArray
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer
from rxt_mrl.errors import UserError

ROWS, REWARD = 3, {"terms": [{"use": "fact_recall"}, {"use": "coherence"}], "metrics": [{"use": "bleu"}]}
EPISODES = {"episodes": np.array([4, 9, 1])}


@pytest.fixture
def env(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> MemoryRetentionVectorEnv:
    embedding = torch.randn(tokenizer.vocab_size, 8, generator=torch.Generator().manual_seed(0))
    return MemoryRetentionVectorEnv(
        dialogues, tokenizer, num_envs=ROWS, reward=REWARD, autoreset="disabled", embedding=embedding
    )


def candidates(env: Any, count: int) -> list[TokenArray]:
    """``count`` answers to each row's query: the right ones first, then random ones."""
    env.action_space.seed(0)
    return [env.hidden()["answer"], *(env.action_space.sample() for _ in range(count - 1))]


def joined(parts: list[TokenArray], rows: np.ndarray, which: np.ndarray) -> TokenArray:
    width = max(part["ids"].shape[1] for part in parts)
    ids, mask = (
        np.stack([np.pad(part[name], ((0, 0), (0, width - part[name].shape[1]))) for part in parts])
        for name in ("ids", "mask")
    )
    return {"ids": ids[which, rows], "mask": mask[which, rows]}


@pytest.mark.parametrize("count", [1, 4])
def test_score_is_what_the_step_gives(env: Any, count: int) -> None:
    rows = np.random.default_rng(1).permutation(np.arange(ROWS).repeat(count))
    env.reset(options=EPISODES)
    for done in range(3):
        answers = candidates(env, count)
        which = np.array([(rows[:place] == row).sum() for place, row in enumerate(rows)])
        rewards, info = env.score(joined(answers, rows, which), rows)
        assert rewards.dtype == np.float32
        assert rewards.shape == info["valid"].shape == rows.shape
        for number, answer in enumerate(answers):
            env.reset(options=EPISODES)
            for _ in range(done):
                env.step(env.hidden()["answer"])
            _, expected, _, _, after = env.step(answer)
            mine = which == number
            np.testing.assert_allclose(rewards[mine], expected[rows[mine]], atol=1e-6)
            assert (info["valid"][mine] == after["valid"][rows[mine]]).all()
            for kind in ("terms", "metrics"):
                assert set(info[kind]) == set(after[kind])
                for name, values in info[kind].items():
                    np.testing.assert_allclose(values[mine], after[kind][name][rows[mine]], atol=1e-6)
        env.reset(options=EPISODES)
        for _ in range(done + 1):
            env.step(env.hidden()["answer"])
    assert rewards.max() > rewards.min() or count == 1


def test_nothing_changes(env: Any) -> None:
    def play(scored: bool) -> list[Any]:
        seen = [env.reset(options=EPISODES)]
        for _ in range(3):
            if scored:
                before = env.transcript(0)
                env.score(joined(candidates(env, 2), np.array([2, 0]), np.array([1, 1])), np.array([2, 0]))
                assert env.transcript(0) == before
            env.action_space.seed(5)
            seen.append(env.step(env.action_space.sample()))
        return [(step[0], *step[1:-1], {name: step[-1][name] for name in ("step", "written")}) for step in seen]

    assert data_equivalence(play(scored=True), play(scored=False), exact=True)


def test_rows_at_different_steps(env: Any) -> None:
    env.reset(options=EPISODES)
    env.step(env.hidden()["answer"])
    env.reset(options={"reset_mask": np.array([False, True, False]), "episodes": np.array([7])})
    answer, rows = env.hidden()["answer"], np.array([1, 2, 0])
    rewards, info = env.score({name: part[rows] for name, part in answer.items()}, rows)
    _, expected, _, _, after = env.step(answer)
    np.testing.assert_allclose(rewards, expected[rows], atol=1e-6)
    assert info["reference"].text == after["reference"].select(rows.tolist()).text


def test_hooks_see_candidates_too(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    seen: list[RewardContext] = []

    class Watching(MemoryRetentionVectorEnv):
        def context(self, context: RewardContext) -> RewardContext:
            seen.append(context)
            return context

    env = Watching(dialogues, tokenizer, num_envs=2, reward="fact_recall")
    env.reset(seed=0)
    env.score({"ids": np.zeros((5, 1), dtype=np.int64), "mask": np.zeros((5, 1), np.int8)}, np.array([0, 1, 1, 1, 0]))
    (context,) = seen
    assert len(context) == len(context.asks) == len(context.history[0]) == 5
    assert context.query.text[1] == context.query.text[2] != context.query.text[0]


def test_refused(env: Any) -> None:
    nothing = {"ids": np.zeros((2, 1), dtype=np.int64), "mask": np.zeros((2, 1), dtype=np.int8)}
    with pytest.raises(UserError, match="call reset"):
        env.score(nothing, np.array([0, 1]))
    env.reset(options=EPISODES)
    for rows, message in (
        (np.array([0, 3]), r"row 3 does not exist; allowed: 0 \.\. 2"),
        (np.array([-1, 0]), "row -1 does not exist"),
        (np.array([0.0, 1.0]), "one integer for each answer"),
        (np.array([0]), r"both \(1, tokens\), got \(2, 1\)"),
    ):
        with pytest.raises(UserError, match=message):
            env.score(nothing, rows)


def test_every_environment_of_the_catalogue_is_one() -> None:
    env: Environment = RepeatPreviousVectorEnv(num_envs=2)
    assert isinstance(env, ScoresCandidates)
