"""The answers that an update learns from: each different one once, and none that teaches nothing.

Of the answers from one memory 80 to 90 % are the same text as another one of their group, or stand in a group whose
rewards are all alike. Identical answers have the same reward, advantage and ratio, so one row that counts several times
gives the same loss and gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .trajectories import Trajectories


@dataclass(frozen=True)
class Answers:
    """M answers of a batch of episodes, in the order of episode, step and sample.

    Attributes:
        episode: long ``(M,)``, row of the batch.
        step: long ``(M,)``.
        ids: long ``(M, T)``.
        mask: bool ``(M, T)``.
        log_probs: float32 ``(M, T)`` of the behaviour policy.
        advantages: float32 ``(M,)``, the mean of the identical answers'.
        valid: bool ``(M,)``; False where the reward is unknown.
        counts: float32 ``(M,)``, how many identical answers a row stands for.
        total_tokens: tokens with a known reward in the whole batch, also of the answers that were left out.
        total_answers: likewise, answers.
    """

    episode: Tensor
    step: Tensor
    ids: Tensor
    mask: Tensor
    log_probs: Tensor
    advantages: Tensor
    valid: Tensor
    counts: Tensor
    total_tokens: int
    total_answers: int

    def __len__(self) -> int:
        return len(self.episode)

    @property
    def learnt(self) -> Tensor:
        """bool ``(M, T)``, tokens that enter the objective."""
        return self.mask & self.valid.unsqueeze(-1)


def answers_of(batch: Trajectories, advantages: Tensor, *, drop: bool) -> Answers:
    """The distinct answers of a batch.

    Args:
        batch: the episodes.
        advantages: ``(episodes, steps, answers)``.
        drop: leave out those whose advantage is 0; right where nothing but the surrogate learns from answers.
    """
    first = first_of_alike(batch)
    counts = torch.zeros_like(batch.rewards).scatter_add_(-1, first, torch.ones_like(batch.rewards))
    # Copies may have earned differently (a reward with a state, what the carried one led to): a row has their mean.
    # As differences from the first one, which round nothing where all are alike.
    apart = torch.zeros_like(advantages).scatter_add_(-1, first, advantages - advantages.gather(-1, first))
    advantages = advantages + apart / counts.clamp(min=1)
    keep = counts > 0
    if drop:
        keep &= (advantages != 0) & batch.valid
    learnt = batch.action_mask & batch.valid.unsqueeze(-1)
    episode, step, _ = keep.nonzero(as_tuple=True)
    return Answers(
        episode,
        step,
        batch.action_ids[keep],
        batch.action_mask[keep],
        batch.log_probs[keep],
        advantages[keep],
        batch.valid[keep],
        counts[keep],
        int(learnt.sum()),
        int(batch.valid.sum()),
    )


def first_of_alike(batch: Trajectories) -> Tensor:
    """For each answer, the first one of its group with the same tokens, long ``(episodes, steps, answers)``.

    Where one of two identical answers has no known reward they are told apart.
    """
    ids = batch.action_ids.masked_fill(~batch.action_mask, -1)
    alike = (ids.unsqueeze(-2) == ids.unsqueeze(-3)).all(-1) & (batch.valid.unsqueeze(-1) == batch.valid.unsqueeze(-2))
    return alike.long().argmax(-1)
