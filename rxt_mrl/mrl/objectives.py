"""What the policy minimises: clipped PPO, the published IMPO, and their penalties. Pure functions of tensors.

Departs from the published losses (RXT 3.6, 3.9): entropy and KL are means over answer tokens (published: the entropy
is divided by the length twice, which makes it almost 0), the KL is against the behaviour policy at the same position
(published: between unrelated positions of consecutive answers), and each answer token has its log-probability (the
published alignment starts one token late). :func:`impo` is the published objective, exactly, as an option.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Masked = Tensor
"""A scalar: a mean over the tokens where the mask is True."""


@dataclass(frozen=True)
class Weights:
    """How rows ``(M, tokens)`` enter a mean, where a row may stand for several identical answers.

    Attributes:
        counts: ``(M,)``, how often a row counts.
        tokens: what a mean over tokens is divided by.
        answers: what a mean over answers is divided by.
    """

    counts: Tensor
    tokens: int
    answers: int


def masked_mean(values: Tensor, mask: Tensor, kind: str = "token", weights: Weights | None = None) -> Masked:
    """Mean over the tokens of a mask, ``(..., tokens)``.

    Args:
        values: float.
        mask: bool, same shape.
        kind: ``token`` weighs all tokens alike; ``answer`` averages within the last dimension first, and then over
            rows that have any token.
        weights: of rows that stand for several; None: each counts once.
    """
    total = torch.where(mask, values, torch.zeros_like(values))
    count = mask.to(values.dtype).sum(-1)
    if kind == "answer":
        rows = total.sum(-1) / count.clamp(min=1)
        if weights is not None:
            return (rows * weights.counts).sum() / max(weights.answers, 1)
        return rows.sum() / (count > 0).to(values.dtype).sum().clamp(min=1)
    if weights is not None:
        return (total * weights.counts.unsqueeze(-1)).sum() / max(weights.tokens, 1)
    return total.sum() / count.sum().clamp(min=1)


def clipped_surrogate(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: float,
    kind: str = "token",
    weights: Weights | None = None,
) -> Masked:
    """PPO's loss: minus the smaller of ``ratio * A`` and ``clipped ratio * A``.

    Args:
        log_probs: ``(..., tokens)`` of the action tokens under the policy that learns.
        old_log_probs: the same under the policy that acted.
        advantages: ``(...)``, one per answer, given to each of its tokens.
        mask: bool ``(..., tokens)``.
        clip: half width of the trust interval.
        kind: see :func:`masked_mean`.
        weights: see :func:`masked_mean`.
    """
    log_ratio = torch.where(mask, log_probs - old_log_probs, torch.zeros_like(log_probs))
    ratio = log_ratio.exp()
    advantage = advantages.unsqueeze(-1)
    gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    return -masked_mean(gain, mask, kind, weights)


def clip_fraction(log_probs: Tensor, old_log_probs: Tensor, mask: Tensor, clip: float) -> Masked:
    """Part of the answer tokens whose ratio lies outside ``1 - clip .. 1 + clip``."""
    ratio = torch.where(mask, log_probs - old_log_probs, torch.zeros_like(log_probs)).exp()
    return masked_mean(((ratio - 1).abs() > clip).to(log_probs.dtype), mask)


def k3(
    log_probs: Tensor, other_log_probs: Tensor, mask: Tensor, kind: str = "token", weights: Weights | None = None
) -> Masked:
    """Schulman's k3 estimate of a KL divergence, from tokens sampled under one of the two policies.

    Estimates ``KL(policy of log_probs || policy of other_log_probs)`` when the tokens were sampled under the first.
    Unbiased, never negative. With ``log_probs`` the behaviour policy it is the guard of an update; with
    ``log_probs`` the learning policy and a frozen model as the other it is a penalty.
    """
    difference = torch.where(mask, other_log_probs - log_probs, torch.zeros_like(log_probs))
    return masked_mean(difference.exp() - difference - 1, mask, kind, weights)


def entropy(distribution: Tensor) -> Tensor:
    """Entropy in nats of log-probabilities ``(..., vocab)`` in which filtered tokens are -inf."""
    finite = distribution.masked_fill(distribution == -torch.inf, 0.0)
    return -(distribution.exp() * finite).sum(-1)


def impo(
    distribution: Tensor,
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    step: int,
    memory: Tensor,
    memory_before: Tensor,
    previous: Tensor | None = None,
    read_mask: Tensor | None = None,
    clip: float = 0.2,
    entropy_weight: float = 0.01,
    kl: float = 0.001,
    memory_change: float = 1e-4,
    memory_cosine: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The published Implicit Memory Policy Optimisation loss of one step (RXT 3.6), term for term.

    Clipped surrogate, averaged per answer; minus an entropy bonus divided by the answer's length and then averaged
    over all positions; plus the KL divergence from the previous step's distributions, position by position; plus
    ``sqrt(step + 1)`` times the mean squared change of the memory; minus the cosine of that change.

    Args:
        distribution: ``(rows, tokens, vocab)`` log-probabilities at every position of the answer.
        log_probs: ``(rows, tokens)`` of the answer tokens.
        old_log_probs: the same under the behaviour policy.
        advantages: ``(rows,)``.
        mask: bool ``(rows, tokens)``, answer tokens that count in the surrogate.
        step: 0 for the first follow-up.
        memory: the memory after this step's write, with gradient.
        memory_before: the memory before it; no gradient flows there.
        previous: ``distribution`` of the step before, detached; ignored at step 0.
        read_mask: bool ``(rows, tokens)``, positions of entropy and KL; the published one has one position more
            than ``mask``. None: ``mask``.
        clip: half width of the trust interval.
        entropy_weight: of the bonus.
        kl: weight of the step-to-step KL.
        memory_change: weight of the squared change.
        memory_cosine: weight of the cosine (RxNN 0.2.171 always uses 1 when the term is on).

    Returns:
        The loss and its parts (``surrogate``, ``entropy``, ``kl``, ``memory_change``).
    """
    read = mask if read_mask is None else read_mask
    weights = read.to(log_probs.dtype)
    surrogate = clipped_surrogate(log_probs, old_log_probs, advantages, mask, clip, "answer")
    lengths = weights.sum(-1, keepdim=True)
    bonus = (entropy(distribution) * weights / (lengths + 1e-8)).mean()
    change = (memory - memory_before.detach()).pow(2).mean()
    loss = surrogate - entropy_weight * bonus + (step + 1) ** 0.5 * memory_change * change
    parts = {"surrogate": surrogate, "entropy": bonus, "memory_change": change}
    if step > 0 and previous is not None:
        finite = (distribution != -torch.inf) & (previous != -torch.inf)
        gap = torch.where(finite, distribution - previous.detach(), torch.zeros_like(distribution))
        parts["kl"] = masked_mean((distribution.exp() * gap).sum(-1), read)
        loss = loss + kl * parts["kl"]
    if memory_cosine:
        loss = loss - memory_cosine * torch.cosine_similarity(memory, memory_before.detach(), dim=-1).mean()
    return loss, parts
