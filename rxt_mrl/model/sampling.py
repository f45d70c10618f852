"""From logits to a token: temperature, top-k, top-p, and the log-probability of what was really sampled.

The order is the usual one: divide by the temperature, keep the top-k, keep the top-p of what is left, renormalize.
The token that crosses ``top_p`` is kept (the published batch sampler drops it). Tokens that tie with the last kept
one are kept too, so the set does not depend on the order of a sort, and a re-scoring finds the same set.

Tokens are drawn by inverse CDF from uniforms that the caller drew per row (:func:`rxt_mrl.seeding.uniforms`), so a
row's answer does not depend on its neighbours, its place in the batch, or the worker that computes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from rxt_mrl.errors import UserError
from rxt_mrl.settings import Settings, Temperature

from .device import use_kernels

_LARGEST_BLOCK = 128
"""At most so many tokens are summed at once when a token is looked up in the cumulative distribution."""

_NUCLEUS_GUESS = 256
"""Tokens looked at first for top-p: a full sort of the vocabulary is needed only for flat distributions."""


class SamplingConfig(Settings):
    """How answers are sampled.

    Attributes:
        temperature: divides the logits; 0 takes the most probable token (greedy; the filters are then void).
        top_k: keep the ``top_k`` most probable tokens; None (or at least the vocabulary): all.
        top_p: of those, keep the smallest set whose probability reaches ``top_p``; None or 1: all.
        max_new_tokens: answer tokens per row, [EOS] included; an answer that reaches it is cut, without [EOS].
    """

    temperature: Temperature = Field(default=1.0, allow_inf_nan=False)
    top_k: int | None = Field(default=None, ge=1)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_new_tokens: int = Field(default=64, ge=1)

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is taken, without randomness."""
        return self.temperature == 0

    @property
    def filters(self) -> bool:
        """Whether top-k or top-p may exclude tokens."""
        return self.top_k is not None or (self.top_p is not None and self.top_p < 1)


@dataclass(frozen=True)
class Sampled:
    """One token per row: ``ids`` long ``(rows,)`` and ``log_probs`` float32 ``(rows,)``, finite, at most 0."""

    ids: Tensor
    log_probs: Tensor


def filtered_log_probs(logits: Tensor, sampling: SamplingConfig, keep: Tensor | None = None) -> Tensor:
    """Log-probabilities of the distribution that :func:`sample` draws from.

    Args:
        logits: float ``(..., vocab)``, any precision; computed in float32. Differentiable.
        sampling: temperature and filters. With temperature 0 the distribution is 0 at the most probable token and
            -inf elsewhere.
        keep: long ``(...)``, one token per distribution that is never filtered out: re-scoring under logits that
            differ (by rounding, or by an update) then stays finite. It is added to the kept set before renormalizing.

    Returns:
        float32 ``(..., vocab)``; -inf where filtered out.

    Raises:
        UserError: for a ``keep`` of another shape or outside the vocabulary, or ``keep`` with temperature 0, which
            has no probabilities to re-score.
    """
    _check_logits(logits)
    if keep is not None:
        _check_keep(keep, logits, sampling)
    if sampling.greedy:
        scores = torch.full(logits.shape, -math.inf, device=logits.device)
        return scores.scatter(-1, _best(logits.detach()), 0.0)
    scores = logits.float()
    if sampling.temperature != 1:
        scores = scores / sampling.temperature
    threshold = _threshold(scores.detach(), sampling)
    if threshold is not None:
        dropped = scores.detach() < threshold
        if keep is not None:
            dropped = dropped.scatter(-1, keep.unsqueeze(-1), False)
        scores = scores.masked_fill(dropped, -math.inf)
    return torch.log_softmax(scores, dim=-1)


def sample(logits: Tensor, sampling: SamplingConfig, uniforms: Tensor | None = None) -> Sampled:
    """Draw one token per row.

    Args:
        logits: float ``(rows, vocab)``.
        sampling: temperature and filters.
        uniforms: float ``(rows,)`` in [0, 1), one number per row; not used when greedy.

    Returns:
        Token ids and their log-probabilities under the tempered and filtered distribution: never -inf, and 0 when
        greedy.

    Raises:
        UserError: when the uniforms are missing or of another shape, or the logits hold NaN or +inf.
    """
    _check_logits(logits)
    if logits.dim() != 2:
        raise UserError(f"logits must be (rows, vocab), got shape {tuple(logits.shape)}")
    if sampling.greedy:
        ids = _best(logits)
        _check_finite(logits.gather(-1, ids))
        return Sampled(ids.squeeze(-1), torch.zeros(len(ids), device=logits.device))
    if uniforms is None or uniforms.shape != logits.shape[:1]:
        got = None if uniforms is None else tuple(uniforms.shape)
        raise UserError(f"uniforms must be ({logits.shape[0]},), one per row, got {got}")
    if use_kernels(logits) and not sampling.filters:
        return _draw(logits, sampling.temperature, uniforms.float())
    scores = logits.float()
    if sampling.temperature != 1:
        scores = scores / sampling.temperature
    peak = scores.amax(-1, keepdim=True)
    weights = (scores - peak).exp_()
    threshold = _threshold(scores, sampling)
    if threshold is not None:
        weights.masked_fill_(scores < threshold, 0.0)
    ids, total = _invert(weights.unflatten(-1, (-1, _block(weights.shape[-1]))), uniforms.to(weights))
    log_probs = scores.gather(-1, ids) - peak - total.log()
    return Sampled(ids.squeeze(-1), log_probs.squeeze(-1).clamp_(max=0.0))


