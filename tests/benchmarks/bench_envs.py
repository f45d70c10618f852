"""Cost of the vector environment beside its rewards: 256 dialogues, one step (its share of the reset included)."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import Bench, Row, Section, workload

from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer, encode_dialogues
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.envs import MemoryRetentionVectorEnv
from rxt_mrl.envs.policies import RandomPolicy

ROWS, STEPS, EPISODES, BAR_MS = 256, 8, 1024, 1.0
REWARDS = ("fact_recall", "bleu", "length")


@workload("environment")
def environment(bench: Bench) -> Section:
    """Steps of 256 storyworld dialogues without a reward, and what each reward adds."""
    data, tokenizer = _dialogues()
    figures = {"none": _step_ms(bench, data, tokenizer, None)}
    for reward in REWARDS:
        figures[reward] = _step_ms(bench, data, tokenizer, reward) - figures["none"]
    rows = [Row(f"environment step, {ROWS} dialogues", figures["none"], "ms", bar=BAR_MS, lower_is_better=True)]
    rows += [Row(f"  + reward {name}", figures[name], "ms", lower_is_better=True) for name in REWARDS]
    widths = f"queries up to {data.query_ids.shape[-1]}, answers up to {data.answer_ids.shape[-1]} tokens"
    return Section({"environment_step_ms": figures}, rows, f"{STEPS} steps an episode; {widths}")


def _dialogues() -> tuple[DialogueTensors, DialogueTokenizer]:
    told = dialogues(StoryworldConfig(steps=STEPS), EPISODES)
    texts = [text for dialogue in told[:64] for turn in dialogue.turns for text in (turn.query, turn.answer)]
    tokenizer = DialogueTokenizer.train(texts, 600)
    return encode_dialogues(told, tokenizer, max_query=512, max_answer=512, on_long="error"), tokenizer


def _step_ms(bench: Bench, data: DialogueTensors, tokenizer: DialogueTokenizer, reward: Any) -> float:
    env = MemoryRetentionVectorEnv(data, tokenizer, num_envs=ROWS, reward=reward, autoreset="disabled")
    policy = RandomPolicy(tokenizer, env.max_new_tokens - 1)
    observation, _ = env.reset(seed=0)
    actions = policy.act(observation, policy.reset(ROWS)).actions
    chosen = {"episodes": np.arange(ROWS)}

    def episode() -> None:
        env.reset(options=chosen)
        for _ in range(STEPS):
            env.step(actions)

    repeats = bench.repeats * (10 if reward is None else 1)
    return 1000 * bench.seconds(episode, repeats=repeats) / STEPS
