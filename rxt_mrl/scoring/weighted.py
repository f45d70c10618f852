"""The weighted sum of rewards that training maximises, with metrics beside it.

``WeightedReward`` calls each term once per batch, checks what comes back, and adds it up:

- **Weights** are divided by their sum, so a total is in [0, 1] like its terms. A weight comes from the recipe, else
  from the ``@reward(weight=...)`` declaration, else it is 1.
- **Where a term does not apply** (`contracts.Scores`: ``None`` or ``applies=False``, e.g. fact recall where nothing
  is annotated) the other terms of that episode share its weight. An episode to which no term applies is not valid.
- **A term that fails** - an exception, NaN, a wrong number of values, a value outside [0, 1] - is reported with the
  term's name, the file and line, and the example. ``on_error="raise"`` stops there; ``"skip"`` logs it and makes that
  one episode invalid: masked, never counted as 0. To find the example, the term is called again row by row.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .. import plugins
from ..contracts import Reward, RewardContext, RewardSpec, RewardTerm
from ..errors import UserError

logger = logging.getLogger(__name__)

_SLACK = 1e-4
"""How far outside [0, 1] a value may be by rounding; it is clamped."""


class RewardError(UserError):
    """A reward failed on an example. ``row`` is the episode's index in the batch, or None for the batch as a whole."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


@dataclass(frozen=True)
class RewardResult:
    """What a weighted reward says about a batch. All tensors are on the CPU, ``(episodes,)``.

    Attributes:
        total: float32, the weighted mean of the terms that apply, in [0, 1]; 0 where not ``valid``.
        valid: bool; False where nothing applies or a term failed: such episodes must be masked.
        terms: float32 by term; NaN where the term does not apply or failed.
        metrics: the same for the metrics, which are not rewarded.
        weights: the normalised weight of each term.
        errors: what failed (only with ``on_error="skip"``).
    """

    total: torch.Tensor
    valid: torch.Tensor
    terms: dict[str, torch.Tensor]
    metrics: dict[str, torch.Tensor] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    errors: tuple[RewardError, ...] = ()

    def summary(self) -> dict[str, float]:
        """Numbers for a log: mean and std of the total and of each term, weighted means, share of valid episodes.

        A mean over nothing is left out.
        """
        out = {"valid": float(self.valid.float().mean()) if len(self.valid) else 0.0, "errors": float(len(self.errors))}
        out |= _moments("total", self.total[self.valid])
        for name, values in self.terms.items():
            known = values[~values.isnan()]
            out |= _moments(f"terms/{name}", known)
            if len(known):
                out[f"terms/{name}/weighted"] = float(known.mean()) * self.weights.get(name, 1.0)
        for name, values in self.metrics.items():
            out |= _moments(f"metrics/{name}", values[~values.isnan()])
        return out


@dataclass(frozen=True)
class _Term:
    name: str
    reward: Reward
    weight: float
    bounded: bool = True
    """False for a metric: any finite value will do."""


class WeightedReward:
    """A weighted mean of rewards, made from a :class:`RewardSpec`.

    Args:
        spec: terms, metrics and what to do about errors.

    Raises:
        UserError: for an unknown reward, options or a signature that do not fit, or weights that sum to 0.
    """

    def __init__(self, spec: RewardSpec) -> None:
        self.spec = spec
        self.on_error = spec.on_error
        loaded = [_load(term) for term in spec.terms]
        total = sum(weight for _, _, weight in loaded)
        if not total > 0:
            uses = ", ".join(term.use for term in spec.terms)
            raise UserError(f"reward terms {uses}: the weights sum to {total:g}, at least one must be above 0")
        taken: dict[str, int] = {}
        self._terms = [_Term(_unique(name, taken), fn, weight / total) for name, fn, weight in loaded]
        self._metrics = [_Term(_unique(n, taken), fn, 0.0, bounded=False) for n, fn, _ in map(_load, spec.metrics)]

    @property
    def weights(self) -> dict[str, float]:
        """The normalised weight of each term: they sum to 1."""
        return {term.name: term.weight for term in self._terms}

    @property
    def metric_names(self) -> list[str]:
        """Names of the metrics."""
        return [metric.name for metric in self._metrics]

    def __call__(self, context: RewardContext) -> RewardResult:
        """Score a batch.

        Raises:
            RewardError: when a term fails and ``on_error`` is ``raise``.
        """
        count = len(context)
        total = torch.zeros(count)
        shares = torch.zeros(count)
        failed = torch.zeros(count, dtype=torch.bool)
        values: dict[str, torch.Tensor] = {}
        errors: list[RewardError] = []
        for term in (*self._terms, *self._metrics):
            scores, problems = evaluate(term.reward, context, term.name, bounded=term.bounded)
            if problems and self.on_error == "raise":
                raise problems[0]
            if problems:
                logger.warning("skipped %d of %d episodes: %s", len(problems), count, problems[0])
            errors += problems
            values[term.name] = scores
            if not term.bounded:
                continue
            for problem in problems:
                failed[slice(None) if problem.row is None else problem.row] = True
            applies = ~scores.isnan()
            total += torch.where(applies, scores, 0.0) * term.weight
            shares += applies.float() * term.weight
        valid = (shares > 0) & ~failed
        total = torch.where(valid, total / shares.clamp(min=1e-12), 0.0).clamp(0, 1)
        return RewardResult(
            total=total,
            valid=valid,
            terms={term.name: values[term.name] for term in self._terms},
            metrics={metric.name: values[metric.name] for metric in self._metrics},
            weights=self.weights,
            errors=tuple(errors),
        )


