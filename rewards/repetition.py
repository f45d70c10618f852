"""Repetition penalty: how much of an answer is said for the first time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from rxt_mrl.contracts import RewardContext
from rxt_mrl.errors import UserError

from .ngrams import NgramCounts, compact


class Repetition:
    """Different n-grams as a share of all n-grams, the smallest over the orders; 1 = nothing is repeated.

    Counted on content tokens. Orders longer than the answer do not count; a one-word answer earns 1.

    What it cannot tell apart: it compares the answer with nothing, so every fluent text scores 1, right or wrong.
    Only empty and repetitive answers score low. A term of small weight beside others, or a metric.

    Args:
        orders: which n-grams; single tokens repeat in good text too ("the"), so by default pairs and triples.
    """

    blind_to: ClassVar[frozenset[str]] = frozenset(
        {
            "wrong value",
            "outdated value",
            "negated",
            "echo of the query",
            "copy of the saved interaction",
            "list of all values",
            "other dialogue",
            "abstention",
            "made up where nothing was told",
        }
    )

    def __init__(self, orders: Sequence[int] = (2, 3)) -> None:
        self.orders = tuple(orders)
        if not self.orders or min(self.orders) < 1:
            raise UserError(f"orders {list(orders)}: at least one n-gram length of 1 or more")

    def __call__(self, context: RewardContext) -> torch.Tensor:
        """Float32 ``(episodes,)`` in [0, 1]; 0 for an empty answer."""
        text = compact(context.generated.ids, context.generated.content_mask)
        counts = NgramCounts(text, (), max(self.orders))
        rows = [order - 1 for order in self.orders]
        distinct = torch.from_numpy(counts.distinct[rows]).float()
        totals = torch.from_numpy(counts.totals[rows]).float()
        shares = torch.where(totals > 0, distinct / totals.clamp(min=1), 1.0).amin(0)
        return torch.where(torch.from_numpy(text[1] > 0), shares, 0.0)
