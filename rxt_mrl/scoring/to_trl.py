"""Rewards of ours as functions for TRL's trainers; :mod:`.from_trl` tells how those call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..contracts import Ask, RewardContext
from ..texts import TextCodec
from .load import load_reward
from .values import evaluate_reward, name_of
from .weighted import WeightedReward

TrlReward = Callable[..., list[float | None]]


def to_trl(
    reward: Any,
    *,
    reference: str = "reference",
    history: str = "history",
    asks: str = "asks",
    codec: TextCodec | None = None,
    embedding: torch.Tensor | None = None,
    name: str | None = None,
) -> TrlReward:
    """Make a reward of ours a function for TRL's trainers.

    Args:
        reward: a name, ``file.py:Name``, a reward, or a ``WeightedReward``.
        reference: the data set's column of right answers; empty texts where there is none.
        history: the column of earlier interactions, ``[(query, answer), ...]`` or ``[{"query":, "answer":}, ...]``;
            without it, the earlier messages of a conversational prompt.
        asks: the column of facts, ``[{"value":, "told_at":, ...}, ...]``; optional.
        codec: the tokenizer that the reward shall count in; by default words.
        embedding: ``(vocab, dim)`` for it.
        name: what TRL's logs call it.

    Raises:
        UserError: for an unknown reward; RewardError: at a call, when the reward fails (with the example).
    """
    loaded = reward if isinstance(reward, WeightedReward) else load_reward(reward)
    label = name or name_of(loaded)

    def score(context: RewardContext) -> list[float | None]:
        if isinstance(loaded, WeightedReward):
            result = loaded(context)
            pairs = zip(result.total.tolist(), result.valid.tolist(), strict=True)
            return [value if valid else None for value, valid in pairs]
        values, problems = evaluate_reward(loaded, context, label)
        if problems:
            raise problems[0]
        return [None if value != value else value for value in values.tolist()]  # NaN: does not apply

    def function(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        count = len(prompts)
        queries, pasts = zip(*(_prompt(prompt) for prompt in prompts), strict=True) if count else ((), ())
        answers = [_message(completion) for completion in completions]
        references = [str(text or "") for text in columns.get(reference) or [""] * count]
        if history in columns:
            pasts = tuple([_turn(turn) for turn in row] for row in columns[history])
        facts = [tuple(_ask(ask) for ask in row or ()) for row in columns.get(asks) or [()] * count]
        scores: list[float | None] = [None] * count
        for depth in sorted({len(past) for past in pasts}):  # a context holds equally long histories
            rows = [row for row in range(count) if len(pasts[row]) == depth]
            context = RewardContext.from_text(
                [queries[row] for row in rows],
                [answers[row] for row in rows],
                [references[row] for row in rows],
                history=[pasts[row] for row in rows],
                asks=[facts[row] for row in rows],
                codec=codec,
                embedding=embedding,
            )
            for row, value in zip(rows, score(context), strict=True):
                scores[row] = value
        return scores

    function.__name__ = label
    return function


def _prompt(prompt: Any) -> tuple[str, list[tuple[str, str]]]:
    """The last question of a prompt and the interactions before it."""
    if isinstance(prompt, str):
        return prompt, []
    users: list[str] = []
    past: list[tuple[str, str]] = []
    for message in prompt:
        if message["role"] == "user":
            users.append(str(message["content"]))
        elif message["role"] == "assistant" and users:
            past.append((users[-1], str(message["content"])))
    return (users[-1] if users else ""), past


def _message(completion: Any) -> str:
    return completion if isinstance(completion, str) else str(completion[-1]["content"] if completion else "")


def _turn(turn: Any) -> tuple[str, str]:
    query, answer = (turn["query"], turn["answer"]) if isinstance(turn, Mapping) else turn
    return str(query), str(answer)


def _ask(ask: Any) -> Ask:
    if isinstance(ask, Ask):
        return ask
    return Ask(
        str(ask["value"]),
        int(ask.get("told_at") or 0),
        tuple(ask.get("wrong") or ()),
        str(ask.get("slot") or ""),
        str(ask.get("ability") or ""),
    )
