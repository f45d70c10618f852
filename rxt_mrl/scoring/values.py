"""Call one reward, check what comes back, and say on which example and in which line it fails."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from .. import plugins
from ..contracts import MissingColumnError, Reward, RewardContext
from ..errors import UserError, text_of
from .slow import CacheError, SlowReward

_SLACK = 1e-4
"""How far outside [0, 1] a value may be by rounding; it is clamped."""


class RewardError(UserError):
    """A reward failed on an example. ``row`` is the episode's index in the batch, or None for the batch as a whole."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


def evaluate_reward(
    reward: Reward, context: RewardContext, name: str, *, bounded: bool = True
) -> tuple[torch.Tensor, list[RewardError]]:
    """Call one reward on a batch and check what comes back; it raises for nothing that the reward does wrong.

    Returns:
        float32 ``(episodes,)`` on the CPU, NaN where the reward does not apply or failed; and the failures.

    Raises:
        MissingColumnError: when the data has not the columns that the reward needs: no row of it can be scored.
    """
    return begin_reward(reward, context, name, bounded=bounded)()


def begin_reward(
    reward: Reward, context: RewardContext, name: str, *, bounded: bool = True
) -> Callable[[], tuple[torch.Tensor, list[RewardError]]]:
    """:func:`evaluate_reward` in two parts: what comes back waits for a slow reward; any other has been called then."""
    if not isinstance(reward, SlowReward):
        result = _evaluated(reward, context, name, bounded)
        return lambda: result
    wait = reward.start(context, bounded=bounded)
    return lambda: _answered(wait(), reward, context, name, bounded)


def _answered(
    outcomes: list[Any], reward: SlowReward, context: RewardContext, name: str, bounded: bool
) -> tuple[torch.Tensor, list[RewardError]]:
    """What a slow reward said of each answer, checked."""
    failed = {row: outcome for row, outcome in enumerate(outcomes) if isinstance(outcome, Exception)}
    for error in failed.values():
        if isinstance(error, MissingColumnError):
            raise MissingColumnError(f"reward {name!r} {error}")
        if isinstance(error, CacheError):  # no answer's fault, so none is left out for it
            raise error
    said = [None if row in failed else value for row, value in enumerate(outcomes)]
    values, problems = _checked(said, reward, context, name, bounded)
    return values, [*problems, *(_report(reward, name, context, row, error) for row, error in failed.items())]


def _evaluated(
    reward: Reward, context: RewardContext, name: str, bounded: bool
) -> tuple[torch.Tensor, list[RewardError]]:
    try:
        return _checked(_called(reward, context), reward, context, name, bounded)
    except MissingColumnError as error:
        raise MissingColumnError(f"reward {name!r} {error}") from None
    except (Exception, SystemExit) as error:  # whatever a user's reward raises
        whole: BaseException = error
    if len(context) == 1:
        return torch.full((1,), torch.nan), [_report(reward, name, context, 0, whole)]
    values = torch.full((len(context),), torch.nan)
    problems: list[RewardError] = []
    for row in range(len(context)):  # an error has happened: find out where
        alone = context.select([row])
        try:
            values[row : row + 1], found = _checked(_called(reward, alone), reward, alone, name, bounded)
        except (Exception, SystemExit) as error:
            problems.append(_report(reward, name, context, row, error))
        else:
            problems += [RewardError(str(item), row) for item in found]
    if not problems:
        # Each row works alone and the batch does not: no row can be blamed, and no value trusted.
        return torch.full_like(values, torch.nan), [_report(reward, name, context, None, whole)]
    return values, problems


def _called(reward: Reward, context: RewardContext) -> Any:
    """What a reward says of a copy of the context: what it does to it reaches neither memory nor the other rewards.

    Raises:
        ValueError: when it changed the embedding, which is too large to be copied each time.
    """
    before = None if context.embedding is None else context.embedding._version
    scores = reward(context.copy())
    if context.embedding is not None and context.embedding._version != before:
        raise ValueError("changed context.embedding, which all rewards share; work on a clone()")
    return scores


def name_of(reward: Any) -> str:
    """What logs and reports call a reward: the name it declares, else that of its function or class."""
    declared = declaration(reward)
    name = getattr(declared, "reward_name", None) or getattr(declared, "__name__", None)
    return str(name or type(declared).__name__)


