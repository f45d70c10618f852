"""``reward check``: what a reward pays for good answers and for tricks, and what it cannot tell apart."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..contracts import MissingColumnError, Mode, Reward, RewardContext
from ..display import say, table
from ..errors import UserError
from .check_cases import CASES, GOOD, KINDS, NEVER_TOLD_KINDS, Batch, Kind, batch
from .load import load_reward
from .values import RewardError, evaluate_reward, name_of

APART = 0.5
"""A trick is told apart when it earns at most this share of what the right answer earns, and less in every case; a good
answer when it earns more than this share."""
SAME = 0.9
"""From this share on, a trick is not told apart at all."""


@dataclass(frozen=True)
class KindScore:
    """What answers of one kind earn over the bundled dialogues."""

    mean: float
    low: float
    high: float
    share: float
    """Mean in parts of the right answers' mean."""
    passed: bool


@dataclass(frozen=True)
class CheckReport:
    """The outcome of a check.

    Attributes:
        spec: what was checked.
        mode: the step mode that it was checked in; the first in which the reward applies.
        kinds: scores by kind of answer; empty when the reward could not be used at all.
        seconds_per_thousand: time for 1,000 answers.
        errors: what is broken, one line each.
        remarks: what is odd, one line each.
        declared: kinds that the reward itself says it fails (``blind_to``).
    """

    spec: str
    mode: Mode = "standard"
    kinds: dict[Kind, KindScore] = field(default_factory=dict)
    seconds_per_thousand: float = 0.0
    errors: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    declared: frozenset[str] = frozenset()

    @property
    def ok(self) -> bool:
        """Whether the reward works: nothing raised, and every value was one in [0, 1]."""
        return not self.errors

    @property
    def failed(self) -> frozenset[Kind]:
        """Kinds that the reward does not treat as they deserve."""
        return frozenset(kind for kind, score in self.kinds.items() if not score.passed)

    def sentences(self) -> list[str]:
        """What the reward cannot tell apart, in words."""
        if "right" not in self.kinds:
            return []
        right = self.kinds["right"].mean
        if right <= 0:
            return ["It gives the right answer nothing, so nothing can be told apart."]
        out = []
        tricks = {kind: score for kind, score in self.kinds.items() if kind not in GOOD and not score.passed}
        same = [kind for kind, score in tricks.items() if score.share >= SAME]
        partly = [kind for kind, score in tricks.items() if score.share < SAME]
        if same:
            out.append(f"It cannot tell from the right answer: {_listing(same)}.")
        if partly:
            out.append(f"It tells only partly apart from the right answer: {_listing(partly)}.")
        lost = [kind for kind in GOOD if kind in self.kinds and kind != "right" and not self.kinds[kind].passed]
        if lost:
            out.append(f"It gives less than half of the right answer's score to a good answer: {_listing(lost)}.")
        if right < APART:
            out.append(f"The right answer itself earns only {right:.2f}.")
        return out or ["It tells every trick of the suite from the right answer."]

    def table(self) -> Table:
        """The scores as a table."""
        title = f"{escape(self.spec)} ({self.mode} step): answers to {len(CASES)} questions"
        made = table("answer", "what it is", "mean", "min", "max", "of right", "", title=title, text=2)
        for kind, score in self.kinds.items():
            verdict = "[green]pass[/]" if score.passed else "[red]fail[/]"
            made.add_row(
                kind,
                KINDS[kind],
                f"{score.mean:.2f}",
                f"{score.low:.2f}",
                f"{score.high:.2f}",
                f"{score.share:.0%}",
                verdict,
            )
        return made

    def print(self, console: Console | None = None) -> None:
        """Print the table, the time, errors and what the reward cannot tell apart."""
        out = console or Console()
        if self.kinds:
            out.print(self.table())
            out.print(f"{1e3 * self.seconds_per_thousand:.1f} ms per 1,000 answers", highlight=False)
        for error in self.errors:
            out.print(f"[red]error[/] {escape(error)}", highlight=False, soft_wrap=True)
        say(out, [*self.remarks, *self.sentences()])

    def raise_if_broken(self) -> None:
        """Raise where the reward cannot be used, or failed on an answer.

        Raises:
            UserError: the first error, and how many more there are.
        """
        if self.errors:
            more = len(self.errors) - 1
            raise UserError(self.errors[0] + (f" (and {more} more)" if more else ""))

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        return {
            "reward": self.spec,
            "mode": self.mode,
            "ok": self.ok,
            "kinds": {kind: vars(score) for kind, score in self.kinds.items()},
            "failed": sorted(self.failed),
            "seconds_per_thousand": self.seconds_per_thousand,
            "errors": list(self.errors),
            "remarks": list(self.remarks),
            "sentences": self.sentences(),
        }


