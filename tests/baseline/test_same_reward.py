"""One reward function in TRL's convention, in TRL's trainer and in our MRL: the same scores for the same answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rxt_mrl import plugins
from rxt_mrl.baseline.data import questions
from rxt_mrl.baseline.model import causal_lm, chat_tokenizer
from rxt_mrl.contracts import Dialogue, RewardContext, RewardSpec
from rxt_mrl.dialogues import DialogueTokenizer, encode_dialogues
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.model import RxT
from rxt_mrl.model.presets import preset
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.mrl.config import AlgorithmSettings, RolloutSettings
from rxt_mrl.mrl.stages import Stage
from rxt_mrl.mrl.trainer import Training, train_mrl
from rxt_mrl.runs import RunDir
from rxt_mrl.scoring import build_reward

REWARD = '''
"""As somebody wrote it for TRL, and nothing of ours in it."""

calls = []


def letters(prompts, completions, ground_truth, weight, completion_ids=None, **kwargs):
    """Which share of the letters of either text the other has too; nothing to say about some questions."""
    scores = []
    for prompt, completion, truth, share in zip(prompts, completions, ground_truth, weight):
        text = completion if isinstance(completion, str) else completion[0]["content"]
        asked = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        one, other = set(text), set(truth)
        scores.append(share * len(one & other) / len(one | other) if len(asked) % 5 else None)
        calls.append((asked, text, truth, share, scores[-1]))
    return scores
'''


@pytest.fixture
def rows() -> list[Dialogue]:
    """Dialogues whose follow-ups have other columns, a text and a number."""
    return [
        replace(
            row,
            interactions=tuple(
                replace(turn, columns={"ground_truth": turn.answer, "weight": 0.5 + 0.25 * (number % 3)})
                for turn in row.interactions
            ),
        )
        for number, row in enumerate(dialogues(StoryworldConfig(steps=2), 12))
    ]


@pytest.fixture
def tokenizer(rows: list[Dialogue]) -> DialogueTokenizer:
    return DialogueTokenizer.train(
        [text for row in rows for turn in row.turns for text in (turn.query, turn.answer)], 400
    )


@pytest.mark.slow
@pytest.mark.parametrize("conversational", [True, False])
def test_the_same_function_in_trl_and_here(
    tmp_path: Path, rows: list[Dialogue], tokenizer: DialogueTokenizer, conversational: bool
) -> None:
    from trl import GRPOConfig, GRPOTrainer

    file = tmp_path / "letters.py"
    file.write_text(REWARD)
    function = plugins.find("reward", f"{file}:letters")
    calls: list[tuple[Any, ...]] = function.__globals__["calls"]
    torch.manual_seed(0)
    config = preset("nano", vocab_size=tokenizer.vocab_size, embed_dim=16, num_layers=1, slots=4, max_tokens=96)

    # 1. TRL's trainer: two updates of a tiny causal language model.
    asked = questions(rows)
    if not conversational:
        asked = asked.map(lambda row: {"prompt": row["prompt"][-1]["content"]}, remove_columns="prompt")
    told = [turn.columns for row in rows for turn in row.interactions]
    asked = asked.add_column("ground_truth", [columns["ground_truth"] for columns in told])
    asked = asked.add_column("weight", [columns["weight"] for columns in told])
    peer = causal_lm(config, sum(p.numel() for p in RxT(config).parameters()), tokenizer, positions=256)
    arguments = GRPOConfig(
        output_dir=str(tmp_path / "grpo"),
        max_steps=2,
        per_device_train_batch_size=6,
        num_generations=3,
        max_completion_length=6,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        bf16=False,
        use_cpu=True,
    )
    trainer = GRPOTrainer(
        model=peer,
        reward_funcs=function,
        args=arguments,
        train_dataset=asked,
        processing_class=chat_tokenizer(tokenizer, positions=256),
    )
    trainer.train()
    theirs = list(calls)
    assert len(theirs) == 2 * 6
    logged = [line["rewards/letters/mean"] for line in trainer.state.log_history if "rewards/letters/mean" in line]
    assert len(logged) == 2

    # 2. Our MRL: two updates of a tiny RxT, with the function named in a recipe.
    calls.clear()
    spec = RewardSpec.model_validate({"use": f"{file}:letters", "options": {"conversational": conversational}})
    run = RunDir(tmp_path / "run")
    training = Training(
        encode_dialogues(rows, tokenizer, max_query=72, max_answer=24),
        [Stage(steps=2, updates=2)],
        reward=spec,
        algorithm=AlgorithmSettings(),
        rollout=RolloutSettings(episodes=4, answers=3, shard=4, sampling=SamplingConfig(max_new_tokens=6)),
    )
    train_mrl(RxT(config).eval(), tokenizer, training, run, progress=False)
    ours = list(calls)
    assert len(ours) >= 2 * 4 * 2 * 3

    # 3. The same scores for the same answers: TRL's answers by our reward, ours by TRL's function.
    queries, answers, truths, weights, scores = (list(column) for column in zip(*theirs, strict=True))
    context = RewardContext.from_text(queries, answers, columns={"ground_truth": truths, "weight": weights})
    result = build_reward(spec)(context)
    assert [None if score is None else pytest.approx(score) for score in scores] == [
        value if known else None for value, known in zip(result.total.tolist(), result.valid.tolist(), strict=True)
    ]
    lines = [json.loads(line) for line in run.rollout_path("mrl-1").read_text().splitlines()]
    assert {line["reward"] is None for line in lines} == {True, False}
    for line in lines:
        columns = {name: [value] for name, value in line["columns"].items()}
        if conversational:
            asked_ = [[{"role": "user", "content": line["query"]}]]
            said: Any = [[{"role": "assistant", "content": line["generated"]}]]
        else:
            asked_, said = [line["query"]], [line["generated"]]
        (score,) = function(prompts=asked_, completions=said, **columns)
        assert line["reward"] == (None if score is None else pytest.approx(score, abs=1e-6))
