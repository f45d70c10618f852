"""``rxt-mrl evaluate``: measure what a target remembers, on any dialogues, with controls; and go on if interrupted."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from ..display import Bars, busy, say, screen
from ..errors import UserError
from ..evaluation.config import EvaluationSettings
from ..evaluation.parts import Parts, claim
from ..evaluation.plots import plot_retention
from ..evaluation.questions import write
from ..evaluation.report import Results, joined, retention_table
from ..evaluation.retention import Retention, evaluate
from ..plugins import find, source_digest, untrusted
from ..reports.write import write_report
from ..runs import write_json
from ..texts import counted
from . import provenance
from .recipe_files import override, texts_of
from .targets import HeldOut, Target, held_out, open_target

DEFAULT_SOURCE = "storyworld"
"""What a target is measured on that lies in no run, where no source is named."""


def evaluate_target(
    target: str,
    *,
    data: Sequence[str] = (),
    split: str | None = None,
    steps: int | None = None,
    episodes: int | None = None,
    tokenizer: Path | None = None,
    out: Path | None = None,
    as_json: bool = False,
    assignments: Sequence[str] = (),
    trust_code: bool = False,
    console: Console,
) -> Path:
    """Evaluate a target on held-out dialogues.

    The results go to ``evaluation/<stage>-<sources>-<steps>/`` of the run that the target lies in, else to
    ``evaluations/<target>-<sources>-<steps>/``; what else differs from the run's recipe, or from the defaults, follows
    in the name. Where a folder of this name holds other results all the same (of other weights, or of a file of the
    same name elsewhere), a digest follows. The same command goes on with an evaluation that was interrupted.

    Args:
        target: a run (its last complete stage), a checkpoint folder (in a run or not), a published checkpoint (folder
            or Hub id), ``hf:NAME_OR_FOLDER``, ``oracle``, ``random`` or ``echo``.
        data: names of the recipe's sources, or anything that ``rxt-mrl data`` reads; empty: as the recipe says.
        split: of the sources that are not the recipe's; None: validation, and of a single file all.
        steps: follow-ups of each dialogue; None: as the recipe says.
        episodes: held-out dialogues; None: as the recipe says.
        tokenizer: folder with the tokenizer of a checkpoint that brings none.
        out: folder for the results: new, empty, or of the same evaluation.
        as_json: print JSON in place of the table.
        assignments: ``--set`` changes of the recipe (the score's reward, the controls, ...).
        trust_code: run the Python files that a run's stored recipe names.
        console: where to print.

    Returns:
        The folder with ``retention.json`` and ``answers.parquet``.

    Raises:
        UserError: no such target, data that do not fit, a stored recipe that names code, or an ``out`` that holds
            something else.
        KeyboardInterrupt: after Ctrl-C, with the results so far written and marked as partial.
    """
    changes = list(assignments)
    changes += [f"evaluation.steps={steps}"] if steps is not None else []
    changes += [f"evaluation.episodes={episodes}"] if episodes is not None else []
    # The run may be somebody else's: what its recipe names is not what the user named.
    names = untrusted(f"the recipe of {target}", given={*texts_of(changes), *data})
    with nullcontext() if trust_code else names:
        opened = open_target(target, changes, tokenizer)
        default = opened.data.recipe.evaluation_sources if opened.data is not None else (DEFAULT_SOURCE,)
        if not (data or default):
            raise UserError(f"{target}: its recipe measures nothing; name a source with --data")
        sources = [held_out(opened, source, split) for source in dict.fromkeys(data or default)]
        if len({source.name for source in sources}) < len(sources):
            raise UserError(f"--data: two sources are called {sources[-1].name!r} in reports; rename a file or folder")
        if not opened.settings.score and any(change.startswith("evaluation.reward=") for change in changes):
            raise UserError("--reward scores nothing, since evaluation.score is false; add --set evaluation.score=true")
        plan = {source.name: _plan(opened, source) for source in sources}
        folder = claim(out or _folder(opened, sources, changes), plan, beside=out is None)
        work = _Evaluation(opened, sources, folder, console, as_json)
        try:
            work.run()
        except KeyboardInterrupt:
            work.interrupted()
            raise
        with busy("writing the report"):
            path = work.write()
    if as_json:
        console.print_json(path.read_text(encoding="utf-8"))
        return folder
    work.say(path)
    return folder


@dataclass
class _Evaluation:
    """One evaluation under way."""

    target: Target
    sources: Sequence[HeldOut]
    folder: Path
    console: Console
    as_json: bool
    done: dict[str, Retention] = field(default_factory=dict)

    def run(self) -> None:
        """All sources; what is done is kept after every batch."""
        with Bars(transient=True, console=screen(machine=self.as_json)) as bars:
            for source in self.sources:
                bar = bars.add(source.name)
                self.done[source.name] = evaluate(
                    source.subject,
                    source.dialogues,
                    source.settings,
                    keeper=self._parts(source),
                    advance=bar.counted,
                )

    def write(self, so_far: Mapping[str, int] | None = None) -> Path:
        """All files; ``so_far`` marks the results of an interrupted evaluation."""
        frames = [result.questions.assign(stage=self.target.name, source=name) for name, result in self.done.items()]
        questions = pd.concat(frames, ignore_index=True)
        write(questions, self.folder / "answers.parquet")
        subject = self.sources[0].subject
        about = {"name": subject.name, **subject.about()}
        path = self.folder / "retention.json"
        document = joined(self.results, target=about, partial=so_far)
        write_json(path, document)
        write_report(self.folder, document, questions)
        if so_far is None:
            shutil.rmtree(self.folder / "parts", ignore_errors=True)
        return path

    def interrupted(self) -> None:
        """Write what is done, marked as partial, unless complete results are there."""
        for source in self.sources:
            questions = None if source.name in self.done else self._parts(source).questions()
            if questions is not None:
                self.done[source.name] = Retention(questions, source.settings)
        if not self.done:
            return
        so_far = {
            "answered": sum(result.questions["dialogue"].nunique() for result in self.done.values()),
            "of": sum(len(_selected(source)) for source in self.sources),
        }
        said = f"interrupted after {so_far['answered']} of {so_far['of']} dialogues; the same command goes on"
        path = self.folder / "retention.json"
        if not path.is_file() or json.loads(path.read_text(encoding="utf-8")).get("partial"):
            said += f"; so far: {self.write(so_far)}"
        Console(stderr=True).print(said, highlight=False, soft_wrap=True)

    @property
    def results(self) -> Results:
        """By stage and source."""
        return {self.target.name: {name: result.to_json() for name, result in self.done.items()}}

    def say(self, path: Path) -> None:
        """Print the table and where everything lies."""
        results = self.results
        self.console.print(retention_table(results))
        for name, result in results[self.target.name].items():
            say(self.console, _remarks(name, result))
        lines = [f"report     {path}", f"answers    {self.folder / 'answers.parquet'}"]
        lines += [f"page       {self.folder / 'report.html'}"]
        for name, result in results[self.target.name].items():
            if result["recall"] is not None:
                picture = self.folder / ("retention.png" if name == self.sources[0].name else f"retention-{name}.png")
                plot_retention(result, picture, f"Retention curve: {self._measured} on {name}")
                lines.append(f"picture    {picture}")
        for line in lines:
            self.console.print(line, highlight=False, soft_wrap=True, markup=False)

    @property
    def _measured(self) -> str:
        """What a picture calls the target: in a run its recipe, seed and stage."""
        if self.target.run is None:
            return self.target.name
        recipe = provenance.stored_recipe(self.target.run.recipe_path)
        return f"{recipe['name']}, seed {recipe['seed']}, after {self.target.name.replace('_', ' ')}"

    def _parts(self, source: HeldOut) -> Parts:
        return Parts(self.folder / "parts" / source.name)


def _plan(target: Target, source: HeldOut) -> dict[str, Any]:
    """Everything that the results on a source depend on."""
    return {
        "target": target.identity,
        "subject": source.subject.about(),
        "dialogues": source.digest,
        "settings": source.settings.model_dump(mode="json", exclude={"batch_size"}),
        "rewards": {use: source_digest(find("reward", use)) for use in _files(source.settings)},
    }


def _files(settings: EvaluationSettings) -> list[str]:
    """The rewards that are files, which may say something else the next time."""
    spec = settings.reward if settings.score else None
    return [term.use for term in (*spec.terms, *spec.metrics) if ".py" in term.use] if spec else []


def _remarks(name: str, result: Mapping[str, Any]) -> list[str]:
    """What a table has no column for, a line each."""
    lines = []
    if result["recall"] is None:
        lines.append(f"{name}: no annotated facts, so recall is not measured (bits need none)")
    bits = result["bits"]
    if bits is not None and bits["agreement"] is not None:
        share, count, worth = 100 * bits["agreement"], bits["questions"], bits["told_median"]
        lines.append(
            f"{name}: the interaction whose omission costs most is the one that told the fact for {share:.1f} % of "
            f"{counted(count, 'question')}; it is worth {worth:.2f} bits in the median"
        )
    gain = result["memory_gain"]["wiped"]
    if gain is not None:
        between = "-" if gain["ci95"] is None else "{:.2f} to {:.2f}".format(*gain["ci95"])
        lines.append(f"{name}: memory gain {gain['mean']:.2f} bits per answer (95 % {between})")
    if result["dropped"]["questions"]:
        lines.append(
            f"{name}: the oldest interactions were left out for {result['dropped']['questions']} questions "
            f"({100 * result['dropped']['share']:.1f} %), since the history did not fit"
        )
    return lines


def _selected(source: HeldOut) -> range:
    episodes = source.settings.episodes
    return range(len(source.dialogues) if episodes is None else min(episodes, len(source.dialogues)))


def _folder(target: Target, sources: Sequence[HeldOut], changes: Sequence[str]) -> Path:
    """Where the results go; the name says what they depend on."""
    steps = sources[0].settings.steps or sources[0].dialogues.steps
    stored = provenance.stored_recipe(target.run.recipe_path) if target.run is not None else {}
    name = f"{target.name}-{'+'.join(source.name for source in sources)}-{steps}{changes_in_name(stored, changes)}"
    return (target.run.evaluation_dir if target.run is not None else Path("evaluations")) / name


def changes_in_name(stored: Mapping[str, Any], assignments: Sequence[str]) -> str:
    """What a folder's name says of the keys that differ from the run's recipe, steps and sources left out.

    >>> changes_in_name({"evaluation": {"episodes": 10}}, ["evaluation.episodes=4", "evaluation.steps=3"])
    '-episodes=4'
    """
    said = []
    content = dict(stored)
    for assignment in assignments:
        before, content = content, override(content, [assignment])
        if content != before and assignment.partition("=")[0].strip() not in ("evaluation.data", "evaluation.steps"):
            said.append(assignment.strip().removeprefix("evaluation."))
    text = "".join(f"-{change}" for change in said)
    plain = re.sub(r"[^A-Za-z0-9._=-]+", "_", text)[:80]
    # A name has no room for every value: what it cannot say is told apart by a digest.
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
