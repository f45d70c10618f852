"""The folder of an evaluation: whose results it holds, and what is done so far, so that an interrupted one goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import UserError
from ..files import write_text
from .questions import write

_PLAN = "plan.json"


def claim(folder: Path, plan: Mapping[str, Any], *, beside: bool) -> Path:
    """The folder for the results of a plan: made, new or empty, or begun by the same plan before.

    Args:
        folder: where they are to go.
        plan: everything that the results depend on; it is written there.
        beside: of a folder that holds something else, take one beside it, with a digest of the plan in its name.

    Returns:
        Where they go.

    Raises:
        UserError: when the folder holds something else, or cannot be made.
    """
    content = json.dumps(plan, indent=2, sort_keys=True, default=str)
    if beside and _holds_other(folder, content):
        folder = folder.with_name(f"{folder.name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}")
    if _holds_other(folder, content):
        raise UserError(f"{folder}: holds other files than those of this evaluation; give a new or empty directory")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / _PLAN, content)
    return folder


def _holds_other(folder: Path, content: str) -> bool:
    plan = folder / _PLAN
    if plan.is_file() and plan.read_text(encoding="utf-8", errors="replace") == content:
        return False
    return any(path != plan and not path.is_dir() for path in folder.rglob("*"))


class Parts:
    """A folder with the questions of each batch that is done; implements :class:`~.retention.Keeper`.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

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
