"""From rewards to advantages: one number for every answer of every episode.

Departs from the published trainer (RXT 3.6): the published default is a bandit, ``reward - value`` with no future;
its GAE runs over batches laid end to end and drops the last one. Here every episode is closed (nothing after its last
step, so nothing to bootstrap), every episode is used, and a critic-free leave-one-out baseline is at hand.
Credit of a *memory write* for later answers does not need ``gamma``: the gradient of each later answer's
log-probability runs through the scan of writes. ``gamma`` only credits the answer's own tokens with later rewards.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .config import AdvantageSettings


def gae(rewards: Tensor, values: Tensor, valid: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016) over the interactions of an episode.

    Args:
        rewards: ``(episodes, steps)``.
        values: ``(episodes, steps)``, the critic's estimate before the answer of each step.
        valid: bool ``(episodes, steps)``; False where the reward is unknown. Such a step counts as if its reward
            had been what the critic expected.
        gamma: discount per interaction.
        lam: the lambda of GAE; 1 gives discounted returns minus values, 0 the one-step error.

    Returns:
        Advantages ``(episodes, steps)``; add ``values`` for the critic's targets.
    """
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    delta = torch.where(valid, rewards + gamma * following - values, torch.zeros_like(values))
    return discounted(delta, gamma * lam)


def leave_one_out(rewards: Tensor, valid: Tensor, group: int, gamma: float) -> Tensor:
    """Return to go minus the mean of the other samples of the same dialogue at the same step (RLOO).

    Args:
        rewards: ``(episodes, steps)``; samples of one dialogue stand next to each other, ``group`` of them.
        valid: bool ``(episodes, steps)``; unknown rewards are left out of the baseline and have advantage 0.
        group: samples per dialogue, at least 2.
        gamma: discount per interaction. The mean over the steps' weights is not normalised.

    Returns:
        Advantages ``(episodes, steps)``; 0 where no other sample of the dialogue has a known reward.
    """
    episodes, steps = rewards.shape
    if group < 2 or episodes % group:
        raise ValueError(f"group = {group}: must be at least 2 and divide {episodes} episodes")
    known = valid.to(rewards.dtype)
    shape = (episodes // group, group, steps)
    # An unknown reward takes the mean of its group's known ones, so that it does not shift earlier returns.
    total = (rewards * known).view(shape).sum(1, keepdim=True)
    count = known.view(shape).sum(1, keepdim=True)
    mean = (total / count.clamp(min=1)).expand(shape).reshape(episodes, steps)
    returns = discounted(torch.where(valid, rewards, mean), gamma).view(shape)
    weights = known.view(shape)
    others = (returns * weights).sum(1, keepdim=True) - returns * weights
    number = weights.sum(1, keepdim=True) - weights
    advantage = returns - others / number.clamp(min=1)
    return (advantage * weights * (number > 0)).reshape(episodes, steps)


def discounted(values: Tensor, discount: float) -> Tensor:
    """``out[:, t] = values[:, t] + discount * out[:, t + 1]`` for ``(episodes, steps)``."""
    out = torch.empty_like(values)
    running = torch.zeros_like(values[:, 0])
    for step in range(values.shape[1] - 1, -1, -1):
        running = values[:, step] + discount * running
        out[:, step] = running
    return out


def shape_advantages(advantages: Tensor, valid: Tensor, settings: AdvantageSettings) -> Tensor:
    """Normalise, clip and scale what the policy will see; 0 where ``valid`` is False.

    ``batch`` normalisation is ``(A - mean) / (std + 1e-8)`` with the unbiased standard deviation, as published.
    """
    shaped = advantages
    if settings.normalize != "none":
        by_step = settings.normalize == "step"
        shaped = _standardise(advantages, valid, dim=0 if by_step else None)
    if settings.clip is not None:
        shaped = shaped.clamp(-settings.clip, settings.clip)
    shaped = torch.where(shaped < 0, shaped * settings.negative_scale, shaped)
    return shaped * valid.to(shaped.dtype)


def _standardise(values: Tensor, valid: Tensor, dim: int | None) -> Tensor:
    weights = valid.to(values.dtype)
    keep = dim is not None

    def total(x: Tensor) -> Tensor:
        return x.sum(dim, keepdim=True) if keep else x.sum()

    count = total(weights)
    mean = total(values * weights) / count.clamp(min=1)
    centred = (values - mean) * weights
    std = (total(centred**2) / (count - 1).clamp(min=1)).sqrt()
    return centred / (std + 1e-8)
