"""What an evaluation has done so far, on disk, so that an interrupted one goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from .questions import write

_PLAN = "plan.json"


class Parts:
    """A folder with the questions of each batch that is done; implements :class:`~.retention.Keeper`.

    Args:
        folder: made if it is not there.
        plan: everything that the questions depend on; what was kept under another plan is forgotten.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.folder = folder
        content = json.dumps(plan, indent=2, sort_keys=True, default=str)
        path = folder / _PLAN
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            path.write_text(content, encoding="utf-8")

    def kept(self, name: str) -> pd.DataFrame | None:
        """What was kept under a name so far."""
        files = sorted(self.folder.glob(f"{name}-*.parquet"))
        return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True) if files else None

    def keep(self, name: str, questions: pd.DataFrame) -> None:
        """Keep the questions of some dialogues; a killed process leaves all of them or none."""
        write(questions, self.folder / f"{name}-{int(questions['dialogue'].min()):08d}.parquet")

    def questions(self) -> pd.DataFrame | None:
        """The questions that are answered so far, with their bits where they were measured."""
        answered, lost = self.kept("answers"), self.kept("bits")
        if answered is None:
            return None
        answered = answered.sort_values(["dialogue", "step"], kind="stable", ignore_index=True)
        return answered if lost is None else answered.merge(lost, how="left", on=["dialogue", "step"])
