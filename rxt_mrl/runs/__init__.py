"""Runs: the directory that a run leaves behind, checkpoints, and guards that stop a training before damage is done."""

from __future__ import annotations

from ..files import write_json
from .directory import RunDir
from .guards import NotFiniteError

__all__ = ["NotFiniteError", "RunDir", "write_json"]
