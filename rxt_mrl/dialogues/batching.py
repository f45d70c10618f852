"""Dialogues as tensors: a whole encoded data set, or a batch of it.

``(dialogues, interactions, tokens)``: interaction 0 is the first one of a dialogue, 1 to N are its follow-ups.
Queries and answers are kept apart, because an agent answers the one and is compared with the other; joined
interactions are made by :meth:`DialogueTensors.interactions`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..contracts import Ask, Dialogue, Interaction, Strategy
from ..errors import UserError
from ..texts import Tokens
from .schema import from_row, rows_of_table
from .template import TokenRows, join, pad_rows
from .tokenizer import DialogueTokenizer

log = logging.getLogger(__name__)

Rows = tuple[tuple[Mapping[str, Any], ...], ...]
"""Other columns of the data: ``columns[dialogue][interaction]``."""
Asks = tuple[tuple[tuple[Ask, ...], ...], ...]
"""Annotated facts: ``asks[dialogue][interaction]``; interaction 0 never has any."""


@dataclass(frozen=True)
class EncodingReport:
    """Token lengths of an encoded data set (template included), and how much did not fit."""

    queries: int
    answers: int
    cut_queries: int
    cut_answers: int
    longest_query: int
    longest_answer: int

    def __str__(self) -> str:
        return (
            f"{self.cut_queries} of {self.queries} queries (longest {self.longest_query} tokens) and "
            f"{self.cut_answers} of {self.answers} answers (longest {self.longest_answer} tokens) cut"
        )


@dataclass(frozen=True, eq=False)
class DialogueTensors:
    """Encoded dialogues, all with the same number of follow-ups.

    Attributes:
        query: ``(dialogues, 1 + steps, query tokens)``: ``[BOS][Q]query[A]``.
        answer: ``(dialogues, 1 + steps, answer tokens)``: ``answer[EOS]``; a cut answer has no ``[EOS]``.
        asks: annotated facts, ``asks[dialogue][interaction]``.
        told_at: long ``(dialogues, 1 + steps)``: where the asked fact was told; -1 where no fact or several are asked.
        strategy: how the dialogues are built.
        report: what was cut when the data set was encoded; None for a batch.
        columns: other columns of the data, ``columns[dialogue][interaction]``; empty where it has none.
    """

    query: Tokens
    answer: Tokens
    asks: Asks
    told_at: Tensor
    strategy: Strategy = "multi_step"
    report: EncodingReport | None = None
    columns: Rows = ()

    def __len__(self) -> int:
        return self.query.ids.shape[0]

    @property
    def steps(self) -> int:
        """Follow-ups of each dialogue."""
        return self.query.ids.shape[1] - 1

    @property
    def distance(self) -> Tensor:
        """Retention distance, long ``(dialogues, 1 + steps)``: interaction - told_at; -1 where ``told_at`` is."""
        index = torch.arange(self.told_at.shape[1], device=self.told_at.device)
        return torch.where(self.told_at < 0, self.told_at, index - self.told_at)

    def select(self, rows: Sequence[int] | Tensor | np.ndarray | slice, steps: int | None = None) -> DialogueTensors:
        """Some of the dialogues, cut to ``steps`` follow-ups, with the padding that they need and no more.

        Raises:
            UserError: when the dialogues have fewer follow-ups than ``steps``.
        """
        steps = self.steps if steps is None else steps
        if not 0 < steps <= self.steps:
            raise UserError(f"steps {steps} is not possible: the dialogues have {self.steps} follow-ups")
        if isinstance(rows, slice):
            rows = range(*rows.indices(len(self)))
        index = torch.as_tensor(rows if isinstance(rows, Tensor | np.ndarray) else list(rows), dtype=torch.long)
        turns = 1 + steps
        part = index.to(self.told_at.device), slice(turns)
        asks = tuple(self.asks[row][:turns] for row in index.tolist())
        columns = tuple(self.columns[row][:turns] for row in index.tolist()) if self.columns else ()
        return DialogueTensors(
            self.query.part(*part), self.answer.part(*part), asks, self.told_at[part], self.strategy, columns=columns
        )

    def interactions(self) -> TokenRows:
        """Joined interactions ``(dialogues, 1 + steps, tokens)``."""
        return join(self.query, self.answer)

    def to(self, device: torch.device | str) -> DialogueTensors:
        """The same dialogues on another device."""
        return replace(
            self, query=self.query.to(device), answer=self.answer.to(device), told_at=self.told_at.to(device)
        )


def encode_dialogues(
    dialogues: Iterable[Dialogue | Mapping[str, Any]],
    tokenizer: DialogueTokenizer,
    *,
    max_query: int,
    max_answer: int,
    strategy: Strategy = "multi_step",
    steps: int | None = None,
    on_long: Literal["cut", "error"] = "cut",
) -> DialogueTensors:
    """Encode dialogues into one set of tensors.

    Args:
        dialogues: all with the same number of follow-ups, or with at least ``steps`` of them; also as rows of the
            schema, of a ``datasets.Dataset`` for example.
        tokenizer: of the text and of the template.
        max_query: most tokens of a query, ``[BOS]``, ``[Q]`` and ``[A]`` included. A longer one is cut before
            its ``[A]``.
        max_answer: most tokens of an answer, ``[EOS]`` included. A longer one loses its tail and so its ``[EOS]``.
        strategy: how the dialogues are built.
        steps: follow-ups to keep; None: all of them.
        on_long: ``"cut"`` counts what was cut (``report``, and one line of warning), ``"error"`` refuses.

    Raises:
        UserError: no dialogues, something else than dialogues, a wrong row, too few follow-ups, an argument that is not
            possible, or an over-long text under ``on_long="error"``.
    """
    dialogues = _dialogues(dialogues)
    _check_arguments(tokenizer, max_query, max_answer, strategy, steps, on_long)
    counts = {len(dialogue.interactions) for dialogue in dialogues}
    if steps is None:
        if len(counts) > 1:
            raise UserError(f"dialogues have {min(counts)} to {max(counts)} follow-ups: say how many to keep (steps)")
        steps = counts.pop()
    elif min(counts) < steps:
        raise UserError(f"steps {steps} is longer than the shortest dialogue, which has {min(counts)} follow-ups")
    turns = [dialogue.turns[: steps + 1] for dialogue in dialogues]
    flat = [turn for row in turns for turn in row]
    queries = tokenizer.encode_texts([turn.query for turn in flat])
    answers = tokenizer.encode_texts([turn.answer for turn in flat])

    query_lengths = np.fromiter((len(ids) for ids in queries), np.int64, len(queries)) + 3
    answer_lengths = np.fromiter((len(ids) for ids in answers), np.int64, len(answers)) + 1
    report = EncodingReport(
        queries=len(queries),
        answers=len(answers),
        cut_queries=int((query_lengths > max_query).sum()),
        cut_answers=int((answer_lengths > max_answer).sum()),
        longest_query=int(query_lengths.max()),
        longest_answer=int(answer_lengths.max()),
    )
    if report.cut_queries or report.cut_answers:
        if on_long == "error":
            raise UserError(_too_long(query_lengths, answer_lengths, max_query, max_answer, steps + 1))
        log.warning("%s (max_query %d, max_answer %d)", report, max_query, max_answer)

    head, tail, end = [tokenizer.bos_id, tokenizer.query_id], [tokenizer.answer_id], [tokenizer.eos_id]
    query_rows = [head + ids[: max_query - 3] + tail for ids in queries]
    answer_rows = [(ids + end)[:max_answer] for ids in answers]
    shape = (len(dialogues), steps + 1, -1)
    query, answer = (
        Tokens(*(field.reshape(shape) for field in pad_rows(rows, pad_id=tokenizer.pad_id)))
        for rows in (query_rows, answer_rows)
    )
    asks = tuple(tuple(turn.asks for turn in row) for row in turns)
    told_at = [[turn[0].told_at if len(turn) == 1 else -1 for turn in row] for row in asks]
    columns = tuple(tuple(_columns(row, turn) for turn in turns_) for row, turns_ in zip(dialogues, turns, strict=True))
    told = torch.tensor(told_at, dtype=torch.long)
    return DialogueTensors(query, answer, asks, told, strategy, report, columns if any(map(any, columns)) else ())


def _dialogues(given: Any) -> list[Dialogue]:
    """Dialogues, of whatever holds them.

    Raises:
        UserError: for something else, or a row that is wrong.
    """
    given = getattr(given, "dialogues", given)  # what load_dialogues returns
    if given is None or isinstance(given, str | bytes | Path | Mapping) or not isinstance(given, Iterable):
        name, more = type(given).__name__, ""
        if isinstance(given, Mapping) and name.endswith("DatasetDict"):
            more = f"; name a split: {', '.join(map(str, given))}"
        raise UserError(
            f"dialogues: got a {name}{more}; allowed: Dialogue objects, rows of the schema or a Dataset; "
            "load_dialogues reads files and settings"
        )
    found = []
    for number, item in enumerate(rows_of_table(given)):
        if isinstance(item, Dialogue):
            found.append(item)
        elif isinstance(item, Mapping):
            found.append(from_row(item, where=f"dialogue {number}"))
        else:
            raise UserError(f"dialogue {number} is a {type(item).__name__}; allowed: Dialogue, or a row of the schema")
    if not found:
        raise UserError("no dialogues to encode")
    return found


def _check_arguments(tokenizer: Any, max_query: Any, max_answer: Any, strategy: Any, steps: Any, on_long: Any) -> None:
    if not hasattr(tokenizer, "encode_texts"):
        raise UserError(f"tokenizer: got a {type(tokenizer).__name__}; allowed: a DialogueTokenizer")
    for name, value, least in (("max_query", max_query, 4), ("max_answer", max_answer, 1), ("steps", steps, 0)):
        if value is None and name == "steps":
            continue
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise UserError(f"{name} = {value!r}; allowed: a whole number of at least {least}")
    for name, value, allowed in (("strategy", strategy, get_args(Strategy)), ("on_long", on_long, ("cut", "error"))):
        if value not in allowed:
            raise UserError(f"{name} = {value!r}; allowed: {', '.join(allowed)}")


def _columns(dialogue: Dialogue, turn: Interaction) -> Mapping[str, Any]:
    """The other columns of an interaction: its own, and the dialogue's where it has none."""
    if not turn.columns:
        return dialogue.columns
    return {**dialogue.columns, **{name: value for name, value in turn.columns.items() if value is not None}}


def _too_long(queries: np.ndarray, answers: np.ndarray, max_query: int, max_answer: int, turns: int) -> str:
    """One line about the first text that does not fit."""
    for name, lengths, limit in (("query", queries, max_query), ("answer", answers, max_answer)):
        long = np.flatnonzero(lengths > limit)
        if len(long):
            row, turn = divmod(int(long[0]), turns)
            return (
                f"dialogue {row} interaction {turn}: the {name} has {lengths[long[0]]} tokens and the limit is {limit} "
                f"({len(long)} of {len(lengths)} are too long, the longest has {lengths.max()})"
            )
    raise AssertionError("called without an over-long text")
