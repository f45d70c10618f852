from __future__ import annotations

import numpy as np
import pytest
from rxt_mrl.envs import MemoryRetentionVectorEnv
from rxt_mrl.envs.policies import EchoPolicy, GuessPolicy, OraclePolicy, RandomPolicy, WipedPolicy, play_episode

from rxt_mrl.contracts import Policy
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer


@pytest.fixture
def env(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> MemoryRetentionVectorEnv:
    return MemoryRetentionVectorEnv(dialogues, tokenizer, num_envs=64, reward="fact_recall")


def policies(env: MemoryRetentionVectorEnv) -> list[Policy]:
    oracle = OraclePolicy(env.dialogues)
    return [
        oracle,
        WipedPolicy(oracle),
        EchoPolicy(env.tokenizer, env.max_new_tokens),
        RandomPolicy(env.tokenizer),
        GuessPolicy(env.tokenizer, ["It was a dog.", "red"]),
    ]


def test_known_scores(env: MemoryRetentionVectorEnv) -> None:
    oracle, wiped, echo, random, guess = (play_episode(env, policy, seed=0) for policy in policies(env))
    assert (oracle.rewards[oracle.valid] == 1).all()
    assert oracle.valid.any(axis=0).all()
    assert not echo.rewards.any()
    assert random.rewards.mean() < 0.02
    assert guess.rewards.mean() < 0.1
    # Step 1 can be answered from the interaction that stands in the observation; after it, memory is needed.
    assert not wiped.rewards[:, 1:].any()


def test_policies_are_pure(env: MemoryRetentionVectorEnv) -> None:
    observation, _ = env.reset(seed=1)
    for policy in policies(env):
        assert isinstance(policy, Policy)
        state = policy.reset(64, seeds=range(64))
        first, second = policy.act(observation, state), policy.act(observation, state)
        for name in ("ids", "mask"):
            assert np.array_equal(first.actions[name], second.actions[name])
        assert first.log_probs.shape == first.actions["ids"].shape
        assert first.log_probs.dtype == np.float32


def test_random_answers_belong_to_the_episode_and_not_to_the_row(env: MemoryRetentionVectorEnv) -> None:
    observation, _ = env.reset(seed=1)
    for policy in (RandomPolicy(env.tokenizer), GuessPolicy(env.tokenizer, ["a", "b c d", "e"])):
        plain = policy.act(observation, policy.reset(4, seeds=[0, 1, 2, 3])).actions
        moved = policy.act(observation, policy.reset(4, seeds=[2, 0, 3, 1])).actions
        assert np.array_equal(moved["ids"], plain["ids"][[2, 0, 3, 1]])
        assert len(np.unique(plain["ids"], axis=0)) > 1


def test_echo_says_the_query(env: MemoryRetentionVectorEnv) -> None:
    observation, _ = env.reset(seed=1)
    for limit in (64, 4):
        policy = EchoPolicy(env.tokenizer, limit)
        actions = policy.act(observation, policy.reset(64)).actions
        for row in range(5):
            query = observation["query"]["ids"][row][observation["query"]["mask"][row].astype(bool)].tolist()
            said = actions["ids"][row][actions["mask"][row].astype(bool)].tolist()
            assert said == [*query[2:-1], env.tokenizer.eos_id][:limit]


def test_the_oracle_is_silent_about_what_it_never_saw(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    env = MemoryRetentionVectorEnv(dialogues, tokenizer, num_envs=4, reward="fact_recall", autoreset="disabled")
    half = OraclePolicy(dialogues.select(range(32)))
    played = play_episode(env, half, options={"episodes": np.array([0, 31, 32, 63])})
    assert (played.rewards[:2][played.valid[:2]] == 1).all()
    assert not played.rewards[2:].any()
