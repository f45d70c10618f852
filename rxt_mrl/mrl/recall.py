"""Fact recall of episodes, for the log and the progress bar, whatever they are rewarded for."""

from __future__ import annotations

import torch

from rxt_mrl.contracts import Reward, RewardContext
from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.scoring import evaluate_reward

from .trajectories import Trajectories

JUDGE = "fact_recall"
"""The reward that judges recall, as in evaluations."""


def recall(batch: Trajectories, tokenizer: DialogueTokenizer, judge: Reward) -> float:
    """The share of questions for told facts that are answered right; NaN where none is asked.

    A term or metric of the reward that is called as the judge says it already; else one of the answers from each memory
    is judged.

    Args:
        batch: the episodes.
        tokenizer: of their ids.
        judge: ``load_reward(JUDGE)``.
    """
    known = {**batch.metrics, **batch.terms}.get(JUDGE)
    if known is not None:
        return known.nanmean().item()
    if not batch.asks:
        return float("nan")
    history, found = [], []
    for step in range(batch.steps):
        history.append(tokenizer.token_text(batch.written_ids[:, step], batch.written_mask[:, step]))
        context = RewardContext(
            query=tokenizer.token_text(batch.query_ids[:, step], batch.query_mask[:, step]),
            generated=tokenizer.token_text(batch.action_ids[:, step, 0], batch.action_mask[:, step, 0]),
            reference=tokenizer.token_text(batch.reference_ids[:, step], batch.reference_mask[:, step]),
            history=tuple(history),
            asks=tuple(tuple(ask for ask in row[step] if ask.told_at <= step) for row in batch.asks),
            step=step + 1,
            steps=batch.steps,
            mode=batch.mode[step],  # type: ignore[arg-type]
        )
        found.append(evaluate_reward(judge, context, JUDGE)[0])
    return torch.cat(found).nanmean().item()
