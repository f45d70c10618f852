"""TRL's reward functions as rewards of ours.

TRL calls ``reward(prompts, completions, **columns) -> list[float | None]``, with one entry per completion in every
list; ``None`` means that the reward does not apply. Texts may be plain or conversational (lists of messages with
``role`` and ``content``).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..contracts import Columns, MissingColumnError, RewardContext
from ..errors import UserError

COLUMNS = ("reference", "query", "history", "asks", "step", "steps", "strategy", "mode")
"""What an adapted function is given beside prompts, completions and completion_ids; a column of the data comes before
that of ours which has its name, as it would in TRL."""

_TEXTS = ("prompts", "completions", "completion_ids")

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
        for attribute in ("reward_name", "reward_weight", "reward_concurrent", "reward_episode"):
            if hasattr(function, attribute):
                setattr(self, attribute, getattr(function, attribute))
        if not hasattr(self, "reward_name"):
            self.reward_name = getattr(function, "__name__", type(function).__name__)
        self.needed: list[str] = []
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
        offered |= {name: values for name, values in context.columns.items() if name not in _TEXTS}
        sources = Columns(offered)
        offered |= {name: sources[source] for name, source in self.columns.items()}
        missing = [name for name in self.needed if name not in offered]
        if missing:
            raise MissingColumnError(
                f"needs the column {missing[0]!r}; there are {', '.join(dict.fromkeys([*COLUMNS, *context.columns]))} "
                f"(say which with the option columns={{{missing[0]!r}: 'reference'}})"
            )
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
        try:
            values = self.plugin_target(prompts=prompts, completions=completions, **offered)
        except TypeError as error:
            if not self.conversational and "string indices" in str(error):
                error.args = (f"{error} (a function that reads messages needs the option conversational: true)",)
            raise
        return self._later(values) if inspect.isawaitable(values) else self._rescaled(values)  # type: ignore[return-value]

    async def _later(self, values: Awaitable[Any]) -> list[float | None]:
        return self._rescaled(await values)

    def _rescaled(self, values: Any) -> list[float | None]:
        span = self.high - self.low
        return [None if value is None else (float(value) - self.low) / span for value in values]

    def _check(self) -> set[str] | None:
        """The columns that the function takes by name; None for all.

        Which of them there are, the data says; those that it must have are noted in ``needed``.
        """
        parameters = inspect.signature(self.plugin_target).parameters.values()
        known = {*COLUMNS, *self.columns, *_TRAINER_HOOKS, *_TEXTS}
        for parameter in parameters:
            needed = parameter.default is parameter.empty and parameter.kind in (
                parameter.POSITIONAL_OR_KEYWORD,
                parameter.KEYWORD_ONLY,
            )
            if needed and parameter.name not in known:
                self.needed.append(parameter.name)
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
        columns: other names for columns, ours or the data's, ``{"solution": "reference"}``. Those of the data are given
            by their names.
        conversational: whether prompts and completions are lists of messages.

    Raises:
        UserError: when ``low`` is not below ``high``; MissingColumnError: at a call, when the function needs a column
            that there is not.
    """
    if not low < high:
        raise UserError(f"low {low!r} must be below high {high!r}")
    return FromTrl(function, low, high, columns or {}, conversational)


def is_trl(target: Any) -> bool:
    """Whether a function or object is called as TRL calls; its parameter ``completions`` tells."""
    if inspect.isclass(target) or not callable(target) or hasattr(target, "plugin_target"):
        return False
    try:
        return "completions" in inspect.signature(target).parameters
    except (TypeError, ValueError):
        return False


def trl_options(label: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of :func:`from_trl`.

    Raises:
        UserError: for one that there is not.
    """
    allowed = ("low", "high", "columns", "conversational")
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise UserError(f"{label} is in TRL's convention: unknown option {unknown[0]!r}; allowed: {', '.join(allowed)}")
    return dict(options)
