"""How much a subject remembers: fact recall by distance, with controls; what its memory is worth in bits; its score.

Every dialogue starts from a fresh memory. The subject's own answers are written to memory (``teacher_forcing`` writes
the references). Whether an answer states the fact is judged by the reward ``fact_recall``; a question that asks for
several facts counts once, at the distance of the oldest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor

from ..dialogues.batching import DialogueTensors
from ..errors import UserError
from ..seeding import torch_generator
from .answers import initial_seeds
from .bits import bits
from .cohorts import cohorts
from .config import EvaluationSettings
from .forgetting import forgetting
from .intervals import Share
from .likelihood import lost_bits, rows_at_once
from .memory_state import DIALOGUES, memory_state
from .questions import Examiner
from .scores import by_distance, recall_of, scores
from .subjects.protocol import Subject
from .subjects.rxt import RxTSubject

SCHEMA_VERSION = 3
_EMBEDDING_DIM = 64

Advance = Callable[[int, int, Mapping[str, float]], None]
"""Called with dialogues that are done, how many there are, and recall and score so far, as far as they are known."""


class Keeper(Protocol):
    """Keeps questions while they are answered, so that an interrupted evaluation goes on; see :mod:`.parts`."""

    def kept(self, name: str) -> pd.DataFrame | None:
        """What was kept under a name so far."""
        ...

    def keep(self, name: str, questions: pd.DataFrame) -> None:
        """Keep more."""
        ...


@dataclass(frozen=True)
class Retention:
    """The result of :func:`evaluate`.

    Attributes:
        questions: one row a question, the columns of ``answers.parquet``.
        settings: how it was measured.
        seed: of the evaluation.
        state: what writing does to the memory (:mod:`.memory_state`); None for a subject that is no RxT.
    """

    questions: pd.DataFrame
    settings: EvaluationSettings
    seed: int = 0
    state: dict[str, Any] | None = None

    @property
    def recall(self) -> Share | None:
        """Recall with memory, over all questions; None where no facts are annotated."""
        return recall_of(self.questions)

    def control(self, name: str) -> Share | None:
        """Recall of a control."""
        return recall_of(self.questions, name)

    def by_distance(self, mode: str = "on") -> dict[int, Share]:
        """Recall by distance, for ``on`` or a control."""
        return by_distance(self.questions, mode)

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded to four places; keys as in ``retention.json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            **scores(self.questions),
            "bits": bits(self.questions),
            "memory": self._memory(),
            "settings": self.settings.model_dump(mode="json"),
            "seed": self.seed,
        }

    def _memory(self) -> dict[str, Any] | None:
        """How facts fade, and what the memory does; None where neither is known."""
        faded = forgetting(self.questions)
        if faded is None and self.state is None:
            return None
        return {**(faded or dict.fromkeys(("half_life", "interference", "capacity"))), "state": self.state}


def evaluate(
    subject: Subject[Any],
    dialogues: DialogueTensors,
    settings: EvaluationSettings | None = None,
    seed: int = 0,
    *,
    embedding: Tensor | None = None,
    keeper: Keeper | None = None,
    advance: Advance | None = None,
) -> Retention:
    """Measure what a subject remembers.

    Args:
        subject: what is measured.
        dialogues: held-out dialogues, encoded with the subject's tokenizer.
        settings: see :class:`EvaluationSettings`.
        seed: key of initial memories and sampling: the same seed gives the same result, whatever the batch size.
        embedding: frozen ``(vocab, dim)`` for rewards that need one. None: fixed random vectors, so that scores of
            different models with one tokenizer can be compared (with a model's own embedding they could not).
        keeper: keeps what is done, and knows what was done before; None: nothing is kept.
        advance: told of progress.

    Raises:
        UserError: when the dialogues are too few or too short.
    """
    settings = settings or EvaluationSettings()
    if isinstance(subject, RxTSubject):
        chosen = copy(subject)
        chosen.precision = settings.precision
        subject = chosen
    elif settings.precision != "float32":
        raise UserError(f"evaluation.precision = {settings.precision!r}: {subject.name} is no RxT; allowed: float32")
    episodes = len(dialogues) if settings.episodes is None else settings.episodes
    if episodes > len(dialogues):
        raise UserError(f"evaluation: episodes is {episodes}, the data has {len(dialogues)} dialogues")
    dialogues = dialogues.select(slice(0, episodes), steps=settings.steps)
    if embedding is None:
        embedding = fixed_embedding(subject.tokenizer.vocab_size)
    measured = min(settings.bits, episodes)
    work = _Work(keeper, advance or (lambda done, of, so_far: None), episodes + measured)
    examiner = Examiner(subject, dialogues, settings, seed, embedding)
    for cohort in cohorts(work.open("answers", range(episodes)), episodes, settings.batch_size, partners=episodes > 1):
        work.add("answers", cohort.rows, examiner.examine(cohort))
    questions = work.done("answers")
    size = rows_at_once(settings.batch_size, dialogues.steps)
    for cohort in cohorts(work.open("bits", range(measured)), episodes, size, partners=False):
        lost = lost_bits(subject, dialogues, cohort.rows, seed)
        rows = [
            {"dialogue": dialogue, "step": step, "lost": lost[place, :step, step - 1].tolist()}
            for place, dialogue in enumerate(cohort.rows)
            for step in range(1, dialogues.steps + 1)
        ]
        work.add("bits", cohort.rows, pd.DataFrame(rows))
    if measured:
        questions = questions.merge(work.done("bits"), how="left", on=["dialogue", "step"])
    state = None
    if isinstance(subject, RxTSubject):
        state = memory_state(subject.model, dialogues, initial_seeds(seed, range(min(DIALOGUES, episodes))))
    return Retention(questions, settings, seed, state)


class _Work:
    """What is done, kept and still to do."""

    def __init__(self, keeper: Keeper | None, advance: Advance, total: int) -> None:
        self._keeper, self._advance, self._total = keeper, advance, total
        self._frames: dict[str, list[pd.DataFrame]] = {}
        self._count = 0
        self._sums = {"recall": (0.0, 0), "score": (0.0, 0)}

    def open(self, name: str, rows: range) -> list[int]:
        """The dialogues that are still to do."""
        kept = self._keeper.kept(name) if self._keeper is not None else None
        self._frames[name] = [] if kept is None else [kept]
        self._seen(self._frames[name])
        done = set() if kept is None else set(kept["dialogue"])
        self._told(len(done))
        return [row for row in rows if row not in done]

    def add(self, name: str, rows: tuple[int, ...], questions: pd.DataFrame) -> None:
        """Keep what was done of some dialogues."""
        self._frames[name].append(questions)
        self._seen([questions])
        if self._keeper is not None:
            self._keeper.keep(name, questions)
        self._told(len(rows))

    def done(self, name: str) -> pd.DataFrame:
        """All of it, in the order of dialogues and steps."""
        whole = pd.concat(self._frames[name], ignore_index=True)
        return whole.sort_values(["dialogue", "step"], kind="stable", ignore_index=True)

    def _seen(self, frames: list[pd.DataFrame]) -> None:
        for questions in frames:
            if "right" not in questions:  # bits
                continue
            told = questions["right"][questions["distance"] > 0].dropna()
            for name, values in (("recall", told), ("score", questions["score"].dropna())):
                total, count = self._sums[name]
                self._sums[name] = total + float(values.sum()), count + len(values)

    def _told(self, count: int) -> None:
        self._count += count
        so_far = {name: total / seen for name, (total, seen) in self._sums.items() if seen}
        self._advance(self._count, self._total, so_far)


def fixed_embedding(vocab_size: int) -> Tensor:
    """Random unit-variance vectors ``(vocab, 64)``, the same for every model and run."""
    return torch.randn(vocab_size, _EMBEDDING_DIM, generator=torch_generator("evaluation", "embedding"))
