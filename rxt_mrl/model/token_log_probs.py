"""Log-probabilities of given tokens without the logits of all of them at once.

A row of logits is as long as the vocabulary and there is one for every token: the largest tensor of an update by far,
of which one number a row is wanted. So rows are taken some at a time, which stay in the cache, and the backward pass
computes them again (as Liger Kernel's fused linear cross-entropy does on GPUs; Hsu et al. 2024, arXiv 2410.10989).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_LOGITS = 2**20
"""Logits that are computed together."""


def many(rows: int, vocabulary: int) -> bool:
    """Whether so many rows are worth it: fewer are computed at once as well, and kept."""
    return rows * vocabulary > _LOGITS


def token_log_probs(hidden: Tensor, head: nn.Linear, tokens: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probabilities of tokens, and the entropy of the distributions, in nats.

    Args:
        hidden: float ``(n, dim)``, what the head reads. Differentiable.
        head: of the model.
        tokens: long ``(n,)``.
        temperature: divides the logits; above 0.

    Returns:
        ``(n,)`` each; the entropy carries no gradient.
    """
    log_probs, entropy = _TokenLogProbs.apply(hidden, head.weight, head.bias, tokens, temperature)
    return log_probs, entropy


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, tokens: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(hidden, weight, bias, tokens)
        ctx.temperature = temperature
        chosen, entropy = hidden.new_empty(len(hidden)), hidden.new_empty(len(hidden))
        for rows in _pieces(len(hidden), len(weight)):
            logs = _log_probs(hidden[rows], weight, bias, temperature)
            chosen[rows] = logs.gather(-1, tokens[rows].unsqueeze(-1)).squeeze(-1)
            entropy[rows] = -logs.exp().mul_(logs).sum(-1)
        ctx.mark_non_differentiable(entropy)
        return chosen, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        hidden, weight, bias, tokens = ctx.saved_tensors
        d_hidden, d_weight, d_bias = torch.empty_like(hidden), torch.zeros_like(weight), torch.zeros_like(bias)
        for rows in _pieces(len(hidden), len(weight)):
            part, gradient = hidden[rows], (gradients[0][rows] / ctx.temperature).unsqueeze(-1)
            # d log p(token) / d logits = [token] - p
            change = _log_probs(part, weight, bias, ctx.temperature).exp_().mul_(-gradient)
            change.scatter_add_(-1, tokens[rows].unsqueeze(-1), gradient)
            torch.mm(change, weight, out=d_hidden[rows])
            d_weight.addmm_(change.T, part)
            d_bias += change.sum(0)
        return d_hidden, d_weight, d_bias, None, None


def _log_probs(hidden: Tensor, weight: Tensor, bias: Tensor, temperature: float) -> Tensor:
    logits = torch.addmm(bias, hidden, weight.T)
    return (logits if temperature == 1 else logits.div_(temperature)).log_softmax(-1)


def _pieces(rows: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, _LOGITS // vocabulary)
    return (slice(first, first + size) for first in range(0, rows, size))
