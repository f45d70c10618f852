"""Training the stateless peer with TRL: on whole dialogues (SFT), and with our rewards on its own answers (GRPO)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from ..contracts import Dialogue, RewardSpec
from ..dialogues.tokenizer import DialogueTokenizer
from ..display.trainer_bar import TrainerBar
from ..scoring import WeightedReward, to_trl
from .config import GrpoSettings, SftSettings
from .data import conversations, growing, questions

LogLine = dict[str, Any]


def fine_tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dialogues: Sequence[Dialogue],
    settings: SftSettings,
    *,
    folder: Path,
    device: str = "auto",
    seed: int = 0,
) -> list[LogLine]:
    """``trl.SFTTrainer`` on dialogues: every answer from the full history before it. Changes the model.

    Args:
        model: to train.
        tokenizer: with a chat template that marks the answers.
        dialogues: with reference answers.
        settings: updates, batches and learning rate.
        folder: for what the trainer writes.
        device: ``auto`` or ``cpu``.
        seed: of the order of the dialogues.

    Returns:
        What the trainer logged.
    """
    arguments = SFTConfig(
        output_dir=str(folder),
        max_steps=settings.updates,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup,
        lr_scheduler_type="cosine",
        assistant_only_loss=True,
        max_length=None,
        train_sampling_strategy="sequential",
        **_common(device, seed),
    )
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=conversations(growing(dialogues, settings, seed)),
        processing_class=tokenizer,
    )
    return _trained(trainer, "baseline sft", {"loss": "loss", "accuracy": "mean_token_accuracy"})


def reinforce(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dialogues: Sequence[Dialogue],
    settings: GrpoSettings,
    reward: RewardSpec,
    *,
    codec: DialogueTokenizer,
    most_tokens: int,
    folder: Path,
    device: str = "auto",
    seed: int = 0,
) -> list[LogLine]:
    """``trl.GRPOTrainer`` with a reward of ours, one follow-up a prompt, the references as history. Changes the model.

    Args:
        model: to train.
        tokenizer: with a chat template.
        dialogues: whose questions are asked.
        settings: updates, answers to a question, sampling.
        reward: the recipe's.
        codec: what the reward counts tokens with.
        most_tokens: of an answer.
        folder: for what the trainer writes.
        device: ``auto`` or ``cpu``.
        seed: of the order of the questions and of sampling.

    Returns:
        What the trainer logged.
    """
    table: Any = model.get_input_embeddings()
    embedding = table.weight.detach().cpu().clone()
    arguments = GRPOConfig(
        output_dir=str(folder),
        max_steps=settings.updates,
        per_device_train_batch_size=settings.questions * settings.answers,
        num_generations=settings.answers,
        learning_rate=settings.learning_rate,
        temperature=settings.temperature,
        max_completion_length=most_tokens,
        **_common(device, seed),
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=to_trl(WeightedReward(reward), codec=codec, embedding=embedding, name="reward"),
        args=arguments,
        train_dataset=questions(dialogues),
        processing_class=tokenizer,
    )
    return _trained(trainer, "baseline grpo", {"reward": "reward"})


def _trained(trainer: Trainer, title: str, shown: Mapping[str, str]) -> list[LogLine]:
    """Train with a bar that shows figures of the latest log line, by what they are called there; all log lines."""

    def figures() -> dict[str, float]:
        last = next((line for line in reversed(trainer.state.log_history)), {})
        return {name: float(last[key]) for name, key in shown.items() if key in last}

    bar = TrainerBar(title, trainer.args.max_steps, figures)
    bar.instead_of_others(trainer)
    try:
        trainer.train()
    finally:
        bar.close()
    return trainer.state.log_history


def _common(device: str, seed: int) -> dict[str, Any]:
    """What both trainers are told: AdamW as in our own stages, full precision, no checkpoints, a log line a while."""
    return {
        "seed": seed,
        "use_cpu": device == "cpu",
        "adam_beta2": 0.95,
        "weight_decay": 0.01,
        "bf16": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "activation_checkpointing": False,
        "logging_steps": 10,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
