"""BLEU on token ids, for a whole batch at once; the same numbers as NLTK's ``sentence_bleu``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from rxt_mrl.contracts import RewardContext
from rxt_mrl.errors import UserError

from .ngrams import NgramCounts, compact

Smoothing = Literal["method4", "none"]

_SMOOTHING_K = 5
"""The constant of Chen and Cherry (2014), as NLTK has it."""

_FEW = 400
"""Up to this many tokens in all, padding included, a loop over dictionaries is faster than array calls."""


class Bleu:
    """Token BLEU of the answer against the reference, template tokens left out (smoothing method 4).

    What it cannot tell apart: it compares surfaces. A wrong or outdated value differs from the right answer in one
    token and keeps more than half of the score, a negated one nearly half; a good paraphrase and the bare fact lose
    nearly all of it.

    Args:
        weights: one weight per n-gram order, from unigrams on; usually they sum to 1.
        smoothing: ``method4`` (Chen and Cherry 2014, as in NLTK) or ``none``: 0 when an order has no match.
        with_saved: also accept n-grams of the last completed interaction (as another reference).

    Raises:
        UserError: for weights that are empty, negative or sum to more than 1.
    """

    blind_to: ClassVar[frozenset[str]] = frozenset({"paraphrase", "short", "wrong value", "outdated value"})

    def __init__(
        self,
        weights: Sequence[float] = (0.25, 0.25, 0.25, 0.25),
        smoothing: Smoothing = "method4",
        with_saved: bool = False,
    ) -> None:
        self.weights = check_weights(weights)
        if smoothing not in ("method4", "none"):
            raise UserError(f"smoothing {smoothing!r} is unknown; allowed: method4, none")
        self.smoothing: Smoothing = smoothing
        self.with_saved = with_saved
        self.needs_reference = not with_saved

    def __call__(self, context: RewardContext) -> torch.Tensor:
        """BLEU of each answer, float32 ``(episodes,)`` in [0, 1]; 0 for an empty answer."""
        references = [(context.reference.ids, context.reference.content_mask)]
        if self.with_saved and context.history:
            references.append((context.history[-1].ids, context.history[-1].content_mask))
        hypothesis = (context.generated.ids, context.generated.content_mask)
        return token_bleu(hypothesis, references, self.weights, self.smoothing).float()


def check_weights(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights of the n-gram orders as a tuple.

    Raises:
        UserError: for weights that are empty, negative or sum to 0 or more than 1.
    """
    values = tuple(float(weight) for weight in weights)
    if not values or min(values) < 0 or not 0 < sum(values) <= 1 + 1e-6:
        raise UserError(f"n-gram weights {list(weights)}: one weight >= 0 per order, with a sum in (0, 1]")
    return values


def token_bleu(
    hypothesis: tuple[torch.Tensor, torch.Tensor],
    references: Sequence[tuple[torch.Tensor, torch.Tensor]],
    weights: Sequence[float] = (0.25, 0.25, 0.25, 0.25),
    smoothing: Smoothing = "method4",
) -> torch.Tensor:
    """Sentence BLEU of every row, computed on the CPU.

    Equal to ``nltk.translate.bleu_score.sentence_bleu`` with ``SmoothingFunction().method4``: clipped n-gram
    precisions, brevity penalty with the closest reference length, 0 when no unigram matches; an answer of one token
    is not smoothed, and orders without a match are then left out.

    Args:
        hypothesis: ids long ``(rows, tokens)`` and mask bool of the same shape: True for tokens that count.
        references: at least one pair like it, with equally many rows.
        weights: one per n-gram order.
        smoothing: ``method4`` or ``none``.

    Returns:
        float64 ``(rows,)``.
    """
    if len(hypothesis[0]) * sum(ids.shape[1] for ids, _ in (hypothesis, *references)) <= _FEW:
        return _few(hypothesis, references, weights, smoothing)
    own = compact(*hypothesis)
    others = [compact(*reference) for reference in references]
    counts = NgramCounts(own, others, len(weights))
    lengths = own[1]
    if len(others) == 1:
        closest = others[0][1]
    else:
        options = np.stack([length for _, length in others])
        order = np.abs(options - lengths) * (options.max(initial=0) + 1) + options  # nearest, then shortest
        closest = np.take_along_axis(options, order.argmin(0)[None], 0)[0]
    brevity = np.exp(np.minimum(1 - closest / np.maximum(lengths, 1), 0))

    matches = counts.matches.astype(np.float64)
    unmatched = counts.matches == 0
    if smoothing == "method4":
        # The first order without a match counts ln(length) / (2 k), the next half of that, and so on.
        halvings = np.exp2(-unmatched.cumsum(0))
        substitute = halvings * (np.log(np.maximum(lengths, 1)) / _SMOOTHING_K)
        matches = np.where(unmatched, substitute, matches)
    precision = matches / np.maximum(counts.totals, 1)
    used = precision > 0
    logs = np.log(precision, out=np.zeros_like(precision), where=used)
    score = brevity * np.exp(np.einsum("n,nr->r", np.asarray(weights, dtype=np.float64), logs))
    score[unmatched[0]] = 0.0
    if smoothing == "none":
        needed = np.asarray(weights)[:, None] > 0
        score[(unmatched & needed).any(0)] = 0.0
    return torch.from_numpy(score)


def _few(
    hypothesis: tuple[torch.Tensor, torch.Tensor],
    references: Sequence[tuple[torch.Tensor, torch.Tensor]],
    weights: Sequence[float],
    smoothing: Smoothing,
) -> torch.Tensor:
    """`token_bleu` row by row, for a handful of tokens."""
    columns = [
        [list(compress(row, keep)) for row, keep in zip(ids.tolist(), mask.tolist(), strict=True)]
        for ids, mask in (hypothesis, *references)
    ]
    scores = [_row(own, others, weights, smoothing) for own, *others in zip(*columns, strict=True)]
    return torch.tensor(scores, dtype=torch.float64)


def _row(own: list[int], others: list[list[int]], weights: Sequence[float], smoothing: Smoothing) -> float:
    length = len(own)
    total, halvings, matched = 0.0, 0, 1
    for order, weight in enumerate(weights):
        if matched:  # an order without a match has no longer one either
            matched = _clipped(own, others, order)
        if not matched and (order == 0 or (smoothing == "none" and weight > 0)):
            return 0.0
        precision = matched / max(length - order, 1)
        if not matched and smoothing == "method4":
            halvings += 1
            precision = math.log(length) / (_SMOOTHING_K * 2**halvings * max(length - order, 1))
        if precision > 0:
            total += weight * math.log(precision)
    closest = min((abs(len(other) - length), len(other)) for other in others)[1]
    return math.exp(total + min(1 - closest / length, 0.0))


def _clipped(own: list[int], others: list[list[int]], order: int) -> int:
    """Matches of the n-grams of ``order + 1`` tokens, each as often as one reference has it."""
    most: dict[Any, int] = {}
    for index, other in enumerate(others):
        counts = most if index == 0 else {}
        for gram in zip(*(other[shift:] for shift in range(order + 1)), strict=False) if order else other:
            counts[gram] = counts.get(gram, 0) + 1
        if index:
            for gram, count in counts.items():
                most[gram] = max(count, most.get(gram, 0))
    matched = 0
    for gram in zip(*(own[shift:] for shift in range(order + 1)), strict=False) if order else own:
        left = most.get(gram, 0)
        if left:
            most[gram] = left - 1
            matched += 1
    return matched
