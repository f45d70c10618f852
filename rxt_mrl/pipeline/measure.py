"""What a run measures on held-out dialogues: retention after each stage, and the gain of MRL in sampled reward."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..display import Bars, busy
from ..evaluation.intervals import paired_gain
from ..evaluation.questions import read, write
from ..evaluation.retention import evaluate
from ..evaluation.subjects.rxt import RxTSubject
from ..files import read_tensors, write_tensors
from ..model import RxT
from ..mrl.sampled_reward import sampled_reward
from ..runs import RunDir
from .data import RunData

QUICK_EPISODES = 100
"""Dialogues that the early stages are measured on; the stages before and after MRL get all of them."""


class Measuring:
    """Measures one run, always on the same held-out dialogues of each source and with the same seeds."""

    def __init__(self, data: RunData) -> None:
        self.recipe, self.tokenizer = data.recipe, data.tokenizer
        self.held_out = {source: data.held_out(source) for source in data.recipe.evaluation_sources}

    def retention(self, model: RxT, stage: str, answers: Path, *, whole: bool) -> dict[str, dict[str, Any]]:
        """Retention by source, on all held-out dialogues or, to save time, on the first ones.

        Args:
            model: what is measured.
            stage: that it comes from.
            answers: ``answers.parquet``, which keeps the questions of every stage.
            whole: all held-out dialogues.
        """
        results, frames = {}, []
        for source, dialogues in self.held_out.items():
            settings = self.recipe.evaluation.model_copy(update={"data": (source,)})
            if not whole:
                settings = settings.model_copy(update={"episodes": min(QUICK_EPISODES, len(dialogues))})
            with Bars(transient=True) as bars:
                bar = bars.add(f"measuring {source}")
                measured = evaluate(RxTSubject(model, self.tokenizer), dialogues, settings, seed=0, advance=bar.counted)
            results[source] = measured.to_json()
            frames.append(measured.questions.assign(stage=stage, source=source))
        if not frames:
            return results
        earlier = [read(answers).query("stage != @stage")] if answers.is_file() else []
        write(pd.concat([*earlier, *frames], ignore_index=True), answers)
        return results

    def before(self, run: RunDir, model: RxT, embedding: torch.Tensor) -> dict[str, torch.Tensor]:
        """Sampled reward per dialogue by source before MRL, kept in the run for a resumed one."""
        path = run.checkpoint_dir("mrl") / "reward_before.safetensors"
        if path.is_file():
            return read_tensors(path, "delete it, and --resume measures it again")
        rewards = self._sampled(model, embedding)
        write_tensors(path, rewards)
        return rewards

    def gain(
        self, run: RunDir, model: RxT, embedding: torch.Tensor, before: Mapping[str, torch.Tensor]
    ) -> dict[str, dict[str, float]]:
        """Sampled reward before and after by source, with the 95 % interval of the paired gain; the run keeps both.

        Over the dialogues whose reward is known before and after; a source with fewer than two of them is left out.
        """
        gains, rewards = {}, self._sampled(model, embedding)
        write_tensors(run.checkpoint_dir("mrl") / "reward_after.safetensors", rewards)
        for source, after in rewards.items():
            known = ~(before[source].isnan() | after.isnan())
            if int(known.sum()) < 2:
                continue
            old, new = before[source][known], after[known]
            gain = paired_gain(old.numpy(), new.numpy())
            gains[source] = {
                "before": old.mean().item(),
                "after": new.mean().item(),
                "gain": gain.mean,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "dialogues": gain.pairs,
            }
        return gains

    def _sampled(self, model: RxT, embedding: torch.Tensor) -> dict[str, torch.Tensor]:
        with busy(f"measuring the reward of sampled answers on {', '.join(self.held_out)}", lines=True):
            return self._rewards(model, embedding)

    def _rewards(self, model: RxT, embedding: torch.Tensor) -> dict[str, torch.Tensor]:
        recipe = self.recipe
        return {
            source: sampled_reward(
                model,
                self.tokenizer,
                dialogues,
                steps=dialogues.steps,
                reward=recipe.reward,
                env=recipe.env,
                sampling=recipe.rollout.sampling,
                embedding=embedding,
                samples=recipe.reward_samples,
            ).per_dialogue
            for source, dialogues in self.held_out.items()
        }


def effect_lines(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What MRL, or the control in its place, changed: sampled reward and greedy recall, with 95 % intervals.

    Where it made the model worse, the last line says so.
    """
    if "mrl" not in results:
        return []
    note = results["mrl"]
    name = {"none": "MRL", "frozen_memory": "MRL with frozen memory", "supervised": "supervised control"}[
        note["control"]
    ]
    lines = [f"{name}: {note['updates']:.0f} updates in {note['seconds']:.0f} s"]
    before = next((stage for stage in ("memory_aware", "start") if stage in results), None)
    worse = []
    for source, reward in note["sampled_reward"].items():
        lines.append(
            f"  {source}: mean reward of sampled answers {reward['before']:.4f} -> {reward['after']:.4f}, paired gain "
            f"{reward['gain']:+.4f} (95 % interval {reward['gain_low']:+.4f} to {reward['gain_high']:+.4f}, "
            f"{reward['dialogues']} dialogues)"
        )
        fell = reward["gain_high"] < 0
        if before is not None:
            old, new = (_recall(results[stage]["retention"][source]) for stage in (before, "mrl"))
            if len(old) > 1:
                gain = paired_gain(old, new)
                lines.append(
                    f"  {source}: greedy recall {100 * old.mean():.1f} -> {100 * new.mean():.1f} %, paired change "
                    f"{100 * gain.mean:+.2f} points (95 % interval {100 * gain.low:+.2f} to {100 * gain.high:+.2f})"
                )
                fell = fell or gain.high < 0
        worse += [source] if fell else []
    if worse:
        kept = "" if before is None else f"; the model before it is checkpoints/{before}"
        lines.append(f"{name} made the model WORSE on {', '.join(worse)}{kept}")
    return lines


def _recall(result: Mapping[str, Any]) -> np.ndarray:
    """Greedy recall of each dialogue that asks for something."""
    recall = np.array(result["by_dialogue"]["recall"], dtype=float)
    return recall[~np.isnan(recall)]
