"""The table of an RxT beside its stateless peer: same held-out dialogues, same measures, and what a turn costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from ..display import Bars, say, table
from ..evaluation.cost import turn_costs
from ..evaluation.intervals import paired_gain
from ..evaluation.parts import claim
from ..evaluation.questions import write
from ..evaluation.report import joined
from ..evaluation.retention import evaluate
from ..evaluation.subjects.causal_lm import load_causal_lm
from ..evaluation.subjects.protocol import Subject
from ..evaluation.subjects.rxt import RxTSubject
from ..reports.figures import written
from ..reports.tables import rows_of
from ..reports.write import write_report
from ..runs import checkpoints, write_json
from .data import RunData
from .pair import Pair
from .targets import weights_of

RXT, PEER = "RxT", "stateless peer"


def compare_with_peer(
    pair: Pair, peer: Path, *, steps: Sequence[int], episodes: int, console: Console, folder: Path | None = None
) -> Path:
    """Measure both on dialogues of several lengths, and write and print the tables.

    Args:
        pair: the RxT, with its checkpoint, and its recipe.
        peer: folder of the peer.
        steps: follow-ups of the dialogues.
        episodes: held-out dialogues of each length.
        console: where to print.
        folder: for the results; None: ``evaluation`` in the peer's folder, with a digest where it holds others.

    Returns:
        The folder with ``retention.json`` (models in place of stages), ``answers.parquet`` and ``report.html``.
    """
    assert pair.checkpoint is not None, "the RxT has to be trained"
    rxt = RxTSubject(*checkpoints.load(pair.checkpoint), name=RXT)
    subjects: dict[str, Subject[Any]] = {RXT: rxt, PEER: load_causal_lm(str(peer))}
    source = pair.recipe.evaluation_sources[0]
    plan = {
        "models": [weights_of(pair.checkpoint), weights_of(peer)],
        "data": [source, *steps, episodes],
        "recipe": pair.recipe.model_dump(mode="json"),
    }
    folder = claim(folder or peer / "evaluation", plan, beside=folder is None)
    held_out = {count: _held_out(pair, source, count, episodes) for count in steps}
    talk = pair.data.dialogues("validation", max(steps), 8, source=source, seed=0)
    results: dict[str, dict[str, Any]] = {}
    frames = []
    for name, subject in subjects.items():
        found = results[name] = {}
        cost = turn_costs(subject, talk)
        for count, (data, settings) in held_out.items():
            label = f"{count} follow-ups"
            with Bars(transient=True) as bars:
                measured = evaluate(subject, data, settings, advance=bars.add(name).counted)
            found[label] = {**measured.to_json(), "subject": subject.about(), "cost": cost}
            frames.append(measured.questions.assign(stage=name, source=label))
            console.print(f"{name}, {label}: recall {written(found[label]['recall'], 'percent')} %", highlight=False)
    questions = pd.concat(frames, ignore_index=True)
    document = joined(results, target={"name": f"{RXT} and its {PEER}", "kind": "comparison"})
    write(questions, folder / "answers.parquet")
    write_json(folder / "retention.json", document)
    page = write_report(folder, document, questions)[0]
    for made in (*(_measures(results, label) for label in results[RXT]), _costs(results)):
        console.print(made)
    say(console, _better(results))
    console.print(f"report     {page}", highlight=False, soft_wrap=True)
    return folder


def _held_out(pair: Pair, source: str, steps: int, episodes: int) -> tuple[Any, Any]:
    settings = pair.recipe.evaluation.model_copy(update={"steps": steps, "episodes": episodes, "data": (source,)})
    recipe = pair.recipe.model_copy(update={"evaluation": settings})
    return RunData(recipe, pair.data.tokenizer).held_out(source), settings


def _measures(results: dict[str, dict[str, Any]], label: str) -> Table:
    """All measures at one length, recall by distance below them."""
    found = [results[name][label] for name in (RXT, PEER)]
    made = table("", RXT, PEER, title=f"Both on the same held-out dialogues of {label}")
    headings, rows = rows_of({name: {label: results[name][label]} for name in (RXT, PEER)})
    for name, *cells in list(zip(headings, *rows, strict=True))[1:]:
        made.add_row(name, *cells)
    shares = [one["recall_by_distance"] or {} for one in found]
    for distance in sorted(set().union(*shares), key=int):
        made.add_row(f"recall % at distance {distance}", *(written(one.get(distance), "percent") for one in shares))
    return made


def _costs(results: dict[str, dict[str, Any]]) -> Table:
    costs = [next(iter(results[name].values()))["cost"] for name in (RXT, PEER)]
    made = table("", RXT, PEER, title="Cost of a turn: milliseconds, processed tokens")
    for turn in costs[0]["turns"]:
        timed = (cost["turns"][turn] for cost in costs)
        made.add_row(f"turn {turn}", *(f"{one['milliseconds']:.1f} ms, {one['tokens']:,}" for one in timed))
    made.add_row("carried on, MB", *(f"{cost['state_mb']:.3f}" for cost in costs))
    made.add_row("peak, MB", *(written(cost["peak_mb"], "one") for cost in costs))
    return made


def _better(results: dict[str, dict[str, Any]]) -> list[str]:
    """Who is better where: the paired difference of each dialogue's recall and score, with its interval."""
    lines = []
    for label in next(iter(results.values())):
        for key, unit, scale in (("recall", "points", 100.0), ("score", "points of 10", 1.0)):
            ours, theirs = (np.array(results[name][label]["by_dialogue"][key], dtype=float) for name in (RXT, PEER))
            known = ~np.isnan(ours) & ~np.isnan(theirs)
            if known.sum() < 2:
                continue
            gain = paired_gain(scale * theirs[known], scale * ours[known])
            who = RXT if gain.low > 0 else PEER if gain.high < 0 else "neither by more than chance"
            between = f"{gain.mean:+.2f} {unit} ({gain.low:+.2f} to {gain.high:+.2f})"
            lines.append(f"{label}, {key}: RxT minus peer {between}; better: {who}")
    return lines
