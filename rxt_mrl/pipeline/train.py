"""From a recipe to a model that remembers: supervised stages, MRL or its control, an evaluation after each.

Data, tokenizer and settings are loaded and checked before anything is written; from then on each stage starts from
the checkpoint of the one before, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from rich.console import Console

from ..dialogues.tokenizer import FILE as TOKENIZER_FILE
from ..dialogues.tokenizer import DialogueTokenizer
from ..display import busy, say
from ..errors import UserError, termination
from ..evaluation.plots import plot_retention, plot_stages
from ..evaluation.questions import read
from ..evaluation.report import Results, retention_table, write_retention
from ..evaluation.subjects.rxt import RxTSubject
from ..files import WriteError, read_json, reason, write_json
from ..model import COMPONENTS, RxT, products
from ..mrl.config import for_stage
from ..mrl.stages import Stage
from ..mrl.trainer import Training, train_mrl
from ..reports.learning import plot_run
from ..reports.write import write_report
from ..runs import RunDir, checkpoints, ranks
from ..runs.trackers import check_trackers
from ..seeding import key
from ..supervised.config import STAGE_SETTINGS, MemoryAwareSettings, StageName
from ..supervised.curves import held_out_line, plot_learning
from ..supervised.held_out import PREFIX
from ..supervised.stages import last_checkpoint, run_stage
from . import extension, plugin_files, provenance
from .data import RunData
from .fits import check_workers
from .measure import Measuring, effect_lines
from .recipe import Recipe
from .rehearsal import rehearse_workers
from .start import HEAD_FILE, NOTE_FILE, initial_components, initial_head, initial_model, load_head


def train(
    recipe: Recipe, *, out: Path | None = None, resume: bool = False, overwrite: bool = False, console: Console
) -> Path:
    """Run a recipe, or go on with it.

    Args:
        recipe: what to run.
        out: the run directory; None: ``runs/<name>-seed<seed>-<time>``.
        resume: go on with the run in ``out``.
        overwrite: replace the run in ``out``.
        console: for progress, the table and where everything lies.

    Returns:
        The run directory.

    Raises:
        UserError: for data, plug-ins or directories that do not fit, in one line.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with everything kept that ``resume`` needs.
    """
    stages = [getattr(recipe.supervised, name) for name in STAGE_SETTINGS]
    if not recipe.curriculum and not any(stage is not None and stage.updates != 0 for stage in stages):
        raise UserError("the recipe trains nothing: give a supervised stage or a curriculum")
    if resume and out is None:
        raise UserError("--resume: give the run directory with --out")
    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other")
    if out is None:
        now = ranks.of_main(lambda: f"{datetime.now():%Y%m%d-%H%M%S}")
        out = Path("runs") / f"{recipe.name}-seed{recipe.seed}-{now}"
    if not resume:
        ranks.of_main(lambda: RunDir.check_free(out, overwrite=overwrite))
    run = _opened(lambda: RunDir.resume(out)) if resume else None
    more: list[str] = []
    with contextlib.ExitStack() as leaving:
        if ranks.size() == 1:  # what starts several ends them by SIGTERM when one is gone
            leaving.enter_context(termination())
        if run is not None:
            leaving.callback(run.close)
            provenance.check_version(run.recipe_path)
            recipe, more = extension.compared(recipe, run)
        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
        check_trackers(recipe.report_to)
        with busy("reading the data and training the tokenizer", lines=True):
            data = RunData(recipe, _tokenizer_of(out) if resume else None)
        with busy("checking data, rewards and environment", lines=True):
            data.check(complete=() if run is None else run.progress)
            check_workers(recipe)
            model = initial_model(recipe, data.tokenizer)  # before anything is written: it may not fit
        if recipe.rollout.workers and recipe.curriculum and recipe.control != "supervised":
            stage = recipe.curriculum[0]
            if run is None or more or "mrl" not in run.progress:
                setup = data.setup(stage, *next(iter(stage.parts)))
                with busy("trying the workers", lines=True):
                    ranks.of_main(lambda: rehearse_workers(setup, model, recipe.rollout))
        if run is None:
            if recipe.products == "auto":
                chosen = ranks.of_main(lambda: products.choose(model.config))
                recipe = recipe.model_copy(update={"products": chosen})
            text = provenance.recipe_text(recipe)
            run = _opened(lambda: RunDir.create(out, text, overwrite=overwrite))
            leaving.callback(run.close)
        try:
            if ranks.is_main():
                if more:
                    extension.begin(run, recipe, more)
                for line in more:
                    console.print(f"going on   {line}", soft_wrap=True, markup=False, highlight=False)
                data.tokenizer.save(run.path / _TOKENIZER)
                for line in plugin_files.keep(recipe, run.path):
                    console.print(line, soft_wrap=True, markup=False, highlight=False)
            else:
                console = Console(quiet=True)
            ranks.wait()
            assert recipe.products != "auto"
            with products.using(recipe.products):
                if ranks.is_main():
                    values = recipe.model_dump(mode="json")
                    run.report_to(recipe.report_to, project=recipe.name, configuration=values)
                _Pipeline(recipe, data, run, model, console).run()
        except (KeyboardInterrupt, UserError, OSError) as error:
            what = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
            console.print(f"{what}; go on with: {_resume_command(run)}", soft_wrap=True, markup=False, highlight=False)
            raise
    return run.path


def _opened(opening: Callable[[], RunDir]) -> RunDir:
    """The run directory that the main process opens; others write to the same one, without a lock of their own."""
    opened: list[RunDir] = []

    def path() -> Path:
        opened.append(opening())
        return opened[0].path

    there = ranks.of_main(path)
    return opened[0] if opened else RunDir(there)


_TOKENIZER = Path("checkpoints", "tokenizer")


def _tokenizer_of(run: Path) -> DialogueTokenizer | None:
    """A run's tokenizer; None where the run was stopped before it was written.

    Raises:
        UserError: when it is gone: the models of the run know no other.
    """
    if (run / _TOKENIZER / TOKENIZER_FILE).is_file():
        return checkpoints.load_tokenizer(run / _TOKENIZER)
    if RunDir(run).progress:
        raise UserError(
            f"--resume: {run / _TOKENIZER}: the run's tokenizer is gone; each of its checkpoints has the same "
            f"{TOKENIZER_FILE}, copy one there"
        )
    return None


def _resume_command(run: RunDir) -> str:
    return f"rxt-mrl train {quote(str(run.recipe_path))} --out {quote(str(run.path))} --resume"


class _Pipeline:
    """One run under way: the model walks from stage to stage."""

    def __init__(self, recipe: Recipe, data: RunData, run: RunDir, model: RxT, console: Console) -> None:
        self.recipe, self.data, self.run_dir, self.console = recipe, data, run, console
        self.started = time.monotonic()
        self.tokenizer = data.tokenizer
        self.model, self.device = model, model.device
        self.measuring = Measuring(data)
        self.results: dict[str, dict[str, Any]] = dict(run.progress)
        self.head = initial_head(recipe)
        self.components = initial_components(recipe)
        self._last: Path | None = None

    def run(self) -> None:
        """All stages that are not complete yet, then the report."""
        if self.recipe.model.checkpoint is not None or not any(self._planned(name) for name in STAGE_SETTINGS):
            self._stage("start", lambda: {"seconds": 0.0, "updates": 0})  # what the run begins with, measured beside it
        for name in STAGE_SETTINGS:
            self._stage(name, lambda name=name: self._supervised(name))
        if self.recipe.curriculum:
            self._stage("mrl", self._mrl)
        if ranks.is_main():
            self._report()

    # --- stages ---

    def _stage(self, name: str, train: Any) -> None:
        """Pass over a complete stage, or train it, save it, measure it and mark it as complete."""
        folder = self.run_dir.path / "checkpoints" / name
        if name in self.results:
            self._last = folder
            self._carry_on(folder, self.results[name])
            return
        self._load_last()
        trained = folder / NOTE_FILE
        if trained.is_file():  # interrupted while it was measured
            note = read_json(trained, "delete it, and --resume trains this stage again")
            self.model = checkpoints.load(trained.parent)[0].to(self.device)
        else:
            if self.recipe.compile:
                self.model.compile_parts()
            note = train()
            if note is None:
                return
            checkpoints.save(self.run_dir.checkpoint_dir(name), self.model, self.tokenizer)
            note["components"] = sorted({*self.components, *note.get("components", ())})
            if ranks.is_main():
                if self.head is not None and not (folder / HEAD_FILE).is_file():
                    shutil.copyfile(self.head, folder / HEAD_FILE)
                write_json(trained, note)
            ranks.wait()
        answers, whole = self.run_dir.evaluation_dir / "answers.parquet", name in ("start", "memory_aware", "mrl")
        note["retention"] = ranks.of_main(lambda: self.measuring.retention(self.model, name, answers, whole=whole))
        for source, gain in note.get("sampled_reward", {}).items():  # beside recall and score in retention.json
            note["retention"][source]["sampled_reward"] = gain
        self.results[name] = note
        self.run_dir.complete(name, note)
        self.run_dir.path = ranks.of_main(self.run_dir.take_place)
        self._carry_on(self.run_dir.path / "checkpoints" / name, note)
        self._report_stage(name, note)

    def _load_last(self) -> None:
        """The model of the last complete stage, where a resumed run has passed over it."""
        if self._last is not None:
            self.model = checkpoints.load(self._last)[0].to(self.device)
            self._last = None

    def _carry_on(self, folder: Path, note: dict[str, Any]) -> None:
        """What the next stage has to know of a stage that is complete."""
        self.components = tuple(note.get("components", self.components))
        if (folder / HEAD_FILE).is_file():
            self.head = folder / HEAD_FILE

    def _planned(self, name: StageName) -> bool:
        settings = getattr(self.recipe.supervised, name)
        return settings is not None and settings.updates != 0

    def _supervised(self, name: StageName) -> dict[str, Any] | None:
        if not self._planned(name):
            return None
        settings = getattr(self.recipe.supervised, name)
        rows = self.data.supervised(name)
        resume_from = last_checkpoint(self.run_dir, name)
        self.run_dir.rewind(name, 0 if resume_from is None else int(resume_from.name.rpartition("-")[2]))
        head = None
        if name in ("joint", "interaction") and self.head is not None:
            head = load_head(self.head, self.model.config).to(self.device)
        trained = run_stage(
            name,
            self.model,
            self.tokenizer,
            rows,
            settings,
            self.run_dir,
            self.recipe.seed,
            resume_from,
            mlm_head=head,
            held_out=None if settings.evaluate is None else self.data.supervised_held_out(name),
        )
        note: dict[str, Any] = {name: trained[name] for name in ("seconds", "updates", "tokens")}
        looked = {name.removeprefix(PREFIX): value for name, value in trained.items() if name.startswith(PREFIX)}
        return note | {"components": settings.components} | ({"held_out": looked} if looked else {})

    def _mrl(self) -> dict[str, Any]:
        recipe, stages = self.recipe, self.recipe.curriculum
        embedding = self._reward_embedding()
        before = ranks.of_main(lambda: self.measuring.before(self.run_dir, self.model, embedding))
        started = time.monotonic()
        if recipe.control == "supervised":
            updates = self._supervised_control(stages[-1])
        else:
            algorithm = recipe.algorithm
            if recipe.control == "frozen_memory":
                algorithm = algorithm.model_copy(update={"freeze_memory": True})
            training = Training(
                self.data.mrl,
                stages,
                reward=recipe.reward,
                env=recipe.env,
                algorithm=algorithm,
                rollout=recipe.rollout,
                validation=self.data.validation,
                embedding=embedding,
                seed=recipe.seed,
            )
            trained = train_mrl(self.model, self.tokenizer, training, self.run_dir, resume=True)
            updates = sum(trained.updates)
        seconds = time.monotonic() - started
        gain = ranks.of_main(lambda: self.measuring.gain(self.run_dir, self.model, embedding, before))
        note = {"seconds": seconds, "updates": updates, "control": recipe.control, "sampled_reward": gain}
        return note | {"components": COMPONENTS}

    def _supervised_control(self, last: Stage) -> float:
        """The control that spends MRL's time on supervised training: the dialogues of the last curriculum stage, and
        the gradient bounded as MRL bounds it."""
        aware = self.recipe.supervised.memory_aware or MemoryAwareSettings(updates=1)
        algorithm = for_stage(self.recipe.algorithm, last)
        settings = aware.model_copy(
            update={
                "steps": last.most_steps,
                "truncate": algorithm.truncate_scan,
                "bounded": algorithm.bound_scan,
                "steps_from": (),
                "updates": 1_000_000,
                "epochs": None,
                "max_seconds": self.recipe.control_seconds,
                "evaluate": None,
                "optimizer": aware.optimizer.model_copy(
                    update={"learning_rate": aware.optimizer.learning_rate * self.recipe.control_rate}
                ),
            }
        )
        rows = self.data.control(last)
        seed = key(self.recipe.seed, "control") % 2**31
        return run_stage("memory_aware", self.model, self.tokenizer, rows, settings, None, seed)["updates"]

    def _reward_embedding(self) -> torch.Tensor:
        """The frozen embedding of rewards: the model's own before MRL, whatever becomes of it in training."""
        return self.model.embedding.weight.detach().clone().cpu()

    # --- reports ---

    def _report_stage(self, name: str, note: dict[str, Any]) -> None:
        self.console.print(
            f"[bold]{name}[/bold]: {note['updates']:.0f} updates in {note['seconds']:.0f} s", highlight=False
        )
        if "held_out" in note:
            self.console.print(f"  held out: {held_out_line(note['held_out'])}", highlight=False, markup=False)
        for source, result in note["retention"].items():
            recall = "-" if result["recall"] is None else f"{100 * result['recall']:.1f} %"
            line = f"  {source}: recall {recall} at {result['steps']} steps, PPL {result['ppl']:.2f}"
            self.console.print(line, highlight=False, markup=False)

    def _report(self) -> None:
        results = {name: note["retention"] for name, note in self.results.items()}
        if self.recipe.evaluation_sources:
            self.console.print(retention_table(results))
        say(self.console, effect_lines(self.results) + list(self.recipe.beside))
        folder = self.run_dir.path
        try:
            with busy("writing report and pictures"):
                report = self._write(results) if self.recipe.evaluation_sources else []
                pictures = [*self._pictures(results), *self._curves()]
        except (OSError, WriteError) as error:
            said = str(error) if isinstance(error, UserError) else f"{self.run_dir.evaluation_dir}: {reason(error)}"
            raise UserError(f"{said}; everything is trained and measured, only the report is missing") from error
        board = folder / "tensorboard"
        self._print(
            [
                f"run        {folder}",
                *report,
                *(f"picture    {path}" for path in pictures),
                f"model      {checkpoints.locate(folder)}",
                f"metrics    {folder / 'metrics.jsonl'}",
                *([f"           tensorboard --logdir {quote(str(board))}"] if board.is_dir() else []),
                f"rollouts   {folder / 'rollouts'}",
                *([f"talk to it rxt-mrl chat {quote(str(folder))}"] if self.recipe.evaluation_sources else []),
                f"time       {time.monotonic() - self.started:.0f} s",
            ]
        )

    def _write(self, results: Results) -> list[str]:
        """Write ``retention.json`` and the page of figures; where they are."""
        self._load_last()
        subject = RxTSubject(self.model, self.tokenizer, self.recipe.name)
        path = write_retention(self.run_dir, results, target={"name": subject.name, **subject.about()})
        answers = self.run_dir.evaluation_dir / "answers.parquet"
        questions = read(answers) if answers.is_file() else None  # of a run that is only reported again
        page = write_report(self.run_dir.evaluation_dir, read_json(path), questions)[0]
        return [f"report     {path}", f"page       {page}"]

    def _print(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _curves(self) -> list[Path]:
        """How the run learnt, and the learning curve of each stage that looked at held-out data."""
        lines = self.run_dir.logged()
        folder = self.run_dir.evaluation_dir
        whole = plot_run(lines, folder / "learning.png", f"How {self._name} learnt")
        names = [name for name, note in self.results.items() if "held_out" in note]
        curves = (
            plot_learning([line for line in lines if line["section"] == name], folder / f"learning-{name}.png", name)
            for name in names
        )
        return [*([whole] if whole else []), *curves]

    @property
    def _name(self) -> str:
        """What pictures call the model."""
        return f"{self.recipe.name}, seed {self.recipe.seed}"

    def _pictures(self, results: Results) -> list[Path]:
        """``stages.png`` and ``retention.png`` of the main source; those of another carry its name."""
        pictures = []
        for place, source in enumerate(self.recipe.evaluation_sources):
            stages = {name: sources[source] for name, sources in results.items()}
            last = list(stages.values())[-1]
            if last["recall"] is None:  # the data does not say which facts are asked
                continue
            folder, suffix = self.run_dir.evaluation_dir, f"-{source}.png" if place else ".png"
            of = f" on {source}" if len(self.recipe.evaluation_sources) > 1 else ""
            named = f"{self._name}{of}"
            after = f"{named}, after {list(stages)[-1].replace('_', ' ')}"
            pictures.append(plot_stages(stages, folder / f"stages{suffix}", f"Recall after each stage: {named}"))
            pictures.append(plot_retention(last, folder / f"retention{suffix}", f"Retention curve: {after}"))
        return pictures
