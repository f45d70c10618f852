"""From rewards to advantages: one number for every answer of every step of every episode.

Several answers *from the same memory* tell what an answer was worth there: the mean of the others is a baseline without
bias and without a critic (:func:`leave_one_out`; Kool et al. 2019, Ahmadian et al. 2024). Departs from the published
trainer (RXT 3.6), whose default is a bandit with a critic that cannot see what the reward is about
(:func:`reward_minus_value`), and whose GAE runs over batches laid end to end and drops the last one. Here every episode
is closed (nothing after its last step, so nothing to bootstrap) and every episode is used.

Credit of a *memory write* for later answers does not need ``gamma``: the gradient of each later answer's
log-probability runs through the scan of writes. ``gamma`` only credits an answer's own tokens with the later rewards
that it changed as a text in memory.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .config import AdvantageSettings


def leave_one_out(rewards: Tensor, valid: Tensor) -> Tensor:
    """Reward minus the mean reward of the other answers from the same memory (RLOO).

    Args:
        rewards: ``(episodes, steps, answers)``.
        valid: bool, same shape; unknown rewards are left out of the baseline and have advantage 0.

    Returns:
        Advantages of the same shape; 0 where no other answer has a known reward.
    """
    centred, known, count = _centred(rewards, valid)
    return torch.where(count > 1, centred * count / (count - 1).clamp(min=1), 0.0) * known


def relative_to_mean(rewards: Tensor, valid: Tensor) -> Tensor:
    """``(r - mean) / mean`` of the answers from one memory: hard questions weigh more (MaxRL, arXiv 2602.02710)."""
    centred, known, count = _centred(rewards, valid)
    mean = (rewards * known).sum(-1, keepdim=True) / count.clamp(min=1)
    return centred / mean.clamp(min=1e-6) * known


def relative_to_group(rewards: Tensor, valid: Tensor) -> Tensor:
    """``(r - mean) / std`` of the answers from the same memory (GRPO, Shao et al. 2024)."""
    centred, known, count = _centred(rewards, valid)
    std = ((centred**2 * known).sum(-1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return centred / (std + 1e-6) * known


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
    return discounted(_errors(rewards, values, valid, gamma), gamma * lam)


def answers_gae(
    rewards: Tensor, values: Tensor, valid: Tensor, carried: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """GAE where every step has several answers, one of which went on to memory and had consequences.

    Args:
        rewards: ``(episodes, steps, answers)``.
        values: ``(episodes, steps)``.
        valid: bool, as ``rewards``.
        carried: long ``(episodes, steps)``, which answer went on; -1: another text, whose reward is taken to be the
            mean of the answers'.
        gamma: as in :func:`gae`.
        lam: as in :func:`gae`.

    Returns:
        Advantages as ``rewards``: the one-step error of each answer, and for the one that went on also what came of
        it; and the critic's targets ``(episodes, steps)``.
    """
    known = valid.to(rewards.dtype)
    count = known.sum(-1)
    mean = (rewards * known).sum(-1) / count.clamp(min=1)
    place = carried.clamp(min=0).unsqueeze(-1)
    own = carried >= 0
    chain = torch.where(own, rewards.gather(-1, place).squeeze(-1), mean)
    chain_known = torch.where(own, valid.gather(-1, place).squeeze(-1), count > 0)
    advantages = gae(chain, values, chain_known, gamma, lam)
    later = gamma * lam * torch.cat([advantages[:, 1:], torch.zeros_like(advantages[:, :1])], dim=1)
    errors = _errors(rewards, values.unsqueeze(-1), valid, gamma)
    went_on = torch.zeros_like(rewards).scatter(-1, place, own.to(rewards.dtype).unsqueeze(-1))
    return errors + went_on * later.unsqueeze(-1), advantages + values


def reward_minus_value(rewards: Tensor, values: Tensor, valid: Tensor) -> Tensor:
    """The published default (RXT 3.6), without a future. Rewards are ``(E, N, K)``, values ``(E, N)``."""
    return (rewards - values.unsqueeze(-1)) * valid.to(rewards.dtype)


def discounted(values: Tensor, discount: float) -> Tensor:
    """``out[:, t] = values[:, t] + discount * out[:, t + 1]`` for ``(episodes, steps)``."""
    out = torch.empty_like(values)
    running = torch.zeros_like(values[:, 0])
    for step in range(values.shape[1] - 1, -1, -1):
        running = values[:, step] + discount * running
        out[:, step] = running
    return out


def shape_advantages(advantages: Tensor, valid: Tensor, settings: AdvantageSettings) -> Tensor:
    """Normalise, clip and scale what the policy will see, ``(episodes, steps, answers)``; 0 where not ``valid``.

    With a critic ``batch`` is ``(A - mean) / (std + 1e-8)`` with the unbiased standard deviation, as published. What
    compares the answers of one memory is centred already and is only divided: a group without a difference stays 0.
    """
    shaped = advantages
    if settings.normalize != "none":
        dims = (0, 2) if settings.normalize == "step" else (0, 1, 2)
        shaped = _standardized(advantages, valid, dims, centre=settings.uses_critic)
    if settings.clip is not None:
        shaped = shaped.clamp(-settings.clip, settings.clip)
    shaped = torch.where(shaped < 0, shaped * settings.negative_scale, shaped)
    return shaped * valid.to(shaped.dtype)


def _centred(rewards: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards minus the mean of their group (0 where all are alike), what is known as 0 or 1, and how many."""
    known = valid.to(rewards.dtype)
    count = known.sum(-1, keepdim=True)
    first = rewards.gather(-1, valid.long().argmax(-1, keepdim=True))
    # Differences from one of them: where all are alike the result is 0 and not a rounding error.
    offset = (rewards - first) * known
    return (offset - offset.sum(-1, keepdim=True) / count.clamp(min=1)) * known, known, count


def _errors(rewards: Tensor, values: Tensor, valid: Tensor, gamma: float) -> Tensor:
    """One-step errors ``r + gamma * V' - V``; 0 where the reward is unknown."""
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    error = rewards + gamma * following - values
    return torch.where(valid, error, torch.zeros_like(error))


def _standardized(values: Tensor, valid: Tensor, dims: tuple[int, ...], *, centre: bool) -> Tensor:
    weights = valid.to(values.dtype)
    count = weights.sum(dims, keepdim=True)
    mean = (values * weights).sum(dims, keepdim=True) / count.clamp(min=1)
    centred = (values - mean) * weights
    std = ((centred**2).sum(dims, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return (centred if centre else values * weights) / (std + 1e-8)
