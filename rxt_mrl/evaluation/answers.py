"""Answer dialogues with a subject: write, answer, write ... with the real memory and with controls; keep the answers.

What a subject knows starts anew with every dialogue and is never carried over. Controls answer from another state at
each step, but what is written is always the real answer, to the real state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from ..contracts import Columns, RewardContext, TokenText, mode_of
from ..dialogues.batching import DialogueTensors
from ..dialogues.own_words import by_own_words
from ..dialogues.template import join, pad_rows
from ..model.sampling import SamplingConfig
from ..seeding import key
from ..texts import Tokens
from .cohorts import Cohort
from .config import Control, EvaluationSettings
from .subjects.protocol import Subject, Turn

ROOM = 8
"""An answer may be so many tokens longer than the longest reference, where nothing else is said."""


@dataclass(frozen=True)
class AnsweredStep:
    """The answers of a cohort at one step; rows are the cohort's.

    Attributes:
        step: 1 for the first follow-up.
        context: of the real answers, for rewards.
        controls: contexts of the controls' answers (same questions, references and history).
        dropped: int64 ``(rows,)``, interactions that did not fit (:class:`~.subjects.protocol.Answers`).
        able: bool ``(rows,)`` by control: False where the control has no answer (nothing to put in the query, or it
            does not fit).
    """

    step: int
    context: RewardContext
    controls: dict[Control, RewardContext]
    dropped: np.ndarray
    able: dict[Control, np.ndarray]


def answer_dialogues(
    subject: Subject[Any],
    dialogues: DialogueTensors,
    cohort: Cohort,
    settings: EvaluationSettings,
    seed: int,
    *,
    embedding: Tensor | None = None,
) -> Iterator[AnsweredStep]:
    """Answer the dialogues of a cohort, step by step.

    Args:
        subject: answers.
        dialogues: the whole set, cut to the episodes and steps that count.
        cohort: which of them.
        settings: temperature, teacher forcing, controls.
        seed: key of initial states and of sampling.
        embedding: ``(vocab, dim)`` for rewards.
    """
    count, played = len(cohort.rows), len(cohort.played)
    own = range(count)
    batch = dialogues.select(list(cohort.played))
    sampling = SamplingConfig(temperature=settings.temperature, max_new_tokens=answer_tokens(dialogues, settings))
    controls = used_controls(subject, dialogues, settings)
    initial = subject.start(played, initial_seeds(seed, cohort.played))
    state = first = initial
    written = Turn.of(batch, cohort.played, 0)
    history: list[TokenText] = []
    for step in range(1, batch.steps + 1):
        rows = join(written.query, written.answer)
        history.append(subject.tokenizer.token_text(rows.ids[:count], rows.mask[:count]))
        state = subject.write(state, written)
        first = state if step == 1 else first
        asked = Turn.of(batch, cohort.played, step)
        mine = asked.select(own)
        told, able = with_facts(subject, batch, mine, sampling.max_new_tokens)
        turns = [asked, *(told if name == "oracle" else mine for name in controls)]
        seeds = [key(seed, "answer", row, step) for turn in turns for row in turn.dialogues]
        states = subject.join([state, *(_read(subject, name, cohort, initial, first, state) for name in controls)])
        answers = subject.answer(states, Turn.join(turns), sampling, seeds)
        starts = [0, *(played + count * number for number in range(len(controls)))]
        parts = [answers.tokens.part(slice(start, start + count)) for start in starts]
        contexts = _contexts(subject, batch, mine, parts, history, embedding)
        yield AnsweredStep(
            step,
            contexts[0],
            dict(zip(controls, contexts[1:], strict=True)),
            answers.dropped[:count],
            {name: able if name == "oracle" else np.ones(count, dtype=bool) for name in controls},
        )
        said = answers.tokens.part(slice(0, played))
        written = asked if settings.teacher_forcing else asked.answered(said)


def used_controls(
    subject: Subject[Any], dialogues: DialogueTensors, settings: EvaluationSettings
) -> tuple[Control, ...]:
    """The controls that are asked for, that the subject has, and for which there are dialogues enough."""
    return tuple(
        name for name in settings.controls if name in subject.controls and (name != "swapped" or len(dialogues) > 1)
    )


def _read(subject: Subject[Any], control: Control, cohort: Cohort, initial: Any, first: Any, now: Any) -> Any:
    """What a control answers from, one row for each of the cohort's."""
    if control == "swapped":
        return subject.pick(now, cohort.partners)
    return subject.pick(first if control == "frozen" else initial, range(len(cohort.rows)))


def _contexts(
    subject: Subject[Any],
    batch: DialogueTensors,
    turn: Turn,
    parts: Sequence[Tokens],
    history: Sequence[TokenText],
    embedding: Tensor | None,
) -> list[RewardContext]:
    text = subject.tokenizer.token_text
    context = RewardContext(
        query=text(*turn.query),
        generated=text(*turn.answer),
        reference=text(*turn.answer),
        history=tuple(history),
        asks=turn.asks,
        step=turn.number,
        steps=batch.steps,
        strategy=batch.strategy,
        mode=mode_of(batch.strategy, turn.number, batch.steps),
        embedding=embedding,
        columns=Columns.of([row[turn.number] for row in batch.columns[: len(turn.asks)]]),
    )
    return [by_own_words(replace(context, generated=text(*part))) for part in parts]


def answer_tokens(dialogues: DialogueTensors, settings: EvaluationSettings) -> int:
    """Tokens of an answer, at most."""
    return settings.max_new_tokens or int(dialogues.answer.mask.sum(-1).max()) + ROOM


def initial_seeds(seed: int, rows: Sequence[int]) -> list[int]:
    """One seed per dialogue for the initial state, whatever is played beside it."""
    return [key(seed, "memory", row) for row in rows]


def with_facts(subject: Subject[Any], batch: DialogueTensors, turn: Turn, room: int) -> tuple[Turn, np.ndarray]:
    """The turn with the interactions that told its facts in the query; what they said first is cut where it is long.

    Args:
        subject: whose window it has to fit.
        batch: the dialogues of the turn's rows, these first.
        turn: what is asked.
        room: tokens to leave for the answer.

    Returns:
        The turn, and bool ``(rows,)``: False where nothing is asked that was told before; the query is as it was then.
    """
    tokenizer = subject.tokenizer
    places = [sorted({ask.told_at for ask in asks if 0 <= ask.told_at < turn.number}) for asks in turn.asks]
    longest = None if subject.window is None else subject.window - room - 3
    queries = []
    for row, told in enumerate(places):
        if not told:
            queries.append(turn.query.ids[row][turn.query.mask[row]].tolist())
            continue
        facts = [text(tokenizer, tokens, row, place) for place in told for tokens in (batch.query, batch.answer)]
        words, question = (
            tokenizer.encode_text(part) for part in (" ".join(facts), text(tokenizer, batch.query, row, turn.number))
        )
        words = words if longest is None else words[max(0, len(words) + len(question) - longest) :]
        queries.append([tokenizer.bos_id, tokenizer.query_id, *words, *question, tokenizer.answer_id])
    return replace(turn, query=pad_rows(queries, pad_id=tokenizer.pad_id)), np.array([bool(told) for told in places])


def text(tokenizer: Any, tokens: Tokens, row: int, turn: int) -> str:
    """The text of one query or answer of a batch."""
    return tokenizer.decode(tokens.ids[row, turn][tokens.mask[row, turn]])
