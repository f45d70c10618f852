"""Runs: the directory that a run leaves behind, its checkpoints, and what stops a training before damage is done."""

from __future__ import annotations

from .directory import RunDir, write_json

__all__ = ["RunDir", "write_json"]
