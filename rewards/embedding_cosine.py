"""Cosine of mean token embeddings: how much an answer's words resemble the reference's."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F

from rxt_mrl.contracts import RewardContext, TokenText


class EmbeddingCosine:
    """Cosine of the mean frozen embedding of answer and reference, negative values as 0.

    The embedding is frozen (that of the start of the stage), so the reward does not move while the model trains.

    What it cannot tell apart: a mean has no word order and hardly notices one word. A repetition scores like the
    right answer, a negated, wrong or outdated value nearly so; a copy of the saved interaction, and often an echo of
    the query, keep half of the score, which is more than a paraphrase in other words gets. Only unrelated answers
    score low. Use it with another reward, never alone. The context must have an embedding.
    """

    needs_reference: ClassVar[bool] = True
    blind_to: ClassVar[frozenset[str]] = frozenset(
        {"paraphrase", "wrong value", "outdated value", "negated", "copy of the saved interaction", "repetition"}
    )

    def __call__(self, context: RewardContext) -> torch.Tensor:
        """Float32 ``(episodes,)`` in [0, 1]; 0 for an empty answer."""
        return cosine(context, context.generated, context.reference)


def cosine(context: RewardContext, left: TokenText, right: TokenText) -> torch.Tensor:
    """Cosine of the mean content embeddings of two batches, ``(episodes,)``, clamped to [0, 1]."""
    return F.cosine_similarity(context.embed(left), context.embed(right), dim=-1).clamp(0, 1).float()
