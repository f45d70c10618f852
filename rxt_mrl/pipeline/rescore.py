"""``rxt-mrl rescore``: score stored rollouts with another reward."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..contracts import RewardSpec, RewardTerm
from ..display import table
from ..errors import UserError
from ..evaluation.retention import fixed_embedding
from ..files import write_text
from ..mrl.journal import rescore
from ..runs import RunDir, checkpoints

_SHOWN = 5


def rescore_command(
    rollouts: Path, rewards: Sequence[str], *, out: Path | None = None, tokenizer: Path | None = None, console: Console
) -> Path:
    """Score a file of rollouts again, and write its lines with the new reward.

    Lines that are broken, and those of an episode that they leave with a hole, are left out and told.

    Args:
        rollouts: a ``.jsonl`` file of a run's rollouts.
        rewards: names, dotted paths or ``file.py:Name``; their sum counts. Rewards on embeddings get fixed random ones.
        out: what is written; None: ``<rollouts>-rescored.jsonl`` beside it.
        tokenizer: a folder; None: that of the run which the file lies in.
        console: where to print.

    Returns:
        The file that was written.

    Raises:
        UserError: no rollouts, no tokenizer, or a reward that does not fit.
    """
    if not rollouts.is_file():
        raise UserError(
            f"rescore: {rollouts} is {'a folder' if rollouts.is_dir() else 'not there'}; give a .jsonl file"
        )
    if out is not None and out.exists() and out.samefile(rollouts):
        raise UserError(f"rescore: --out {out} is the file of the rollouts, which stays as it is; give another")
    path = out or rollouts.with_name(f"{rollouts.stem}-rescored.jsonl")
    if path.exists() and not _is_rescored(path):
        raise UserError(f"rescore: {path} is there and is not of an earlier rescoring; give another with --out")
    run = rollouts.resolve().parent.parent
    folder = tokenizer or run / "checkpoints" / "tokenizer"
    if tokenizer is None and not (RunDir.holds_run(run) and folder.is_dir()):
        raise UserError(f"rescore: {rollouts} lies in no run; name the folder of its tokenizer with --tokenizer")
    loaded = checkpoints.load_tokenizer(folder)
    broken: list[str] = []
    spec = RewardSpec(terms=tuple(RewardTerm(use=reward) for reward in rewards))
    try:
        rows = rescore(rollouts, spec, loaded, embedding=fixed_embedding(loaded.vocab_size), broken=broken)
    except UserError as error:
        raise UserError(
            f"{error} ({len(broken)} lines left out; the first: {broken[0]})" if broken else str(error)
        ) from error
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    for problem in broken[:_SHOWN]:
        console.print(f"left out: {problem}", highlight=False, soft_wrap=True, markup=False)
    if len(broken) > _SHOWN:
        console.print(f"left out: {len(broken) - _SHOWN} more", highlight=False)
    console.print(_table(rows, " + ".join(rewards)))
    partly = f" (partial: {len(broken)} lines left out)" if broken else ""
    console.print(f"wrote {path}: {len(rows)} answers{partly}", highlight=False, soft_wrap=True, markup=False)
    return path


def _is_rescored(path: Path) -> bool:
    """Whether a file was written by this command."""
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and "reward_before" in first


def _table(rows: Sequence[Mapping[str, Any]], reward: str) -> Table:
    """Mean rewards before and now, by step."""
    made = table("step", "answers", "before", "now", title=f"Mean reward: as it was, and {reward}", text=0)
    for step in sorted({row["step"] for row in rows}):
        some = [row for row in rows if row["step"] == step]
        made.add_row(str(step), *_means(some))
    made.add_section()
    made.add_row("all", *_means(rows))
    return made


def _means(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    weights = [row.get("times", 1) for row in rows]
    means = []
    for key in ("reward_before", "reward"):
        known = [(row[key], times) for row, times in zip(rows, weights, strict=True) if row[key] is not None]
        total = sum(times for _, times in known)
        means.append(f"{sum(value * times for value, times in known) / total:.4f}" if total else "-")
    return str(sum(weights)), means[0], means[1]
