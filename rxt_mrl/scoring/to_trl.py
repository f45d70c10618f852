"""Rewards of ours as functions for TRL's trainers; :mod:`.from_trl` tells how those call them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..contracts import Ask, RewardContext
from ..errors import UserError
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

    Completions may be texts, messages whose content is a text, a list of parts or None, and calls of tools; there may
    be several to each prompt, next to each other. Other columns of the data set become ``context.columns``.

    Raises:
        UserError: for an unknown reward, and at a call for prompts, completions and columns that are none of these;
            RewardError: at a call, when the reward fails (with the example).
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
        count = len(completions)
        if not count:
            return []
        times = _times(len(prompts), count)
        given = {
            name: list(values) for name, values in columns.items() if _is_column(name, values, len(prompts), count)
        }
        if times > 1:  # several completions to each prompt, next to each other
            prompts = [prompt for prompt in prompts for _ in range(times)]
            given = {
                name: values if len(values) == count else [value for value in values for _ in range(times)]
                for name, values in given.items()
            }
        queries, pasts = zip(*(_prompt(prompt) for prompt in prompts), strict=True)
        answers = [_answer(completion) for completion in completions]
        references = [_reference(value) for value in given.pop(reference, None) or [""] * count]
        if history in given:
            pasts = tuple([_turn(turn) for turn in row or ()] for row in given.pop(history))
        facts = [tuple(_ask(ask) for ask in row or ()) for row in given.pop(asks, None) or [()] * count]
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
                columns={name: [values[row] for row in rows] for name, values in given.items()},
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
    answered = False
    for message in _messages("prompt", prompt):
        text = _text(message.get("content"))
        if message.get("role") == "user":
            users.append(text)
            answered = False
        elif message.get("role") == "assistant" and users and text:
            if answered:  # it went on after a tool had answered
                _, said = past.pop()
                text = f"{said} {text}"
            past.append((users[-1], text))
            answered = True
    return (users[-1] if users else ""), past


def _answer(completion: Any) -> str:
    """What a completion answers: its text, or that of its last message of the assistant that has one.

    Where it only calls tools, what it gives them.
    """
    if completion is None or isinstance(completion, str):
        return completion or ""
    messages = _messages("completion", completion)
    own = [message for message in messages if message.get("role", "assistant") == "assistant"]
    texts = [text for message in own if (text := _text(message.get("content")))]
    if texts:
        return texts[-1]
    calls = [call.get("function", call) for message in own for call in message.get("tool_calls") or ()]
    return " ".join(_text(call.get("arguments")) for call in calls)


def _reference(value: Any) -> str:
    """A right answer: a text, messages, or a value whose text is one."""
    return _answer(value) if value is None or isinstance(value, Mapping | list | tuple) else str(value)


def _messages(kind: str, value: Any) -> list[Mapping[str, Any]]:
    messages = [value] if isinstance(value, Mapping) else value
    if not isinstance(messages, list | tuple) or not all(isinstance(message, Mapping) for message in messages):
        raise UserError(f"{value!r:.80} is no {kind}: a text or a list of messages is needed")
    return list(messages)


def _text(content: Any) -> str:
    """The text of a message's content: a string, parts (``[{"type": "text", "text": ...}, ...]``), a number or None."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, Mapping | list | tuple):
        return str(content)
    if isinstance(content, Mapping):
        return str(content["text"] or "") if "text" in content else "" if "type" in content else json.dumps(content)
    return "".join(_text(part) for part in content)


def _times(prompts: int, completions: int) -> int:
    """How many completions there are to each prompt.

    Raises:
        UserError: when they cannot be shared out evenly.
    """
    if not prompts or completions % prompts:
        raise UserError(f"{completions} completions to {prompts} prompts: as many are needed, or a multiple of them")
    return completions // prompts


def _is_column(name: str, values: Any, *lengths: int) -> bool:
    """Whether TRL hands over a column of the data, and not something of its own."""
    listed = hasattr(values, "__len__") and not isinstance(values, str | Mapping)
    return listed and name not in ("completion_ids", "environments") and len(values) in lengths


def _turn(turn: Any) -> tuple[str, str]:
    if isinstance(turn, Mapping) and turn.keys() >= {"query", "answer"}:
        return _text(turn["query"]), _text(turn["answer"])
    if isinstance(turn, list | tuple) and len(turn) == 2:
        return _text(turn[0]), _text(turn[1])
    raise UserError(f"{turn!r:.80} is no earlier interaction: [query, answer] or {{query, answer}} is needed")


def _ask(ask: Any) -> Ask:
    if isinstance(ask, Ask):
        return ask
    if not isinstance(ask, Mapping) or ask.get("value") is None:
        raise UserError(f"{ask!r:.80} is no fact: asks has a list of {{value, told_at, ...}} for each prompt")
    wrong = ask.get("wrong")
    return Ask(
        str(ask["value"]),
        int(ask.get("told_at") or 0),
        (wrong,) if isinstance(wrong, str) else tuple(str(value) for value in wrong or ()),
        str(ask.get("slot") or ""),
        str(ask.get("ability") or ""),
    )
