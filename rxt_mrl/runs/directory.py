"""The run directory: everything that a run leaves behind, at places that do not move.

::

    recipe.yaml              the resolved recipe, with versions and git state
    progress.json            which stages are complete, and what the pipeline noted about each
    metrics.jsonl            one line per logged step: {"section", "step", "time", ...}
    tensorboard/
    checkpoints/<stage>/     safetensors + config + tokenizer, and the trainer's state
    rollouts/*.jsonl
    evaluation/              retention.json, *.png
    not_finite/*.pt          the batch of an update that was stopped by NaN or infinity
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from . import ranks

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_MARK = "recipe.yaml"


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a killed process leaves the old file or the new one, never half of one."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


class RunDir:
    """A run directory that is open for writing.

    Args:
        path: an existing run directory; use :meth:`create` or :meth:`resume` to get one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tensorboard: SummaryWriter | None = None

    @classmethod
    def create(cls, path: Path, *, overwrite: bool = False) -> RunDir:
        """Start a run in an empty or new directory.

        Raises:
            UserError: as :meth:`check_free`, or when the directory cannot be made.
        """
        cls.check_free(path, overwrite=overwrite)
        try:
            if path.exists():
                shutil.rmtree(path)
            for name in ("checkpoints", "rollouts", "evaluation", "tensorboard"):
                (path / name).mkdir(parents=True)
        except OSError as error:
            raise UserError(f"--out {path}: cannot be written ({error.strerror})") from error
        return cls(path)

    @classmethod
    def check_free(cls, path: Path, *, overwrite: bool = False) -> None:
        """Whether a run may start in ``path``; nothing is changed.

        Raises:
            UserError: when ``path`` is a file, holds a run and ``overwrite`` is False, or holds something else.
        """
        if path.exists() and not path.is_dir():
            raise UserError(f"--out {path}: is a file, give a directory")
        if path.is_dir() and any(path.iterdir()):
            if not cls.holds_run(path):
                raise UserError(f"--out {path}: holds files that are not a run; give a new or empty directory")
            if not overwrite:
                raise UserError(f"--out {path}: already holds a run; --resume goes on with it, --overwrite replaces it")

    @classmethod
    def resume(cls, path: Path) -> RunDir:
        """Open a run that was started before.

        Raises:
            UserError: when there is no run.
        """
        if not cls.holds_run(path):
            raise UserError(f"--resume: no run in {path} (no {_MARK} there)")
        return cls(path)

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
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def complete(self, stage: str, note: Mapping[str, Any]) -> None:
        """Mark a stage as complete, with a JSON-able note for later stages and the report."""
        if ranks.is_main():
            write_json(self.path / "progress.json", {**self.progress, stage: dict(note)})

    # --- metrics ---

    def metrics(self, values: Mapping[str, float], step: int, section: str) -> None:
        """Log scalars of one step to ``metrics.jsonl`` and TensorBoard (as ``section/name``)."""
        if not ranks.is_main():
            return
        numbers = {name: float(value) for name, value in values.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        line = {"section": section, "step": step, "time": round(time.time(), 3), **finite}
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._tensorboard is None:
            from torch.utils.tensorboard import SummaryWriter

            self._tensorboard = SummaryWriter(str(self.path / "tensorboard"))
        for name, value in numbers.items():
            self._tensorboard.add_scalar(f"{section}/{name}", value, step)

    def logged(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``."""
        path = self.path / "metrics.jsonl"
        return _whole_lines(path) if path.is_file() else []

    def rewind(self, section: str, step: int) -> None:
        """Forget the logged lines of ``section`` after ``step``: a resumed stage writes them again."""
        path = self.path / "metrics.jsonl"
        if not path.is_file() or not ranks.is_main():
            return
        kept = [line for line in _whole_lines(path) if line["section"] != section or line["step"] <= step]
        temporary = path.with_name("metrics.jsonl.part")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        os.replace(temporary, path)

    def close(self) -> None:
        """Flush and close what is open."""
        if self._tensorboard is not None:
            self._tensorboard.close()
            self._tensorboard = None


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file; a last line that a killed process left half written is dropped."""
    lines = path.read_text(encoding="utf-8").splitlines()
    whole = []
    for number, line in enumerate(lines):
        try:
            whole.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines) - 1:
                raise UserError(f"{path} line {number + 1}: not JSON") from None
    return whole
