"""Coherence: whether an answer stays with what the conversation has been about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F

from rxt_mrl.contracts import RewardContext, TokenText
from rxt_mrl.errors import UserError


class Coherence:
    """Cosine of the answer's mean frozen embedding with a running mean over the completed interactions.

    The running mean weighs the newest interaction most, as the published reward does: ``(1 - keep) * new + keep *
    old``. Steps that change the topic are masked: there, coherence is not wanted.

    What it cannot tell apart: it does not look at the reference. Any answer in the words of the conversation scores
    high: a wrong, outdated or negated one, a repetition, and most of all a copy of the saved interaction. A term of
    small weight beside others, or a metric.

    Args:
        keep: weight of the old mean at each interaction, in [0, 1).
    """

    blind_to: ClassVar[frozenset[str]] = frozenset(
        {
            "wrong value",
            "outdated value",
            "negated",
            "echo of the query",
            "copy of the saved interaction",
            "repetition",
            "abstention where nothing was told",
            "made up where nothing was told",
        }
    )

    def __init__(self, keep: float = 0.2) -> None:
        if not 0 <= keep < 1:
            raise UserError(f"keep {keep!r}: at least 0 and below 1")
        self.keep = keep

    def __call__(self, context: RewardContext) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores float32 ``(episodes,)`` in [0, 1] and where they apply; 0 for an empty answer."""
        applies = torch.full((len(context),), context.mode != "topic_switch" and bool(context.history))
        if not applies.any():
            return torch.zeros(len(context)), applies
        mean = running_mean(context, context.history, self.keep)
        return F.cosine_similarity(context.embed(context.generated), mean, dim=-1).clamp(0, 1).float(), applies


def running_mean(context: RewardContext, turns: Sequence[TokenText], keep: float) -> torch.Tensor:
    """Running mean of the turns' mean content embeddings, ``(episodes, dim)``; at least one turn."""
    mean = context.embed(turns[0])
    for turn in turns[1:]:
        mean = (1 - keep) * context.embed(turn) + keep * mean
    return mean
