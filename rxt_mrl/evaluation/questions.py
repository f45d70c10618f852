"""One row a question: what was asked, told and answered, whether it was right, and what it cost in bits.

All scores are computed from these rows (``answers.parquet``, see ``docs/evaluation.md`` for its columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..contracts import NEVER_TOLD, OWN_WORDS, Ask, Reward, RewardContext, RewardSpec, RewardTerm
from ..dialogues.batching import DialogueTensors
from ..errors import UserError
from ..scoring import WeightedReward, evaluate_reward, load_reward
from .answers import AnsweredStep, answer_dialogues
from .cohorts import Cohort
from .config import CONTROLS, EvaluationSettings
from .likelihood import Likelihood, reference_bits
from .subjects.protocol import Subject

RECALL = "fact_recall"
"""The reward that judges recall."""
ABSTENTION = "rxt_mrl.rewards.answer_shares:recognised"
"""What judges answers about what was never told."""
PUBLISHED = RewardSpec(terms=(RewardTerm(use="published"),))
"""What the score is made of, if the settings do not say."""
SCALE = 10.0
"""Scores are given from 0 to 10, as in the papers."""

_BY_SLOT = {"yes_no": "yes_no", "compare": "comparison", "tally": "count", OWN_WORDS: "own_words"}


class Examiner:
    """Asks a subject the questions of dialogues and judges the answers.

    Args:
        subject: who answers.
        dialogues: the whole set, cut to the episodes and steps that count.
        settings: of the evaluation.
        seed: key of initial states and of sampling.
        embedding: ``(vocab, dim)`` for rewards that need one.
    """

    def __init__(
        self,
        subject: Subject[Any],
        dialogues: DialogueTensors,
        settings: EvaluationSettings,
        seed: int,
        embedding: Tensor,
    ) -> None:
        self.subject, self.dialogues, self.settings, self.seed = subject, dialogues, settings, seed
        self.embedding = embedding
        self.reward = WeightedReward(settings.reward or PUBLISHED) if settings.score else None
        self.recall, self.abstention = load_reward(RECALL), load_reward(ABSTENTION)

    def examine(self, cohort: Cohort) -> pd.DataFrame:
        """The questions of a cohort, in the order of dialogues and steps; without ``lost``."""
        read = reference_bits(self.subject, self.dialogues, cohort, self.seed)
        answered = answer_dialogues(
            self.subject, self.dialogues, cohort, self.settings, self.seed, embedding=self.embedding
        )
        frames = [self._step(cohort, step, read) for step in answered]
        return pd.concat(frames).sort_values(["dialogue", "step"], kind="stable", ignore_index=True)

    def _step(self, cohort: Cohort, answered: AnsweredStep, read: Likelihood) -> pd.DataFrame:
        step, context = answered.step, answered.context
        asks = [self.dialogues.asks[row][step] for row in cohort.rows]
        told = np.array([min((ask.told_at for ask in row), default=NEVER_TOLD) for row in asks])
        asked = told >= 0
        references = self.dialogues.answer.part(list(cohort.rows), step)
        columns: dict[str, Any] = {
            "dialogue": cohort.rows,
            "step": step,
            "steps": self.dialogues.steps,
            "mode": context.mode,
            **dict(zip(("written_query", "written_answer"), self._written(context), strict=True)),
            "query": context.query.text,
            "reference": self.subject.tokenizer.token_text(*references).text,
            "answer": context.generated.text,
            "asked": asked,
            "values": [[ask.value for ask in row] for row in asks],
            "told_at": [[ask.told_at for ask in row] for row in asks],
            "told": np.where(asked, told, np.nan),
            "distance": np.where(asked, step - told, np.nan),
            "ability": [ability(row) for row in asks],
            "right": self._right(context, asks, asked),
            "dropped": answered.dropped,
            "tokens": read.tokens[:, step - 1],
            "correct": read.correct[:, step - 1],
            "bits": read.bits["on"][:, step - 1],
            "bits_wiped": read.bits["wiped"][:, step - 1],
            "bits_swapped": read.bits["swapped"][:, step - 1],
        }
        for name in CONTROLS:
            control, able = answered.controls.get(name), answered.able.get(name)
            if control is not None and able is not None:
                columns[f"answer_{name}"] = pd.Series(control.generated.text).where(able, None).to_list()
                columns[f"right_{name}"] = np.where(able, self._right(control, asks, asked), np.nan)
        return pd.DataFrame({**columns, **self._scores(context)}, index=range(len(cohort.rows)))

    def _written(self, context: RewardContext) -> tuple[list[str], list[str]]:
        last = context.history[-1]
        said = (last.ids == self.subject.tokenizer.answer_id).cumsum(1) > 0
        return last.only(~said).text, last.only(said).text

    def _right(self, context: RewardContext, asks: Sequence[Sequence[Ask]], asked: np.ndarray) -> np.ndarray:
        """Recall where something told is asked, recognition where nothing was told, NaN elsewhere."""
        right = np.full(len(asks), np.nan)
        never = np.array([bool(row) and all(ask.told_at == NEVER_TOLD for ask in row) for row in asks])
        for judge, name, rows in ((self.recall, RECALL, asked), (self.abstention, ABSTENTION, never)):
            if rows.any():
                right = np.where(rows, _judged(judge, context, name), right)
        return right

    def _scores(self, context: RewardContext) -> dict[str, np.ndarray]:
        if self.reward is None:
            return {"score": np.full(len(context), np.nan)}
        scored = self.reward(context)
        score = torch.where(scored.valid, scored.total, torch.nan).numpy() * SCALE
        return {"score": score, **{f"metric_{name}": values.numpy() for name, values in scored.metrics.items()}}


def ability(asks: Sequence[Ask]) -> str | None:
    """What a question takes, as the data says or, where it does not, as the facts show; None without annotation."""
    if not asks:
        return None
    if all(ask.told_at == NEVER_TOLD for ask in asks):
        return "abstention"
    said = next((ask.ability for ask in asks if ask.ability), None) or _BY_SLOT.get(asks[0].slot)
    return said or ("two_facts" if len({ask.told_at for ask in asks}) > 1 else "recall")


def _judged(judge: Reward, context: RewardContext, name: str) -> np.ndarray:
    """Values per row, NaN where the judge does not apply.

    Raises:
        RewardError: when the judge fails; it names the example.
    """
    values, problems = evaluate_reward(judge, context, name)
    if problems:
        raise problems[0]
    return values.numpy()


def write(questions: pd.DataFrame, path: Path) -> Path:
    """Write ``answers.parquet``: the old file or the new one is there, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    questions.to_parquet(temporary, index=False)
    temporary.replace(path)
    return path


def read(path: Path) -> pd.DataFrame:
    """Read ``answers.parquet``.

    Raises:
        UserError: when it is not there or not such a file.
    """
    try:
        questions = pd.read_parquet(path)
    except Exception as error:  # whatever the library makes of a broken file
        reason = "not there" if not path.exists() else str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be read as the answers of an evaluation ({reason})") from None
    missing = {"dialogue", "step", "query", "reference", "answer", "right"} - set(questions.columns)
    if missing:
        raise UserError(f"{path}: not the answers of an evaluation, it has no column {sorted(missing)[0]!r}")
    return questions
