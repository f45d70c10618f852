"""What a run measures on held-out dialogues: retention after each stage, and the gain of MRL in sampled reward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ..evaluation.intervals import paired_gain
from ..evaluation.retention import evaluate
from ..model import RxT
from ..mrl.sampled_reward import sampled_reward
from ..runs import RunDir
from .data import RunData

QUICK_EPISODES = 100
"""Dialogues that the early stages are measured on; the stages before and after MRL get all of them."""


class Measuring:
    """Measures one run, always on the same held-out dialogues and with the same seeds."""

    def __init__(self, data: RunData) -> None:
        self.recipe, self.tokenizer, self.dialogues = data.recipe, data.tokenizer, data.held_out

    def retention(self, model: RxT, *, whole: bool) -> dict[str, Any]:
        """Retention of a stage, on all held-out dialogues or, to save time, on the first ones."""
        settings = self.recipe.evaluation
        if not whole:
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


def effect_lines(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What MRL, or the control in its place, changed: sampled reward and greedy recall, with 95 % intervals."""
    if "mrl" not in results:
        return []
    note = results["mrl"]
    reward = note["sampled_reward"]
    name = {"none": "MRL", "frozen_memory": "MRL with frozen memory", "supervised": "supervised control"}[
        note["control"]
    ]
    lines = [
        f"{name}: {note['updates']:.0f} updates in {note['seconds']:.0f} s",
        f"  mean reward of sampled answers {reward['before']:.4f} -> {reward['after']:.4f}, paired gain "
        f"{reward['gain']:+.4f} (95 % interval {reward['gain_low']:+.4f} to {reward['gain_high']:+.4f}, "
        f"{reward['dialogues']} dialogues)",
    ]
    if "memory_aware" in results and note["retention"]["recall"] is not None:
        before, after = (
            np.array(results[stage]["retention"]["by_dialogue"]["recall"], dtype=float)
            for stage in ("memory_aware", "mrl")
        )
        gain = paired_gain(before, after)
        lines.append(
            f"  greedy recall {100 * before.mean():.1f} -> {100 * after.mean():.1f} %, paired change "
            f"{100 * gain.mean:+.2f} points (95 % interval {100 * gain.low:+.2f} to {100 * gain.high:+.2f})"
        )
    return lines
