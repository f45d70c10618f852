"""The run directory: everything that a run leaves behind, at places that do not move.

::

    recipe.yaml              the resolved recipe, with versions and git state
    progress.json            which stages are complete, and what the pipeline noted about each
    running                  while a process trains here: which
    metrics.jsonl            one line per logged step: {"section", "step", "time", ...}
    tensorboard/
    trackers.json            what other trackers have got
    checkpoints/<stage>/     safetensors + config + tokenizer, and the trainer's state
    rollouts/*.jsonl
    evaluation/              retention.json, *.png
    plugins/                 the files of plug-ins, as they were when the run began or went on
    not_finite/*.pt          the batch of an update that was stopped by NaN or infinity
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..files import WriteError, read_json, reason, write_json, write_text
from . import ranks
from .contents import foreign, listed
from .lock import FILE as LOCK
from .lock import Lock
from .trackers import TENSORBOARD, Trackers, Wanted

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_MARK = "recipe.yaml"


class RunDir:
    """A run directory that is open for writing.

    Args:
        path: an existing run directory; use :meth:`create` or :meth:`resume` to get one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._takes: Path | None = None
        self._lock: Lock | None = None
        self._tensorboard: SummaryWriter | None = None
        self._draws = True
        self._trackers: Trackers | None = None

    @classmethod
    def create(cls, path: Path, recipe: str, *, overwrite: bool = False) -> RunDir:
        """Start a run of ``recipe`` (the text of its file) in an empty or new directory.

        One that replaces another is begun beside it, as ``<path>.new``, and takes its place with its first complete
        stage (:meth:`take_place`): until then the other one is as it was.

        Raises:
            UserError: as :meth:`check_free`, or when the directory cannot be made.
        """
        cls.check_free(path, overwrite=overwrite)
        replaces = cls.holds_run(path)
        run = cls(_beside(path) if replaces else path)
        made = not run.path.exists()
        try:
            run.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--out {run.path}: cannot be written to ({reason(error)})") from error
        run._lock = Lock(run.path)
        try:
            write_text(run.recipe_path, recipe)
        except BaseException:  # nothing is left that would have to be removed by hand
            run.close()
            if made:
                run.path.rmdir()
            raise
        if replaces:
            run._takes = path
        return run

    @classmethod
    def check_free(cls, path: Path, *, overwrite: bool = False) -> None:
        """Whether a run may start in ``path``; nothing is changed.

        Raises:
            UserError: when ``path`` is a file, holds a run and ``overwrite`` is False, or holds something else; for
                ``overwrite`` also when a process is training there, or the folder holds what no run has written.
        """
        if os.path.lexists(path) and not path.is_dir():
            what = "a link to nothing" if path.is_symlink() else "a file"
            raise UserError(f"--out {path}: is {what}, give a directory")
        if not path.is_dir():
            return
        inside = [name for name in listed(path) if name not in (LOCK, f"{_MARK}.part")]  # of one that was killed
        if not inside:
            return
        if not cls.holds_run(path):
            raise UserError(
                f"--out {path}: holds files that are not a run ({inside[0]}); give a new or empty directory"
            )
        if not overwrite:
            raise UserError(f"--out {path}: already holds a run; --resume goes on with it, --overwrite replaces it")
        if theirs := foreign(path):
            raise UserError(f"--overwrite: {path} holds {theirs}, which is not of a run; move it away first")
        if path.is_symlink() or path.resolve() == Path.cwd() or path.is_mount():
            raise UserError(f"--overwrite: {path} is a link, a mount point or the working directory; empty it yourself")
        if listed(_beside(path)):
            raise UserError(
                f"--overwrite: {_beside(path)} is left of an earlier one that did not complete a stage; go on with it "
                "by --resume, or remove it"
            )
        if listed(_aside(path)):
            raise UserError(f"--overwrite: {_aside(path)} is in the way of the old run; move it away first")
        Lock(path).release()

    def take_place(self) -> Path:
        """Replace the run that ``overwrite`` named, which is removed; where there is none, nothing is done.

        Returns:
            Where this run is now.

        Raises:
            UserError: when a process trains there now, or it cannot be moved; both runs are whole then.
        """
        if self._takes is None:
            return self.path
        place, old = self._takes, _aside(self._takes)
        lock = Lock(place)  # nobody may begin there in between
        self._close_tensorboard()  # it writes by the old path
        try:
            os.rename(place, old)
            os.rename(self.path, place)
        except OSError as error:
            raise UserError(
                f"--overwrite: {place} cannot be replaced ({reason(error)}); the new run is {self.path}"
            ) from error
        assert self._lock is not None
        self._lock.moved(place)
        self.path, self._takes = place, None
        if self._trackers is not None:
            self._trackers.moved(place)
        lock.moved(old)
        lock.release()
        if foreign(old) is None:  # what a user has put there since stays, beside the run
            shutil.rmtree(old, ignore_errors=True)
        return place

    @classmethod
    def resume(cls, path: Path) -> RunDir:
        """Open a run that was started before.

        Raises:
            UserError: when there is no run, or another process is training in it.
        """
        if not cls.holds_run(path):
            raise UserError(f"--resume: no run in {path} (no {_MARK} there)")
        run = cls(path)
        run._lock = Lock(path)
        return run

    @staticmethod
    def holds_run(path: Path) -> bool:
        """Whether ``path`` is a run directory."""
        return (path / _MARK).is_file()

    # --- places ---

    @property
    def recipe_path(self) -> Path:
        """The resolved recipe."""
        return self.path / _MARK

    @property
    def evaluation_dir(self) -> Path:
        """Where retention reports and pictures go."""
        return self.path / "evaluation"

    def checkpoint_dir(self, stage: str) -> Path:
        """``checkpoints/<stage>``, made if it is not there."""
        folder = self.path / "checkpoints" / stage
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def rollout_path(self, name: str) -> Path:
        """``rollouts/<name>.jsonl``."""
        return self.path / "rollouts" / f"{name}.jsonl"

    def dump_path(self, name: str) -> Path:
        """``not_finite/<name>.pt``, for the batch of an update that was stopped."""
        return self.path / "not_finite" / f"{name}.pt"

    # --- progress ---

    @property
    def progress(self) -> dict[str, Any]:
        """What :meth:`complete` noted, by stage name, in the order of completion."""
        path = self.path / "progress.json"
        advice = "delete it, and --resume measures again what was trained, without training it again"
        return read_json(path, advice) if path.is_file() else {}

    def complete(self, stage: str, note: Mapping[str, Any]) -> None:
        """Mark a stage as complete, with a JSON-able note for later stages and the report."""
        if ranks.is_main():
            write_json(self.path / "progress.json", {**self.progress, stage: dict(note)})

    def reopen(self, stage: str) -> None:
        """Take back that a stage is complete, so that it goes on."""
        left = {name: note for name, note in self.progress.items() if name != stage}
        if stage in self.progress:
            write_json(self.path / "progress.json", left)

    # --- metrics ---

    def report_to(self, wanted: Wanted, *, project: str, configuration: Mapping[str, Any]) -> None:
        """Begin the trackers that get what is logged; without this call TensorBoard does.

        Args:
            wanted: names, with arguments for each.
            project: what they file the run under.
            configuration: plain values that the run is described by.

        Raises:
            UserError: for one that is unknown, not installed or cannot be begun.
        """
        self._draws = TENSORBOARD in wanted
        if set(wanted) - {TENSORBOARD} and ranks.is_main():
            place = (self._takes or self.path).resolve()
            name = f"{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:6]}"
            self._trackers = Trackers(self.path, wanted, project=project, run=name, configuration=configuration)
            self._trackers.send(self.logged())

    def metrics(self, values: Mapping[str, float], step: int, section: str) -> None:
        """Log scalars of one step to ``metrics.jsonl`` and TensorBoard (as ``section/name``)."""
        if not ranks.is_main():
            return
        numbers = {name: float(value) for name, value in values.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        line = {"section": section, "step": step, "time": round(time.time(), 3), **finite}
        path = self.path / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise WriteError(path, error) from error
        if self._trackers is not None:
            self._trackers.send([line])
        if not self._draws:
            return
        try:
            if self._tensorboard is None:
                self._tensorboard = self._open_tensorboard()  # writes this line too
            else:
                self._draw(self._tensorboard, line)
        except OSError as error:
            raise WriteError(self.path / "tensorboard", error) from error

    def _open_tensorboard(self) -> SummaryWriter:
        """A writer of its own for this process: what others left may end in half a line or in updates done again."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self.path / "tensorboard"
        for left in folder.glob("events.*"):
            left.unlink()
        writer = SummaryWriter(str(folder))
        for line in _whole_lines(self.path / "metrics.jsonl"):
            self._draw(writer, line)
        return writer

    @staticmethod
    def _draw(writer: SummaryWriter, line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            if name not in ("section", "step", "time"):
                number = math.nan if value is None else value
                writer.add_scalar(f"{line['section']}/{name}", number, line["step"], walltime=line["time"])

    def logged(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``."""
        path = self.path / "metrics.jsonl"
        return _whole_lines(path) if path.is_file() else []

    def rewind(self, section: str, step: int, *, again: str | None = None) -> None:
        """Forget the logged lines of ``section`` that a resumed stage writes again.

        Args:
            section: of the metrics.
            step: lines after it are forgotten.
            again: also the lines of this very step that hold this name.
        """
        path = self.path / "metrics.jsonl"
        if not path.is_file() or not ranks.is_main():
            return
        kept = [
            line
            for line in _whole_lines(path)
            if line["section"] != section or line["step"] < step or (line["step"] == step and again not in line)
        ]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        if self._trackers is not None:
            self._trackers.rewound(kept)

    def _close_tensorboard(self) -> None:
        if self._tensorboard is not None:
            with contextlib.suppress(OSError):  # a full disk: the next process writes it anew from metrics.jsonl
                self._tensorboard.close()
            self._tensorboard = None

    def close(self) -> None:
        """Flush and close what is open; others may train here."""
        self._close_tensorboard()
        if self._trackers is not None:
            self._trackers.close()
            self._trackers = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _aside(path: Path) -> Path:
    return path.with_name(path.name + ".old")


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file; a last line that a killed process left half written is dropped."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    whole = []
    for number, line in enumerate(lines):
        try:
            whole.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines) - 1:
                raise UserError(f"{path} line {number + 1}: not JSON") from None
    return whole
