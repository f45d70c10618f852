"""Knows or abstains: a right answer earns most, "I do not know" less, and a wrong answer nothing.

No reference says where a memory's limit lies. What the policy learns depends on what abstaining is worth where the
fact was told: with a fixed payment, a policy that is right less often than that payment does best by abstaining
always, and raising one first word for all questions is learnt faster than telling which question to leave. Three
things keep it from that; the first two are options:

- ``relative``: abstaining earns less where the other answers from the same memory are right. A general tendency to
  abstain then loses where the policy knows, which a fixed payment hardly punishes.
- ``recognised`` below 1: questions about what was never told pay less for a general tendency too.
- a start that knows: train without abstaining first (``fact_recall``), then with; a stage of the curriculum has a
  reward of its own, and so ``abstain`` can rise from stage to stage.
"""

from __future__ import annotations

from collections import defaultdict
from typing import ClassVar

import torch

from rxt_mrl.contracts import RewardContext
from rxt_mrl.errors import UserError

from .abstaining import abstains
from .fact_recall import FactRecall, Match


class KnowsOrAbstains:
    """Fact recall that pays for saying "I do not know", and most for it where nobody told the fact (English texts).

    It needs annotated dialogues (``asks``) and does not apply elsewhere. Where the fact was told: as ``fact_recall``,
    and ``abstain`` for an answer that says it does not know and claims nothing. Where it was never told:
    ``recognised`` for such an answer, 0 for any other.

    With ``relative``, abstaining earns ``abstain * (1 - r)``, where r is the mean score of the answers to the same
    question from the same memory in the batch that do not abstain (``abstain`` where there are none). It takes
    several answers from each memory (``rollout.answers``), scored in one batch; the score then depends on the batch,
    as it is meant to.

    What it cannot tell apart: as fact recall, who a fact is about. Abstaining is told by its words ("do not know",
    "not sure", "no idea", "unknown" ...), so a claim in a clause that has them ("I do not know whether it is red") is
    none, and an abstention in other words is a wrong answer.

    Args:
        abstain: what abstaining earns where the fact was told; below 1, or knowing would not pay.
        recognised: what abstaining earns where the fact was never told.
        relative: lower ``abstain`` where the other answers from the same memory are right.
        match: as of ``fact_recall``.
        longest: as of ``fact_recall``.

    Raises:
        UserError: for options out of range.
    """

    blind_to: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        abstain: float = 0.5,
        recognised: float = 1.0,
        relative: bool = False,
        match: Match = "words",
        longest: float = 3.0,
    ) -> None:
        if not 0 <= abstain < 1:
            raise UserError(f"abstain {abstain!r}: at least 0 and below 1, which the right answer earns")
        if not 0 <= recognised <= 1:
            raise UserError(f"recognised {recognised!r}: from 0 to 1")
        self.abstain, self.recognised, self.relative = abstain, recognised, relative
        self.recall = FactRecall(match, longest)

    def __call__(self, context: RewardContext) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores float32 ``(episodes,)`` and where they apply, bool ``(episodes,)``: where something is asked."""
        kinds = AnswerKinds.of(context, self.recall)
        payment = torch.full((len(context),), self.abstain)
        if self.relative:
            payment *= 1 - _success(context, kinds)
        scores = torch.where(kinds.abstained, payment, kinds.recall)
        scores = torch.where(kinds.told, scores, self.recognised * kinds.abstained.float())
        return scores, kinds.asked


class AnswerKinds:
    """What the answers of a batch are; all ``(episodes,)``.

    Attributes:
        asked: bool, where something is asked.
        told: bool, where what is asked was told.
        abstained: bool, asked and answered with "I do not know".
        recall: float32, fact recall of told facts; 0 elsewhere.
    """

    def __init__(self, asked: torch.Tensor, told: torch.Tensor, abstained: torch.Tensor, recall: torch.Tensor) -> None:
        self.asked, self.told, self.abstained, self.recall = asked, told, abstained, recall

    @classmethod
    def of(cls, context: RewardContext, judge: FactRecall) -> AnswerKinds:
        """Judge a batch; an answer that states the fact does not abstain, whatever else it says."""
        recall, told = judge(context)
        asks = context.asks or ((),) * len(context)
        asked = torch.tensor([bool(row) for row in asks], dtype=torch.bool)
        abstained = torch.zeros_like(asked)
        if asked.any():
            answers, queries = context.generated.text, context.query.text
            for row in (asked & (recall == 0)).nonzero().flatten().tolist():
                abstained[row] = abstains(answers[row], queries[row], asks[row])
        return cls(asked, told, abstained, recall)


def _success(context: RewardContext, kinds: AnswerKinds) -> torch.Tensor:
    """Mean recall of the answers from the same memory that do not abstain, ``(episodes,)``; 0 where there are none."""
    pasts = [turn.text for turn in context.history]
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, query in enumerate(context.query.text):
        groups[query, *(past[row] for past in pasts)].append(row)
    success = torch.zeros(len(context))
    for rows in groups.values():
        answered = [row for row in rows if not kinds.abstained[row]]
        if answered:
            success[rows] = kinds.recall[answered].mean()
    return success
