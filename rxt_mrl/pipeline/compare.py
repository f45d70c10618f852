"""``rxt-mrl compare``: evaluations, or stages of runs, on the questions that they share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from ..display import table
from ..errors import UserError
from ..evaluation.compare import Comparison, Difference, compare
from ..evaluation.intervals import paired_gain
from ..evaluation.questions import read
from ..files import read_json, read_tensors
from ..runs import RunDir, checkpoints

_FILE = "answers.parquet"


@dataclass(frozen=True)
class Evaluated:
    """What is compared.

    Attributes:
        name: as the user called it.
        questions: of one stage.
        sampled: rewards of sampled answers by source and dialogue, where the run has measured them.
        partial: whether the evaluation was interrupted.
    """

    name: str
    questions: pd.DataFrame
    sampled: Mapping[str, np.ndarray]
    partial: bool

    @property
    def sources(self) -> list[str]:
        """In their order."""
        return list(dict.fromkeys(self.questions["source"]))


def compare_command(targets: Sequence[str], *, as_json: bool, console: Console) -> None:
    """Compare each evaluation with the first one.

    Args:
        targets: folders of ``rxt-mrl evaluate``, ``answers.parquet`` files, runs (their last stage), or
            ``RUN/checkpoints/STAGE``; at least two.
        as_json: print JSON in place of tables.
        console: where to print.

    Raises:
        UserError: nothing to compare, or no questions in common.
    """
    if len(targets) < 2:
        raise UserError("compare: give at least two evaluations")
    first, *others = [open_evaluation(target) for target in targets]
    found: list[dict[str, Any]] = []
    for other in others:
        for name, pair in _pairs(first, other).items():
            comparison = _compared(first, other, pair)
            found.append({"first": first.name, "second": other.name, "source": name, **comparison.to_json()})
            if not as_json:
                console.print(_table(first, other, name, comparison))
                for line in _remarks(first, other, comparison):
                    console.print(line, highlight=False, soft_wrap=True, markup=False)
    if as_json:
        console.print_json(json.dumps(found))


def open_evaluation(target: str) -> Evaluated:
    """The questions that a user means.

    Raises:
        UserError: when nothing was evaluated there.
    """
    path = Path(target).expanduser()
    run = checkpoints.run_of(path) if path.is_dir() else None
    stage = path.name if run is not None and path.resolve().parent.name == "checkpoints" else None
    if path.is_file():
        file = path if path.suffix == ".parquet" else path.with_name(_FILE)
    elif run is not None and (stage is not None or RunDir.holds_run(path)):
        file = RunDir(run).evaluation_dir / _FILE
    else:
        file = path / _FILE
    if not file.is_file():
        raise UserError(f"compare: nothing was evaluated in {target} (no {file}); rxt-mrl evaluate {target} does it")
    questions = read(file)
    stages = list(dict.fromkeys(questions["stage"]))
    stage = stage or stages[-1]
    if stage not in stages:
        raise UserError(f"compare: {file} has no stage {stage!r}; it has: {', '.join(stages)}")
    sampled: Mapping[str, np.ndarray] = {}
    if run is not None and file.parent == RunDir(run).evaluation_dir:
        sampled = _sampled(run, "after" if stage == "mrl" else "before" if _before_mrl(stages, stage) else "")
    results = file.with_name("retention.json")
    partial = results.is_file() and bool(read_json(results).get("partial"))
    return Evaluated(target, questions[questions["stage"] == stage], sampled, partial)


def _before_mrl(stages: Sequence[str], stage: str) -> bool:
    return "mrl" in stages and stages.index(stage) == stages.index("mrl") - 1


def _sampled(run: Path, when: str) -> dict[str, np.ndarray]:
    file = run / "checkpoints" / "mrl" / f"reward_{when}.safetensors"
    return {name: rewards.numpy() for name, rewards in read_tensors(file).items()} if file.is_file() else {}


def _pairs(first: Evaluated, second: Evaluated) -> dict[str, tuple[str, str]]:
    """Which source of the one is compared with which of the other: those of one name, or the only ones."""
    shared = [name for name in first.sources if name in second.sources]
    if shared:
        return {name: (name, name) for name in shared}
    if len(first.sources) == len(second.sources) == 1:
        [one], [other] = first.sources, second.sources
        return {f"{one} / {other}": (one, other)}
    raise UserError(
        f"compare: no source in common: {first.name} has {', '.join(first.sources)}, "
        f"{second.name} has {', '.join(second.sources)}"
    )


def _compared(first: Evaluated, second: Evaluated, sources: tuple[str, str]) -> Comparison:
    parts = [
        side.questions[side.questions["source"] == name] for side, name in zip((first, second), sources, strict=True)
    ]
    comparison = compare(*parts)
    rewards = [side.sampled.get(name) for side, name in zip((first, second), sources, strict=True)]
    if rewards[0] is not None and rewards[1] is not None and rewards[0].shape == rewards[1].shape:
        before, after = (reward.astype(float) for reward in rewards if reward is not None)
        known = ~(np.isnan(before) | np.isnan(after))
        if known.sum() > 1:
            gain = paired_gain(before[known], after[known])
            difference = Difference(float(before[known].mean()), float(after[known].mean()), gain)
            comparison.differences["sampled_reward"] = difference
    return comparison


def _table(first: Evaluated, second: Evaluated, source: str, comparison: Comparison) -> Table:
    made = table(
        "", "A", "B", "B - A", "95 %", "dialogues", title=f"{source}: B = {second.name} against A = {first.name}"
    )
    for name, found in comparison.differences.items():
        scale, places = (100, 2) if name == "recall" else (1, 4)
        low, high = (f"{scale * value:+.{places}f}" for value in (found.gain.low, found.gain.high))
        made.add_row(
            "recall, %" if name == "recall" else name.replace("_", " "),
            *(f"{scale * value:.{places}f}" for value in (found.first, found.second)),
            f"{scale * found.gain.mean:+.{places}f}",
            f"{low} to {high}",
            str(found.gain.pairs),
        )
    return made


def _remarks(first: Evaluated, second: Evaluated, comparison: Comparison) -> list[str]:
    lines = [f"{side.name}: interrupted, these are its results so far" for side in (first, second) if side.partial]
    if comparison.left_out:
        lines.append(
            f"not the same questions: {comparison.questions} are shared and compared, {comparison.left_out} that only "
            "one of the two has are left out"
        )
    return lines
