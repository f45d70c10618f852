"""Rewards in TRL's convention, in both directions.

TRL calls ``reward(prompts, completions, **columns) -> list[float | None]``, with one entry per completion in every
list; ``None`` means that the reward does not apply. `from_trl` makes such a function one of ours, `to_trl` gives ours
to a TRL trainer. Texts may be plain or conversational (lists of messages with ``role`` and ``content``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..contracts import Ask, Reward, RewardContext
from ..errors import UserError
from ..texts import TextCodec

TrlReward = Callable[..., list[float | None]]

COLUMNS = ("reference", "query", "history", "asks", "step", "steps", "strategy", "mode")
"""What an adapted function is given beside prompts, completions and completion_ids."""

_TRAINER_HOOKS: dict[str, Any] = {
    "trainer_state": None,
    "log_extra": lambda *args, **kwargs: None,
    "log_metric": lambda *args, **kwargs: None,
}
"""TRL hands these to its functions; here there is no trainer behind them."""


class FromTrl:
    """A TRL reward function as a reward of ours; see :func:`from_trl`."""

    def __init__(
        self,
        function: Callable[..., Any],
        low: float,
        high: float,
        columns: Mapping[str, str],
        conversational: bool,
    ) -> None:
        self.plugin_target = function  # where error messages look for the user's lines
        self.low, self.high = low, high
        self.columns = dict(columns)
        self.conversational = conversational
        for attribute in ("reward_name", "reward_weight"):
            if hasattr(function, attribute):
                setattr(self, attribute, getattr(function, attribute))
        if not hasattr(self, "reward_name"):
            self.reward_name = getattr(function, "__name__", type(function).__name__)
        self._takes = self._check()

    def __call__(self, context: RewardContext) -> list[float | None]:
        """Scores in [0, 1], None where the function does not apply."""
        count = len(context)
        asks = context.asks or ((),) * count
        past = [turn.text for turn in context.history]
        offered: dict[str, Any] = {
            "reference": context.reference.text,
            "query": context.query.text,
            "history": [[texts[row] for texts in past] for row in range(count)],
            "asks": [list(row) for row in asks],
            "step": [context.step] * count,
            "steps": [context.steps] * count,
            "strategy": [context.strategy] * count,
            "mode": [context.mode] * count,
        }
        offered |= {name: offered[source] for name, source in self.columns.items()}
        offered["completion_ids"] = [
            row[keep].tolist() for row, keep in zip(context.generated.ids, context.generated.mask, strict=True)
        ]
        offered |= _TRAINER_HOOKS
        if self._takes is not None:
            offered = {name: value for name, value in offered.items() if name in self._takes}
        prompts, completions = context.query.text, context.generated.text
        if self.conversational:
            prompts = [[{"role": "user", "content": text}] for text in prompts]  # type: ignore[misc]
            completions = [[{"role": "assistant", "content": text}] for text in completions]  # type: ignore[misc]
        values = self.plugin_target(prompts=prompts, completions=completions, **offered)
        span = self.high - self.low
        return [None if value is None else (float(value) - self.low) / span for value in values]

    def _check(self) -> set[str] | None:
        """The columns that the function takes by name; None for all.

        Raises:
            UserError: when it is asynchronous or needs a column that there is not.
        """
        if inspect.iscoroutinefunction(self.plugin_target):
            raise UserError(f"{self.reward_name}: asynchronous reward functions are not supported; make it a plain def")
        unknown = {name: source for name, source in self.columns.items() if source not in COLUMNS}
        if unknown:
            raise UserError(f"{self.reward_name}: columns {unknown} name no source; allowed: {', '.join(COLUMNS)}")
        parameters = inspect.signature(self.plugin_target).parameters.values()
        known = {*COLUMNS, *self.columns, *_TRAINER_HOOKS, "prompts", "completions", "completion_ids"}
        for parameter in parameters:
            needed = parameter.default is parameter.empty and parameter.kind in (
                parameter.POSITIONAL_OR_KEYWORD,
                parameter.KEYWORD_ONLY,
            )
            if needed and parameter.name not in known:
                raise UserError(
                    f"{self.reward_name}: needs the column {parameter.name!r}; there are {', '.join(COLUMNS)} "
                    f"(say which with the option columns={{{parameter.name!r}: 'reference'}})"
                )
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return None
        return {parameter.name for parameter in parameters}


def from_trl(
    function: Callable[..., Any],
    *,
    low: float = 0.0,
    high: float = 1.0,
    columns: Mapping[str, str] | None = None,
    conversational: bool = False,
) -> FromTrl:
    """Make a TRL reward function a reward of ours.

    Args:
        function: ``(prompts, completions, **columns) -> list[float | None]``.
        low: its value that becomes 0.
        high: its value that becomes 1. Values outside of the two are errors, as with every reward.
        columns: other names for our columns, ``{"solution": "reference"}``.
        conversational: whether prompts and completions are lists of messages.

    Raises:
        UserError: when ``low`` is not below ``high`` or the function needs a column that there is not.
    """
    if not low < high:
        raise UserError(f"low {low!r} must be below high {high!r}")
    return FromTrl(function, low, high, columns or {}, conversational)


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
    from .. import plugins
    from .weighted import RewardError, WeightedReward, evaluate

    loaded = reward if isinstance(reward, WeightedReward) else plugins.load("reward", reward)
    given = name or getattr(loaded, "reward_name", None) or getattr(loaded, "__name__", None)
    label = str(given or type(loaded).__name__)

    def score(context: RewardContext) -> list[float | None]:
        if isinstance(loaded, WeightedReward):
            result = loaded(context)
            pairs = zip(result.total.tolist(), result.valid.tolist(), strict=True)
            return [value if valid else None for value, valid in pairs]
        one: Reward = loaded
        values, problems = evaluate(one, context, label)
        if problems:
            raise RewardError(str(problems[0]), problems[0].row)
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
        str(ask["value"]), int(ask.get("told_at") or 0), tuple(ask.get("wrong") or ()), str(ask.get("slot") or "")
    )
