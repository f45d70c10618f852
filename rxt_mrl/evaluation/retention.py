"""How much a model remembers: greedy fact recall by distance, with controls; score; perplexity.

Every dialogue starts from a fresh memory. The model's own answers are written to memory (``teacher_forcing`` writes
the references). Whether an answer states the fact is judged by the reward ``fact_recall``; a question that asks for
several facts counts once, at the distance of the oldest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..contracts import RewardContext, RewardSpec, RewardTerm
from ..dialogues.batching import DialogueTensors
from ..dialogues.tokenizer import DialogueTokenizer
from ..errors import UserError
from ..model import RxT
from ..scoring import WeightedReward, evaluate_reward, load_reward
from ..seeding import torch_generator
from .answers import answer_dialogues
from .config import EvaluationSettings
from .intervals import Share, share_with_interval
from .perplexity import token_metrics

SCHEMA_VERSION = 2
RECALL = "fact_recall"
"""The reward that judges recall."""
PUBLISHED = RewardSpec(terms=(RewardTerm(use="published"),))
"""What the score is made of, if the settings do not say."""
SCALE = 10.0
"""Scores are given from 0 to 10, as in the papers."""
_EMBEDDING_DIM = 64


@dataclass(frozen=True)
class Retention:
    """The result of :func:`evaluate`. Shares are 0 to 1; None where the data has no annotated facts.

    Attributes:
        episodes, steps: dialogues that were answered, and follow-ups of each.
        recall: memory on, all questions.
        by_distance: recall by distance, for ``on`` and each control.
        controls: recall with ``wiped`` and ``swapped`` memory.
        told_first, told_later: recall of facts told in the first interaction, and after it.
        score: mean over the steps of each dialogue, 0 to 10, ``(episodes,)``; NaN where the reward applies to none,
            None if it was not asked for.
        score_by_step: mean over dialogues, ``(steps,)``; NaN likewise.
        recall_by_dialogue: ``(episodes,)``, NaN where a dialogue asks for nothing; for paired comparisons.
        metrics: mean of each metric that the reward names, where it applies.
        ppl, accuracy: of the reference answers, teacher-forced.
        settings: how it was measured.
        seed: of the evaluation.
    """

    episodes: int
    steps: int
    recall: Share | None
    by_distance: dict[str, dict[int, Share]]
    controls: dict[str, Share | None]
    told_first: Share | None
    told_later: Share | None
    score: np.ndarray | None
    score_by_step: np.ndarray | None
    recall_by_dialogue: np.ndarray
    metrics: dict[str, float | None]
    ppl: float
    accuracy: float
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values, every share rounded to four places; keys as in ``retention.json``."""
        known = np.empty(0) if self.score is None else self.score[~np.isnan(self.score)]
        return {
            "schema_version": SCHEMA_VERSION,
            "episodes": self.episodes,
            "steps": self.steps,
            "recall": _value(self.recall),
            "recall_ci95": _interval(self.recall),
            "recall_wiped": _value(self.controls.get("wiped")),
            "recall_swapped": _value(self.controls.get("swapped")),
            "recall_by_distance": _values(self.by_distance.get("on")),
            "recall_by_distance_ci95": _intervals(self.by_distance.get("on")),
            "recall_wiped_by_distance": _values(self.by_distance.get("wiped")),
            "recall_swapped_by_distance": _values(self.by_distance.get("swapped")),
            "recall_told_first": _value(self.told_first),
            "recall_told_first_ci95": _interval(self.told_first),
            "recall_told_later": _value(self.told_later),
            "recall_told_later_ci95": _interval(self.told_later),
            "questions": 0 if self.recall is None else self.recall.answers,
            "score_mean": _round(known.mean()) if len(known) else None,
            "score_min": _round(known.min()) if len(known) else None,
            "score_max": _round(known.max()) if len(known) else None,
            "score_by_step": None if self.score_by_step is None else _known(self.score_by_step),
            "metrics": {name: None if mean is None else _round(mean) for name, mean in self.metrics.items()},
            "ppl": _round(self.ppl),
            "accuracy": _round(self.accuracy),
            "by_dialogue": {
                "recall": _known(self.recall_by_dialogue),
                "score": None if self.score is None else _known(self.score),
            },
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
        }


