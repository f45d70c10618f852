"""What can be measured: anything that is told interactions, answers queries, and says how likely an answer was to it.

A subject holds nothing between calls. What it knows of the dialogues that it is in is a *state*, one row per dialogue:
the memory of an RxT, the history of a stateless language model. Controls and bits are made of states alone, so they are
the same for every subject: a wiped memory is the state at the start, a swapped one is another row's, and a state
without one interaction is a state to which it was never written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch

from ...contracts import Ask
from ...dialogues.batching import DialogueTensors
from ...dialogues.tokenizer import DialogueTokenizer
from ...model.sampling import SamplingConfig
from ...texts import Tokens, trim
from ..config import Control

State = TypeVar("State")


@dataclass(frozen=True)
class Turn:
    """One interaction of each of a batch of dialogues, all at the same place.

    Attributes:
        dialogues: numbers of the dialogues in their set, one per row.
        number: place in the dialogue; 0 is the first interaction, 1 the first follow-up.
        query: ``[BOS][Q]query[A]``, ``(rows, tokens)``.
        answer: ``answer[EOS]``, ``(rows, tokens)``. When a turn is written: what was answered. When it is asked or
            read: the reference.
        asks: annotated facts, per row.
    """

    dialogues: tuple[int, ...]
    number: int
    query: Tokens
    answer: Tokens
    asks: tuple[tuple[Ask, ...], ...]

    def __len__(self) -> int:
        return len(self.dialogues)

    @classmethod
    def of(cls, batch: DialogueTensors, dialogues: Sequence[int], number: int) -> Turn:
        """Interaction ``number`` of encoded dialogues, which have these numbers in their set."""
        query, answer = (tokens.part(slice(None), number) for tokens in (batch.query, batch.answer))
        return cls(tuple(dialogues), number, query, answer, tuple(row[number] for row in batch.asks))

    def answered(self, answer: Tokens) -> Turn:
        """The same turn with another answer."""
        return replace(self, answer=answer)

    def select(self, rows: Sequence[int]) -> Turn:
        """Some of the rows, in any order and as often as wanted."""
        index = list(rows)
        return Turn(
            tuple(self.dialogues[row] for row in index),
            self.number,
            trim(self.query.ids[index], self.query.mask[index]),
            trim(self.answer.ids[index], self.answer.mask[index]),
            tuple(self.asks[row] for row in index),
        )

    @classmethod
    def join(cls, turns: Sequence[Turn]) -> Turn:
        """Turns of the same number, their rows one after the other."""
        return cls(
            tuple(row for turn in turns for row in turn.dialogues),
            turns[0].number,
            stacked([turn.query for turn in turns]),
            stacked([turn.answer for turn in turns]),
            tuple(asks for turn in turns for asks in turn.asks),
        )


class Answers(NamedTuple):
    """What was answered.

    Attributes:
        tokens: ``answer[EOS]``, ``(rows, tokens)``; an answer that was cut has no ``[EOS]``.
        dropped: int64 ``(rows,)``, the interactions that were left out because they did not fit.
    """

    tokens: Tokens
    dropped: np.ndarray


class Reading(NamedTuple):
    """How likely a turn's answer was, per row.

    Attributes:
        bits: float64 ``(rows,)``, minus log2 of its probability, ``[EOS]`` included; NaN where there is none.
        tokens: int64 ``(rows,)``, its tokens.
        correct: int64 ``(rows,)``, those that were the most probable ones.
    """

    bits: np.ndarray
    tokens: np.ndarray
    correct: np.ndarray


class Subject(Protocol[State]):
    """Something that answers dialogues. Rows never see each other."""

    name: str
    """What reports call it."""
    tokenizer: DialogueTokenizer
    """Of all tokens that go in and out."""
    controls: tuple[Control, ...]
    """Those that say something about it."""

    def about(self) -> dict[str, Any]:
        """``kind`` and what else a report should say of it (``parameters``, ...); plain values."""
        ...

    @property
    def window(self) -> int | None:
        """Tokens of a query and its answer together, at most; None: no limit."""
        ...

    def start(self, rows: int, seeds: Sequence[int]) -> State:
        """The state before anything was told; one seed per row."""
        ...

    def write(self, state: State, turn: Turn) -> State:
        """The state after a completed interaction."""
        ...

    def answer(self, state: State, turn: Turn, sampling: SamplingConfig, seeds: Sequence[int]) -> Answers:
        """Answer ``turn.query``; one seed per row. Only an oracle looks at ``turn.answer``."""
        ...

    def read(self, state: State, turn: Turn) -> Reading:
        """How likely ``turn.answer`` is as the answer to ``turn.query``."""
        ...

    def pick(self, state: State, rows: Sequence[int]) -> State:
        """The state of some rows, in any order and as often as wanted."""
        ...

    def join(self, states: Sequence[State]) -> State:
        """States, their rows one after the other."""
        ...


def stacked(parts: Sequence[Tokens]) -> Tokens:
    """Token rows of different widths, one after the other."""
    width = max(part.ids.shape[-1] for part in parts)
    pad = torch.nn.functional.pad
    return Tokens(
        torch.cat([pad(part.ids, (0, width - part.ids.shape[-1])) for part in parts]),
        torch.cat([pad(part.mask, (0, width - part.mask.shape[-1])) for part in parts]),
    )
