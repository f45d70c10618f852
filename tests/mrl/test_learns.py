"""Every advantage and objective learns repeat-previous from random weights: by reward alone, and by its memory."""

import time

import pytest

from rxt_mrl.contracts import RewardSpec
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.mrl.config import EnvSpec
from rxt_mrl.mrl.sampled_reward import sampled_reward
from rxt_mrl.mrl.stages import Stage

ENV = EnvSpec(use="rxt_mrl.envs.memory_retention:MemoryRetentionVectorEnv")
REWARD = RewardSpec(terms=[{"use": "rxt_mrl.rewards.fact_recall:FactRecall"}])
GREEDY = SamplingConfig(max_new_tokens=3, temperature=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("advantage", "objective", "answers"),
    [
        *((advantage, "ppo", 4) for advantage in ("rloo", "group", "maxrl", "gae")),
        ("gae", "ppo", 1),
        ("published", "ppo", 1),
        ("gae", "impo", 1),
    ],
)
def test_learns_to_remember_from_scratch(model, train, tokenizer, dialogues, advantage, objective, answers):
    started = time.process_time()
    train(
        model,
        stages=[Stage(steps=3, updates=100)],
        algorithm={
            "advantage": {"kind": advantage, "gamma": 0.5},
            "objective": {"kind": objective, "entropy": 0.05},  # without it most of these stay at a guess
            "optimizer": {"learning_rate": 3e-3, "decay": 0.5},
        },
        rollout={"episodes": 128 // answers, "shard": 64, "answers": answers, "log": 1},
    )
    assert time.process_time() - started < 60
    compare = {"steps": 3, "reward": REWARD, "env": ENV, "sampling": GREEDY, "samples": 1}
    assert sampled_reward(model, tokenizer, dialogues, **compare).mean > 0.95  # a guess is right half of the time