def declaration(reward: Any) -> Any:
    """What carries the ``@reward`` declaration: the function inside a partial call, else the reward itself."""
    while not hasattr(reward, "reward_name") and hasattr(reward, "func"):
        reward = reward.func
    return reward


def _checked(
    scores: Any, reward: Reward, context: RewardContext, name: str, bounded: bool
) -> tuple[torch.Tensor, list[RewardError]]:
    """Values as a tensor with NaN for "does not apply", and the rows whose value will not do.

    Raises:
        ValueError: when it is not one number per episode.
    """
    values, applies = _as_tensors(scores, len(context))
    if getattr(reward, "needs_reference", False):
        applies = applies & context.reference.content_mask.any(1)
    problems = []
    bad = values.isnan() | values.isinf()
    if bounded:
        bad |= (values < -_SLACK) | (values > 1 + _SLACK)
    for row in (bad & applies).nonzero().flatten().tolist():
        allowed = "a float in [0, 1]" if bounded else "a finite number"
        problem = ValueError(f"returned {float(values[row]):g}, expected {allowed}")
        problems.append(_report(reward, name, context, row, problem))
    values = values.clamp(0, 1) if bounded else values
    return torch.where(applies & ~bad, values, torch.nan), problems


def _as_tensors(scores: Any, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    mask: Any = None
    if isinstance(scores, tuple) and len(scores) == 2 and not isinstance(scores[0], (int, float, type(None))):
        scores, mask = scores
    if hasattr(scores, "close") and (inspect.iscoroutine(scores) or inspect.isgenerator(scores)):
        scores.close()
    if inspect.isawaitable(scores) or inspect.isasyncgen(scores):
        raise ValueError(f"returned a {type(scores).__name__}: declare the reward itself 'async def', and await there")
    if inspect.isgenerator(scores):
        raise ValueError("returned a generator: it must return a list, where it has 'yield'")
    if isinstance(scores, (list, tuple)) and any(value is None for value in scores):
        present = [value is not None for value in scores]
        scores = [0.0 if value is None else value for value in scores]
        mask = present if mask is None else [a and bool(b) for a, b in zip(present, mask, strict=True)]
    try:
        values = _tensor(scores, torch.float32)
        if not values.dim():
            raise ValueError("it is one number")
        applies = torch.ones(len(values), dtype=torch.bool) if mask is None else _tensor(mask, torch.bool)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(scores).__name__
        raise ValueError(f"returned a {kind} that is not {count} floats: {error}") from None
    if values.shape != (count,) or applies.shape != (count,):
        shapes = f"shape {tuple(values.shape)}" + ("" if mask is None else f" and mask {tuple(applies.shape)}")
        raise ValueError(f"returned {shapes}, expected ({count},): one float per episode")
    return values, applies


def _tensor(values: Any, dtype: torch.dtype) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach().to("cpu", dtype)
    if isinstance(values, (str, bytes, Mapping)) or values is None:
        raise TypeError("expected a tensor, an array or a list")
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"expected numbers, got {array.dtype}")
    return torch.from_numpy(np.array(array)).to(dtype)


def _report(reward: Reward, name: str, context: RewardContext, row: int | None, error: BaseException) -> RewardError:
    """One line: who, what, where, on which example."""
    what = str(error) if isinstance(error, ValueError) and error.__traceback__ is None else _named(error)
    where = _raised_at(reward, error) or plugins.location(reward)
    example = f"the batch of {len(context)}" if row is None else f"episode {row}"
    shown = row if row is not None else 0
    texts = ", ".join(
        f"{label} {_short(text)}"
        for label, text in (
            ("query", _text(context.query, shown)),
            ("answer", _text(context.generated, shown)),
            ("reference", _text(context.reference, shown)),
        )
    )
    at = f" at {where}" if where else ""
    return RewardError(f"reward {name!r}: {what}{at}; {example}: {texts}", row)


def _named(error: BaseException) -> str:
    text = text_of(error)
    if isinstance(error, ValueError) and text.startswith("returned "):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _raised_at(reward: Reward, error: BaseException) -> str:
    """The deepest line of the user's own file in the traceback."""
    own = plugins.source_file(reward)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if own and frame.filename == own]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _text(tokens: Any, row: int) -> str:
    try:
        return tokens.select([row]).text[0]
    except Exception as error:  # the example must not hide the error that it illustrates
        return f"<not decodable: {type(error).__name__}>"


def _short(text: str, limit: int = 120) -> str:
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
