"""What a run measures on held-out dialogues: retention after each stage, and the gain of MRL in sampled reward."""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import load_file, save_file

from .dialogues.batching import DialogueTensors
from .dialogues.tokenizer import DialogueTokenizer
from .evaluation.intervals import paired_gain
from .evaluation.retention import evaluate
from .model import RxT
from .mrl.evaluate import sampled_reward
from .recipe import Recipe
from .run_data import RunData
from .runs import RunDir

QUICK_EPISODES = 100
"""Dialogues that the early stages are measured on; the stages before and after MRL get all of them."""


class Measuring:
    """Measures one run, always on the same held-out dialogues and with the same seeds."""

    def __init__(self, recipe: Recipe, data: RunData, tokenizer: DialogueTokenizer) -> None:
        self.recipe, self.tokenizer = recipe, tokenizer
        self.dialogues: DialogueTensors = data.held_out(tokenizer)

    def retention(self, model: RxT, *, final: bool) -> dict[str, Any]:
        """Retention of a stage; ``final`` measures all dialogues, otherwise the first ones."""
        settings = self.recipe.evaluation
        if not final:
            settings = settings.model_copy(update={"episodes": min(QUICK_EPISODES, len(self.dialogues))})
        return evaluate(model, self.tokenizer, self.dialogues, settings, seed=0).to_json()

    def before(self, run: RunDir, model: RxT, embedding: torch.Tensor) -> torch.Tensor:
        """Sampled reward per dialogue before MRL, kept in the run for a resumed one."""
        path = run.checkpoint_dir("mrl") / "reward_before.safetensors"
        if path.is_file():
            return load_file(path)["reward"]
        reward = self._sampled(model, embedding)
        save_file({"reward": reward}, path)
        return reward

    def gain(self, model: RxT, embedding: torch.Tensor, before: torch.Tensor) -> dict[str, float]:
        """Sampled reward before and after, with the 95 % interval of the paired gain."""
        after = self._sampled(model, embedding)
        gain = paired_gain(before.numpy(), after.numpy())
        return {
            "before": before.mean().item(),
            "after": after.mean().item(),
            "gain": gain.mean,
            "gain_low": gain.low,
            "gain_high": gain.high,
            "dialogues": gain.pairs,
        }

    def _sampled(self, model: RxT, embedding: torch.Tensor) -> torch.Tensor:
        recipe = self.recipe
        return sampled_reward(
            model,
            self.tokenizer,
            self.dialogues,
            steps=self.dialogues.steps,
            reward=recipe.reward,
            env=recipe.env,
            sampling=recipe.rollout.sampling,
            embedding=embedding,
            samples=recipe.reward_samples,
        ).per_dialogue
