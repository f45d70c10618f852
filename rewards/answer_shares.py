"""Metrics beside ``knows_or_abstains``: how many answers are right, wrong or abstained, each as a mean of 0 and 1.

Of the questions whose fact was told: ``right`` + ``wrong`` + ``abstained`` = 1; coverage is 1 - ``abstained``, and
``right_of_answered`` is right / coverage. Of those about what was never told: ``recognised``; the others were made up.
A recipe names them by path, since they are no rewards::

    metrics:
      - {use: "rxt_mrl.rewards.answer_shares:wrong"}
"""

from __future__ import annotations

import torch

from rxt_mrl.contracts import RewardContext, reward

from .fact_recall import FactRecall
from .knows_or_abstains import AnswerKinds

_JUDGE = FactRecall()

_Metric = tuple[torch.Tensor, torch.Tensor]


@reward()
def right(context: RewardContext) -> _Metric:
    """Fact recall where the fact was told."""
    kinds = AnswerKinds.of(context, _JUDGE)
    return kinds.recall, kinds.told


@reward()
def wrong(context: RewardContext) -> _Metric:
    """Answers that neither state the told fact nor abstain."""
    kinds = AnswerKinds.of(context, _JUDGE)
    return torch.where(kinds.abstained, 0.0, 1 - kinds.recall), kinds.told


@reward()
def abstained(context: RewardContext) -> _Metric:
    """Answers that abstain although the fact was told."""
    kinds = AnswerKinds.of(context, _JUDGE)
    return kinds.abstained.float(), kinds.told


@reward()
def right_of_answered(context: RewardContext) -> _Metric:
    """Fact recall of the answers that do not abstain, where the fact was told."""
    kinds = AnswerKinds.of(context, _JUDGE)
    return kinds.recall, kinds.told & ~kinds.abstained


@reward()
def recognised(context: RewardContext) -> _Metric:
    """Answers that abstain where the fact was never told."""
    kinds = AnswerKinds.of(context, _JUDGE)
    return kinds.abstained.float(), kinds.asked & ~kinds.told
