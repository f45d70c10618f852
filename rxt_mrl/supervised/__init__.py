"""Supervised stages 1 to 4: joint language modelling, interactions, memory attention, memory-aware training.

``from rxt_mrl.supervised import run_stage``; what needs ``transformers`` is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import (
    STAGE_SETTINGS,
    InteractionSettings,
    JointSettings,
    MemoryAttentionSettings,
    MemoryAwareSettings,
    OptimizerSettings,
    StageName,
    StageSettings,
    SupervisedSettings,
)

if TYPE_CHECKING:
    from .batches import EndlessDialogues
    from .rows import interaction_rows, text_rows
    from .stages import last_checkpoint, run_stage

_LAZY = {
    "EndlessDialogues": "batches",
    "interaction_rows": "rows",
    "last_checkpoint": "stages",
    "run_stage": "stages",
    "text_rows": "rows",
}

__all__ = [
    "STAGE_SETTINGS",
    "EndlessDialogues",
    "InteractionSettings",
    "JointSettings",
    "MemoryAttentionSettings",
    "MemoryAwareSettings",
    "OptimizerSettings",
    "StageName",
    "StageSettings",
    "SupervisedSettings",
    "interaction_rows",
    "last_checkpoint",
    "run_stage",
    "text_rows",
]


def __getattr__(name: str) -> Any:
    """Import the training code on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
