"""Fact recall that also counts how a right answer is worded, so that a policy keeps its language while it learns."""

from __future__ import annotations

from typing import ClassVar

import torch

from rxt_mrl.contracts import RewardContext
from rxt_mrl.errors import UserError

from .bleu import Bleu
from .fact_recall import FactRecall, Match


class RecallAndWording:
    """What :class:`FactRecall` earns, times ``1 - wording + wording * BLEU`` with the reference.

    A wrong answer earns 0 however it is worded, and where nothing is asked nothing is scored. Added up as two terms,
    BLEU tells wrong answers apart by their wording, which is noise to learn from; and recall alone lets the wording go
    ("The boy was stormy" for "The day was stormy").

    What it cannot tell apart: what :class:`FactRecall` cannot; a fact about somebody else costs one wrong word.

    Args:
        wording: the share that a right answer can lose by its wording, 0 .. 1.
        match: as of :class:`FactRecall`.
        longest: as of :class:`FactRecall`.
    """

    blind_to: ClassVar[frozenset[str]] = frozenset()
    needs_reference: ClassVar[bool] = True

    def __init__(self, wording: float = 0.2, match: Match = "words", longest: float = 3.0) -> None:
        if not 0 <= wording <= 1:
            raise UserError(f"wording {wording!r}: allowed: 0 .. 1")
        self.wording = wording
        self._recall = FactRecall(match, longest)
        self._bleu = Bleu()

    def __call__(self, context: RewardContext) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores float32 ``(episodes,)`` and where they apply, bool ``(episodes,)``: where something is asked."""
        recall, applies = self._recall(context)
        return recall * (1 - self.wording + self.wording * self._bleu(context)), applies