def evaluate(
    model: RxT,
    tokenizer: DialogueTokenizer,
    dialogues: DialogueTensors,
    settings: EvaluationSettings | None = None,
    seed: int = 0,
    *,
    embedding: Tensor | None = None,
) -> Retention:
    """Measure what a model remembers.

    Args:
        model: on any device; left in the mode that it was in.
        tokenizer: of the dialogues.
        dialogues: held-out dialogues.
        settings: see :class:`EvaluationSettings`.
        seed: key of initial memories and sampling: the same seed gives the same result.
        embedding: frozen ``(vocab, dim)`` for rewards that need one. None: fixed random vectors, so that scores of
            different models with one tokenizer can be compared (with a model's own embedding they could not).

    Raises:
        UserError: when the dialogues are too few or too short.
    """
    settings = settings or EvaluationSettings()
    episodes = len(dialogues) if settings.episodes is None else settings.episodes
    if episodes > len(dialogues):
        raise UserError(f"evaluation: episodes is {episodes}, the data has {len(dialogues)} dialogues")
    dialogues = dialogues.select(slice(0, episodes), steps=settings.steps)
    if embedding is None:
        embedding = fixed_embedding(tokenizer.vocab_size)
    reward = WeightedReward(settings.reward or PUBLISHED) if settings.score else None
    modes: tuple[str, ...] = ("on", *settings.controls)
    told_at, asked = _oldest(dialogues)
    judge = load_reward(RECALL)
    # NaN: nothing was asked, or not measured.
    right = {mode: np.full((episodes, dialogues.steps), np.nan) for mode in modes}
    scores = np.full((episodes, dialogues.steps), np.nan)
    metrics = {name: np.full_like(scores, np.nan) for name in (reward.metric_names if reward else ())}
    for answered in answer_dialogues(model, tokenizer, dialogues, settings, seed, embedding=embedding):
        rows, column = slice(*answered.rows), answered.step - 1
        if asked[rows, answered.step].any():
            right["on"][rows, column] = _judged(judge, answered.context)
            for control, context in answered.controls.items():
                right[control][rows, column] = _judged(judge, context)
        if reward is not None:
            scored = reward(answered.context)
            for name, values in scored.metrics.items():
                metrics[name][rows, column] = values.numpy()
            scores[rows, column] = torch.where(scored.valid, scored.total, torch.nan).numpy() * SCALE
    distance = np.arange(1 + dialogues.steps) - told_at
    cells = {mode: _Cells(values, distance[:, 1:], told_at[:, 1:]) for mode, values in right.items()}
    tokens = token_metrics(model, dialogues, batch_size=settings.batch_size, seed=seed)
    return Retention(
        episodes=episodes,
        steps=dialogues.steps,
        recall=cells["on"].share(),
        by_distance={mode: cells[mode].by_distance() for mode in modes},
        controls={mode: cells[mode].share() for mode in settings.controls},
        told_first=cells["on"].share(cells["on"].told_at == 0),
        told_later=cells["on"].share(cells["on"].told_at > 0),
        score=_row_means(scores) if reward is not None else None,
        score_by_step=_row_means(scores.T) if reward is not None else None,
        recall_by_dialogue=_row_means(np.where(distance[:, 1:] > 0, right["on"], np.nan)),
        metrics={
            name: None if np.isnan(values).all() else float(np.nanmean(values)) for name, values in metrics.items()
        },
        ppl=tokens.ppl,
        accuracy=tokens.accuracy,
        settings=settings,
        seed=seed,
    )


def fixed_embedding(vocab_size: int) -> Tensor:
    """Random unit-variance vectors ``(vocab, 64)``, the same for every model and run."""
    return torch.randn(vocab_size, _EMBEDDING_DIM, generator=torch_generator("evaluation", "embedding"))


class _Cells:
    """The answers of one mode, one per annotated question."""

    def __init__(self, right: np.ndarray, distance: np.ndarray, told_at: np.ndarray) -> None:
        known = ~np.isnan(right)
        self.dialogue = np.broadcast_to(np.arange(len(right))[:, None], right.shape)[known]
        self.right, self.distance, self.told_at = right[known], distance[known], told_at[known]

    def share(self, chosen: np.ndarray | None = None) -> Share | None:
        """Recall over some of the questions (None: all); choices, at distance 0, need no memory and do not count."""
        keep = self.distance > 0
        return self._of(keep if chosen is None else keep & chosen)

    def by_distance(self) -> dict[int, Share]:
        """Recall at each distance that occurs; at 0 the share of valid choices (own words)."""
        shares = {int(d): self._of(self.distance == d) for d in np.unique(self.distance)}
        return {distance: share for distance, share in shares.items() if share is not None}

    def _of(self, keep: np.ndarray) -> Share | None:
        return share_with_interval(self.right[keep], self.dialogue[keep])


def _judged(judge: Any, context: RewardContext) -> np.ndarray:
    """Recall per row, NaN where nothing is asked.

    Raises:
        RewardError: when the judge fails; it names the example.
    """
    values, problems = evaluate_reward(judge, context, RECALL)
    if problems:
        raise problems[0]
    return values.numpy()


def _oldest(dialogues: DialogueTensors) -> tuple[np.ndarray, np.ndarray]:
    """Where the oldest asked fact was told, and whether any is asked, both ``(episodes, 1 + steps)``."""
    told = np.array([[min((ask.told_at for ask in turn), default=-1) for turn in row] for row in dialogues.asks])
    told = told.reshape(len(dialogues), 1 + dialogues.steps)
    return told, told >= 0


def _row_means(values: np.ndarray) -> np.ndarray:
    """Means over the last dimension without NaN; NaN for a row that has nothing else."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(-1)
    return np.where(known.any(-1), total / np.maximum(known.sum(-1), 1), np.nan)


def _round(value: float) -> float:
    return round(float(value), 4)


def _known(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else _round(value) for value in values]


def _value(share: Share | None) -> float | None:
    return None if share is None else _round(share.value)


def _interval(share: Share | None) -> list[float] | None:
    return None if share is None else [_round(share.low), _round(share.high)]


def _values(shares: Mapping[int, Share] | None) -> dict[str, float] | None:
    return {str(distance): _round(share.value) for distance, share in shares.items()} if shares else None


def _intervals(shares: Mapping[int, Share] | None) -> dict[str, list[float]] | None:
    return {str(d): [_round(share.low), _round(share.high)] for d, share in shares.items()} if shares else None
