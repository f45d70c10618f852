"""Topic switch: whether an answer follows the conversation to its new topic and leaves the old one."""

from __future__ import annotations

from typing import ClassVar

import torch

from rxt_mrl.contracts import RewardContext
from rxt_mrl.errors import UserError

from .embedding_cosine import cosine


class TopicSwitch:
    """Where the topic changes: closeness to the reference, less what the answer keeps of the interaction before.

    ``c(answer, reference) * (1 - clinging)``, with ``clinging`` = how much nearer the answer is to the last completed
    interaction than the reference is, as a share of the distance that the reference has (all on frozen embeddings).
    It applies to steps of mode ``topic_switch`` only; elsewhere it is masked. The published composite reward has a
    topic-switch term of its own.

    What it cannot tell apart: as every mean of embeddings, it does not see a wrong, outdated or negated value, nor a
    repetition, and gives a paraphrase in other words little. A copy of the interaction before earns nothing; an echo
    of the query, being about the new topic, does.

    Args:
        strength: 0 ignores the old topic, 1 takes the whole score from an answer that stays with it.
    """

    needs_reference: ClassVar[bool] = True
    blind_to: ClassVar[frozenset[str]] = frozenset(
        {"paraphrase", "wrong value", "outdated value", "negated", "echo of the query", "repetition"}
    )

    def __init__(self, strength: float = 1.0) -> None:
        if not 0 <= strength <= 1:
            raise UserError(f"strength {strength!r}: a number from 0 to 1")
        self.strength = strength

    def __call__(self, context: RewardContext) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores float32 ``(episodes,)`` in [0, 1] and where they apply; 0 for an empty answer."""
        applies = torch.full((len(context),), context.mode == "topic_switch" and bool(context.history))
        if not applies.any():
            return torch.zeros(len(context)), applies
        left = context.history[-1]
        near = cosine(context, context.generated, context.reference)
        kept = cosine(context, context.generated, left)
        usual = cosine(context, context.reference, left)
        clinging = ((kept - usual) / (1 - usual).clamp(min=1e-3)).clamp(0, 1)
        return near * (1 - self.strength * clinging), applies