def check_reward(
    spec: Any,
    options: Mapping[str, Any] | None = None,
    *,
    mode: Mode | None = None,
    columns: Mapping[str, Any] | None = None,
) -> CheckReport:
    """Run a reward on the bundled answers; it reports what is broken and does not raise.

    Args:
        spec: a name, ``package.module:Name``, ``file.py:Name``, or the reward itself.
        options: its options.
        mode: the mode of the steps; by default the first in which the reward applies.
        columns: columns that the reward needs of the data, with the value that every case has.
    """
    label = spec if isinstance(spec, str) else name_of(spec)
    try:
        reward = load_reward(spec, **dict(options or {}))
    except UserError as error:
        return CheckReport(label, errors=(str(error),))
    modes: tuple[Mode, ...] = (mode,) if mode else get_args(Mode)
    try:
        return _check(label, reward, modes, columns)
    except MissingColumnError as error:
        return CheckReport(label, errors=(f"{error} (give the bundled dialogues one: --column NAME=VALUE)",))


def _check(label: str, reward: Reward, modes: tuple[Mode, ...], columns: Mapping[str, Any] | None) -> CheckReport:
    values, cases = torch.empty(0), batch(modes[0], columns)
    errors: list[RewardError] = []
    for tried in modes:
        cases = batch(tried, columns)
        evaluate_reward(reward, cases.context.select([0]), label)  # loads models and the like, which is not timed
        started = time.perf_counter()
        values, errors = evaluate_reward(reward, cases.context, label)
        seconds = time.perf_counter() - started
        if errors or not values.isnan().all():
            break
    else:
        return CheckReport(label, modes[0], remarks=(f"It applies to no step of mode {', '.join(modes)}.",))
    found: Mode = cases.context.mode
    if errors:
        return CheckReport(label, found, _scores(values, cases), errors=_distinct(errors), declared=_declared(reward))
    remarks: list[str] = []
    if seconds < 2:  # once more: for the better time, and to see whether it is repeatable
        seconds, remarks = _again(reward, values, batch(found, columns).context, label, seconds)
    told = values.view(-1, len(cases.kinds))[:, [kind not in NEVER_TOLD_KINDS for kind in cases.kinds]]
    if told.isnan().any():  # that nothing is to be said about what was never told is no oddity
        remarks.append(f"It does not apply to {int(told.isnan().sum())} of {told.numel()} answers.")
    per_thousand = 1000 * seconds / len(values)
    return CheckReport(label, found, _scores(values, cases), per_thousand, (), tuple(remarks), _declared(reward))


def _again(
    reward: Reward, values: torch.Tensor, fresh: RewardContext, label: str, seconds: float
) -> tuple[float, list[str]]:
    started = time.perf_counter()
    second, _ = evaluate_reward(reward, fresh, label)
    seconds = min(seconds, time.perf_counter() - started)
    remarks = []
    if not torch.allclose(values, second, atol=1e-4, equal_nan=True):
        remarks.append("It gives the same answer another score when asked again.")
    rows = list(range(0, len(fresh), 7))
    alone = torch.cat([evaluate_reward(reward, fresh.select([row]), label)[0] for row in rows])
    if not remarks and not torch.allclose(values[rows], alone, atol=1e-3, equal_nan=True):
        remarks.append("The score of an answer depends on the other answers of its batch.")
    return seconds, remarks


def _scores(values: torch.Tensor, cases: Batch) -> dict[Kind, KindScore]:
    table = values.view(-1, len(cases.kinds))
    right = table[:, cases.kinds.index("right")]
    known = right[~right.isnan()]
    base = float(known.mean()) if len(known) else 0.0
    out: dict[Kind, KindScore] = {}
    for column, kind in enumerate(cases.kinds):
        score = table[:, column]
        there = ~score.isnan()
        if not there.any():
            continue
        mean = float(score[there].mean())
        share = mean / base if base > 0 else 0.0
        if kind == "right":
            passed = base > 0
        elif kind in GOOD:
            passed = base > 0 and share > APART
        else:
            both = there & ~right.isnan()
            passed = base > 0 and share <= APART and bool((score[both] < right[both]).all())
        out[kind] = KindScore(mean, float(score[there].min()), float(score[there].max()), share, passed)
    return out


def _distinct(errors: list[RewardError], limit: int = 3) -> tuple[str, ...]:
    """The first error of each kind, by what it says before the example, numbers apart."""
    first: dict[str, str] = {}
    for error in errors:
        first.setdefault(re.sub(r"[\d.]+", "", str(error).partition("; episode")[0]), str(error))
    shown = list(first.values())[:limit]
    more = len(errors) - len(shown)
    return (*shown, f"and {more} more of {len(batch().context)} answers") if more > 0 else tuple(shown)


def _declared(reward: Reward) -> frozenset[str]:
    return frozenset(getattr(reward, "blind_to", ()))


def _listing(kinds: Sequence[Kind]) -> str:
    return ", ".join(kinds)