def _draw(logits: Tensor, temperature: float, uniforms: Tensor) -> Sampled:
    """Without filters, on the compiled loops."""
    from . import kernels  # compiles at its first use: only generation on a CPU pays for it

    rows = len(logits)
    ids, log_probs, totals = torch.empty(rows, dtype=torch.long), torch.empty(rows), torch.empty(rows)
    arrays = (x.numpy() for x in (uniforms, ids, log_probs, totals))
    kernels.draw_step(logits.contiguous().numpy(), temperature, *arrays)
    _check_finite(totals.unsqueeze(-1))
    return Sampled(ids, log_probs.clamp_(max=0.0))


@cache
def _block(vocab: int) -> int:
    """The largest divisor of the vocabulary that a block may have."""
    return max(size for size in range(1, min(_LARGEST_BLOCK, vocab) + 1) if vocab % size == 0)


def _invert(weights: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse CDF in two stages, block and index in the block: a running sum of the whole vocabulary is slow.

    Args:
        weights: ``(rows, blocks, block)``, not negative.
        uniforms: ``(rows,)`` in [0, 1).

    Returns:
        Indices into all blocks, long ``(rows, 1)``, always of a positive weight, and the total weights ``(rows, 1)``.
    """
    until = weights.sum(-1).cumsum(-1)
    total = until[:, -1:]
    _check_finite(total)
    target = uniforms.unsqueeze(-1) * total
    # The first position whose running sum exceeds the target: its own weight is positive.
    block = torch.searchsorted(until, target, right=True).clamp_(max=until.shape[-1] - 1)
    before = torch.where(block > 0, until.gather(-1, (block - 1).clamp_(min=0)), 0.0)
    within = weights.gather(1, block.unsqueeze(-1).expand(-1, -1, weights.shape[-1])).squeeze(1).cumsum(-1)
    # Rounding may put the rest outside the block's own sum: between 0 and just below it, it finds a positive weight.
    below = torch.nextafter(within[:, -1:], torch.zeros_like(total))
    rest = torch.minimum((target - before).clamp_(min=0), below)
    index = torch.searchsorted(within, rest, right=True)
    return block * weights.shape[-1] + index, total


def _threshold(scores: Tensor, sampling: SamplingConfig) -> Tensor | None:
    """The smallest kept score of every distribution, ``(..., 1)``; None where nothing is filtered."""
    vocab = scores.shape[-1]
    top_k = min(sampling.top_k or vocab, vocab)
    top_p = 1.0 if sampling.top_p is None else sampling.top_p
    if top_p >= 1:
        return _highest(scores, top_k)[..., -1:] if top_k < vocab else None
    if top_k < vocab:
        ranked = _highest(scores, top_k)
        # Ties with the k-th are kept and belong to the distribution that top-p cuts.
        kept = scores.masked_fill(scores < ranked[..., -1:], -math.inf)
        return _nucleus(ranked, kept.logsumexp(-1, keepdim=True), top_p)[0]
    mass = scores.logsumexp(-1, keepdim=True)
    guess = min(_NUCLEUS_GUESS, vocab)
    threshold, reached = _nucleus(_highest(scores, guess), mass, top_p)
    if guess < vocab and not bool(reached.all()):
        threshold, _ = _nucleus(_highest(scores, vocab), mass, top_p)
    return threshold


def _best(logits: Tensor) -> Tensor:
    """The first of the highest logits, long ``(..., 1)``; a NaN counts as highest."""
    if logits.device.type != "cpu":
        return logits.argmax(-1, keepdim=True)
    return torch.from_numpy(logits.float().numpy().argmax(-1, keepdims=True))  # vectorized, as in _highest


def _highest(scores: Tensor, count: int) -> Tensor:
    """The ``count`` highest scores in descending order."""
    if scores.device.type != "cpu":
        return scores.topk(count, dim=-1).values
    # numpy selects and sorts float32 with vector instructions, 5 to 20 times faster than torch on one thread.
    values, drop = scores.numpy(), scores.shape[-1] - count
    if drop:
        values = np.partition(values, drop, axis=-1)[..., drop:]
    return torch.from_numpy(np.sort(values, axis=-1)).flip(-1)


def _nucleus(ranked: Tensor, mass: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The score that crosses ``top_p`` in descending scores, and whether it was reached (else: the last score)."""
    reached = (ranked - mass).exp_().cumsum(-1) >= top_p
    before = (~reached).sum(-1, keepdim=True)
    index = before.clamp(max=ranked.shape[-1] - 1)
    return ranked.gather(-1, index), reached[..., -1]


def _check_logits(logits: Tensor) -> None:
    if not logits.is_floating_point() or logits.dim() == 0 or logits.shape[-1] == 0:
        raise UserError(f"logits must be floating point (..., vocab), got {logits.dtype} {tuple(logits.shape)}")


def _check_finite(values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        row = int((~values.isfinite()).reshape(values.shape[0], -1).any(-1).nonzero()[0])
        raise UserError(f"logits of row {row} are not finite; the model's weights or memory hold NaN or inf")


def _check_keep(keep: Tensor, logits: Tensor, sampling: SamplingConfig) -> None:
    if sampling.greedy:
        raise UserError("temperature 0 (greedy) has no log-probabilities to re-score; allowed: temperature > 0")
    if keep.dtype != torch.long or keep.shape != logits.shape[:-1]:
        raise UserError(
            f"keep must be long {tuple(logits.shape[:-1])} like the logits, got {keep.dtype} {tuple(keep.shape)}"
        )
    if keep.numel() and not (int(keep.min()) >= 0 and int(keep.max()) < logits.shape[-1]):
        raise UserError(
            f"keep has ids {int(keep.min())}..{int(keep.max())}; allowed: 0..{logits.shape[-1] - 1} (the vocabulary)"
        )