def evaluate(
    reward: Reward, context: RewardContext, name: str, *, bounded: bool = True
) -> tuple[torch.Tensor, list[RewardError]]:
    """Call one reward on a batch and check what comes back; never raises for what the reward does wrong.

    Returns:
        float32 ``(episodes,)`` on the CPU, NaN where the reward does not apply or failed; and the failures.
    """
    try:
        return _checked(reward(context), reward, context, name, bounded)
    except Exception as error:  # whatever a user's reward raises
        whole: Exception = error
    if len(context) == 1:
        return torch.full((1,), torch.nan), [_report(reward, name, context, 0, whole)]
    values = torch.full((len(context),), torch.nan)
    problems: list[RewardError] = []
    for row in range(len(context)):  # an error has happened: find out where
        alone = context.select([row])
        try:
            values[row : row + 1], found = _checked(reward(alone), reward, alone, name, bounded)
        except Exception as error:
            problems.append(_report(reward, name, context, row, error))
        else:
            problems += [RewardError(str(item), row) for item in found]
    if not problems:
        # Each row works alone and the batch does not: no row can be blamed, and no value trusted.
        return torch.full_like(values, torch.nan), [_report(reward, name, context, None, whole)]
    return values, problems


def as_reward(target: Any, label: str, options: Mapping[str, Any]) -> Reward:
    """Make a reward of a class, function or object, in our convention or TRL's.

    Raises:
        UserError: when options or signature do not fit.
    """
    from .trl import from_trl  # it needs this module

    if _is_trl(target):
        return from_trl(target, **_trl_options(label, options))
    made = plugins.build(target, label, dict(options))
    if _is_trl(made):  # an instance of a class that is called as TRL calls
        return from_trl(made)
    check_signature(made, label)
    return made


def check_signature(reward: Any, label: str) -> None:
    """Check that ``reward(context)`` is a possible call.

    Raises:
        UserError: when it is not.
    """
    where = plugins.location(reward)
    where = f" ({where})" if where else ""
    wanted = "a reward is called as reward(context) and returns one float in [0, 1] per episode"
    if not callable(reward):
        raise UserError(f"{label}{where} is not callable, it is a {type(reward).__name__}; {wanted}")
    try:
        signature = inspect.signature(reward)
    except (TypeError, ValueError):  # a builtin that does not tell: the first call will
        return
    try:
        signature.bind(object())
    except TypeError as error:
        raise UserError(f"{label}{where} has the signature {signature} ({error}); {wanted}") from None


def _trl_options(label: str, options: Mapping[str, Any]) -> dict[str, Any]:
    allowed = ("low", "high", "columns", "conversational")
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise UserError(f"{label} is in TRL's convention: unknown option {unknown[0]!r}; allowed: {', '.join(allowed)}")
    return dict(options)


def _is_trl(target: Any) -> bool:
    if inspect.isclass(target) or not callable(target) or hasattr(target, "plugin_target"):
        return False
    try:
        return "completions" in inspect.signature(target).parameters
    except (TypeError, ValueError):
        return False


def _load(term: RewardTerm) -> tuple[str, Reward, float]:
    fn = plugins.load("reward", term.use, **term.options)
    declared = fn
    while not hasattr(declared, "reward_name") and hasattr(declared, "func"):  # functools.partial
        declared = declared.func
    name = getattr(declared, "reward_name", None) or term.use.rpartition(":")[2].replace("-", "_")
    weight = term.weight if "weight" in term.model_fields_set else getattr(declared, "reward_weight", term.weight)
    return name, fn, float(weight)


def _unique(name: str, taken: dict[str, int]) -> str:
    taken[name] = taken.get(name, 0) + 1
    return name if taken[name] == 1 else f"{name}_{taken[name]}"


def _checked(
    scores: Any, reward: Reward, context: RewardContext, name: str, bounded: bool
) -> tuple[torch.Tensor, list[RewardError]]:
    """Values as a tensor with NaN for "does not apply", and the rows whose value will not do.

    Raises:
        ValueError: when it is not one number per episode.
    """
    values, applies = _as_tensors(scores, len(context))
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
    if isinstance(scores, (list, tuple)) and any(value is None for value in scores):
        present = [value is not None for value in scores]
        scores = [0.0 if value is None else value for value in scores]
        mask = present if mask is None else [a and bool(b) for a, b in zip(present, mask, strict=True)]
    try:
        values = _tensor(scores, torch.float32)
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


def _report(reward: Reward, name: str, context: RewardContext, row: int | None, error: Exception) -> RewardError:
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


def _named(error: Exception) -> str:
    text = str(error).replace("\n", " ")
    if isinstance(error, ValueError) and text.startswith("returned "):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _raised_at(reward: Reward, error: Exception) -> str:
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


def _moments(name: str, values: torch.Tensor) -> dict[str, float]:
    if not len(values):
        return {}
    return {f"{name}/mean": float(values.mean()), f"{name}/std": float(values.std(correction=0))}


Score = Callable[[RewardContext], RewardResult]
"""What environments call: a :class:`WeightedReward`, or any function like it."""
