"""The weighted sum of rewards that training maximises, with metrics beside it.

``WeightedReward`` calls each term once per batch, checks what comes back, and adds it up:

- **Weights** are divided by their sum, so a total is in [0, 1] like its terms. A weight comes from the recipe, else
  from the ``@reward(weight=...)`` declaration, else it is 1.
- **Where a term does not apply** (`contracts.Scores`: ``None`` or ``applies=False``, e.g. fact recall where nothing
  is annotated) the other terms of that episode share its weight. An episode to which no term applies is not valid.
- **Where a term counts**: at the steps, in the modes and for the strategy that the recipe names (``steps: last``); a
  reward declared with ``@reward(episode=True)`` at the last step. Elsewhere it does not apply.
- **A slow term** (:mod:`.slow`) is asked for all answers at once, while the others are computed.
- **A term that fails** - an exception, NaN, a wrong number of values, a value outside [0, 1] - is reported with the
  term's name, the file and line, and the example. ``on_error="raise"`` stops there; ``"skip"`` logs it and makes that
  one episode invalid: masked, never counted as 0. To find the example, the term is called again row by row.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from ..contracts import Mode, Reward, RewardContext, RewardSpec, RewardTerm, Strategy
from ..errors import UserError
from ..terms import mode_of
from .load import load_reward
from .slow import SlowReward
from .states import stateful
from .values import RewardError, begin_reward, declaration, name_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RewardResult:
    """What a weighted reward says about a batch. All tensors are on the CPU, ``(episodes,)``.

    Attributes:
        total: float32, the weighted mean of the terms that apply, in [0, 1]; 0 where not ``valid``.
        valid: bool; False where nothing applies or a term failed: such episodes must be masked.
        terms: float32 by term; NaN where the term does not apply or failed.
        metrics: the same for the metrics, which are not rewarded.
        weights: the normalised weight of each term.
        errors: what failed (only with ``on_error="skip"``), metrics too.
        failed: bool; where a term failed, so that the reward is unknown.
    """

    total: torch.Tensor
    valid: torch.Tensor
    terms: dict[str, torch.Tensor]
    metrics: dict[str, torch.Tensor] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    errors: tuple[RewardError, ...] = ()
    failed: torch.Tensor = field(kw_only=True)

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
    steps: Literal["all", "first", "last"] | tuple[int, ...] = "all"
    mode: tuple[Mode, ...] = ()
    strategy: Strategy | None = None
    identity: str = ""
    """Of the reward with its options, whatever else it stands beside."""

    def counts(self, step: int, steps: int, mode: Mode, strategy: Strategy) -> bool:
        """Whether the term is for this step of ``steps``."""
        if self.steps == "first" or self.steps == "last":
            here = step == (1 if self.steps == "first" else steps)
        else:
            here = self.steps == "all" or step in self.steps
        return here and mode in (self.mode or (mode,)) and self.strategy in (None, strategy)


class WeightedReward:
    """A weighted mean of rewards, made from a :class:`RewardSpec`.

    Args:
        spec: terms, metrics and what to do about errors.

    Attributes:
        stateful: the rewards that have a state (:mod:`.states`).

    Raises:
        UserError: for an unknown reward, options or a signature that do not fit, or weights that sum to 0.
    """

    def __init__(self, spec: RewardSpec) -> None:
        self.spec = spec
        self.on_error = spec.on_error
        loaded = [_load(term, bounded=True) for term in spec.terms]
        total = sum(term.weight for term in loaded)
        if not 0 < total < float("inf"):
            uses = ", ".join(term.use for term in spec.terms)
            raise UserError(
                f"reward terms {uses}: the weights sum to {total:g}, at least one must be above 0 and all finite"
            )
        taken: dict[str, int] = {}
        self._terms = [replace(term, name=_unique(term.name, taken), weight=term.weight / total) for term in loaded]
        metrics = [_load(term, bounded=False) for term in spec.metrics]
        self._metrics = [replace(term, name=_unique(term.name, taken), weight=0.0) for term in metrics]
        self.stateful: dict[str, Any] = {
            f"{term.name} {term.identity}": inner
            for term in (*self._terms, *self._metrics)
            if (inner := stateful(term.reward)) is not None
        }

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
        return self.start(context)()

    def start(self, context: RewardContext) -> Callable[[], RewardResult]:
        """Begin to score a batch; what comes back waits for slow terms, and is the call's result."""
        terms = (*self._terms, *self._metrics)
        begun = {
            term.name: begin_reward(term.reward, context, term.name, bounded=term.bounded)
            for term in sorted(terms, key=lambda term: not isinstance(term.reward, SlowReward))  # these go on meanwhile
            if term.counts(context.step, context.steps, context.mode, context.strategy)
        }
        return lambda: self._added_up(context, begun)

    @property
    def slow(self) -> bool:
        """Whether a term is a slow reward."""
        return any(isinstance(term.reward, SlowReward) for term in (*self._terms, *self._metrics))

    def idle(self, episodes: Collection[tuple[Strategy, int]]) -> list[str]:
        """The terms and metrics that count at no step of such episodes, given by strategy and number of steps."""
        places = [
            (step, steps, mode_of(strategy, step, steps), strategy)
            for strategy, steps in episodes
            for step in range(1, steps + 1)
        ]
        terms = (*self._terms, *self._metrics)
        return [term.name for term in terms if not any(term.counts(*place) for place in places)]

    def _added_up(self, context: RewardContext, begun: Mapping[str, Callable[[], Any]]) -> RewardResult:
        count = len(context)
        total = torch.zeros(count)
        shares = torch.zeros(count)
        failed = torch.zeros(count, dtype=torch.bool)
        values: dict[str, torch.Tensor] = {}
        errors: list[RewardError] = []
        for term in (*self._terms, *self._metrics):
            scores, problems = begun[term.name]() if term.name in begun else (torch.full((count,), torch.nan), [])
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
            failed=failed,
        )


def _load(term: RewardTerm, *, bounded: bool) -> _Term:
    fn = load_reward(term.use, **term.options)
    if stateful(fn) is not None:
        fn = deepcopy(fn)  # a file may hold the object itself, and two trainings would share its state
    if term.calls is not None:
        if not isinstance(fn, SlowReward):
            raise UserError(f"{term.use}: calls are of rewards that are async or declared @reward(concurrent=True)")
        fn = fn.with_calls(term.calls)
    declared = declaration(fn)
    own = name_of(fn) if term.use.endswith(".py") else term.use.rpartition(":")[2]
    name = getattr(declared, "reward_name", None) or own.replace("-", "_")
    weight = getattr(declared, "reward_weight", 1.0) if term.weight is None else term.weight
    whole = getattr(declared, "reward_episode", False)
    if whole and term.steps not in (None, "last"):
        raise UserError(f"{term.use} scores whole episodes, at their last step: steps = {term.steps!r} is not possible")
    steps = term.steps or ("last" if whole else "all")
    made_from = json.dumps([term.use, term.options], sort_keys=True, default=str)
    identity = hashlib.blake2b(made_from.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return _Term(name, fn, float(weight), bounded, steps, term.mode, term.strategy, identity)


def _unique(name: str, taken: dict[str, int]) -> str:
    taken[name] = taken.get(name, 0) + 1
    return name if taken[name] == 1 else f"{name}_{taken[name]}"


def _moments(name: str, values: torch.Tensor) -> dict[str, float]:
    if not len(values):
        return {}
    return {f"{name}/mean": float(values.mean()), f"{name}/std": float(values.std(correction=0))}
