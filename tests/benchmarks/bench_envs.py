"""Cost of the vector environment beside its rewards: one step, and one reset, of 256 dialogues."""

from __future__ import annotations

import statistics

from harness import Bench, Row, Section, cpu_seconds, workload
from rxt_mrl.envs import MemoryRetentionVectorEnv
from rxt_mrl.envs.policies import RandomPolicy

from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer, encode_dialogues
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues

ROWS, STEPS, EPISODES, BAR_MS = 256, 8, 1024, 1.0
REWARDS = ("fact_recall", "bleu", "length")


@workload("environment")
def environment(bench: Bench) -> Section:
    """Steps of 256 storyworld dialogues without a reward, and what each reward adds."""
    data, tokenizer = _dialogues()
    step, reset = _milliseconds(bench, data, tokenizer, None)
    figures = {"step": step, "reset": reset}
    rows = [Row(f"environment step, {ROWS} dialogues", step, "ms", bar=BAR_MS, lower_is_better=True)]
    rows.append(Row(f"environment reset, {ROWS} dialogues", reset, "ms", lower_is_better=True))
    for reward in REWARDS:
        figures[reward] = _milliseconds(bench, data, tokenizer, reward)[0] - step
        rows.append(Row(f"  + reward {reward}, a step", figures[reward], "ms", lower_is_better=True))
    widths = f"queries up to {data.query.ids.shape[-1]}, answers up to {data.answer.ids.shape[-1]} tokens"
    return Section({"environment_ms": figures}, rows, f"{STEPS} steps an episode; {widths}")


def _dialogues() -> tuple[DialogueTensors, DialogueTokenizer]:
    told = dialogues(StoryworldConfig(steps=STEPS), EPISODES)
    texts = [text for dialogue in told[:64] for turn in dialogue.turns for text in (turn.query, turn.answer)]
    tokenizer = DialogueTokenizer.train(texts, 600)
    return encode_dialogues(told, tokenizer, max_query=512, max_answer=512, on_long="error"), tokenizer


def _milliseconds(
    bench: Bench, data: DialogueTensors, tokenizer: DialogueTokenizer, reward: str | None
) -> tuple[float, float]:
    """Medians of a step and of a reset, over whole episodes."""
    env = MemoryRetentionVectorEnv(data, tokenizer, num_envs=ROWS, reward=reward, autoreset="disabled")
    policy = RandomPolicy(tokenizer, env.max_new_tokens - 1)
    observation, _ = env.reset(seed=0)
    actions = policy.act(observation, policy.reset(ROWS)).actions
    steps, resets = [], []
    for _ in range(bench.repeats * (10 if reward is None else 1)):
        resets.append(cpu_seconds(env.reset))
        steps += [cpu_seconds(lambda: env.step(actions)) for _ in range(STEPS)]
    return 1000 * statistics.median(steps), 1000 * statistics.median(resets)
