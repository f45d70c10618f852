"""Whose files a run directory holds: what runs and evaluations write is known by its name, the rest is a user's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_CHECKPOINT = (
    r"(README\.md|config\.json|tokenizer\.json|tokenizer\.sha256|trained\.json|trainer\.pt"
    r"|(model|mlm_head|reward_before|reward_after)\.safetensors)"
)
_STAGE = r"trainer/(best-\d+\.safetensors|checkpoint-\d+/[\w.-]+\.(pt|pth|json|safetensors|bin))"
_PICTURE = r"(stages|retention|learning|bits|heat|memory)(-[^/]+)?\.png"
_REPORT = rf"(retention\.json|answers\.parquet|report\.html|table\.(md|tex)|{_PICTURE})"
_EVALUATION = rf"({_REPORT}|plan\.json|parts/[^/]+/(plan\.json|[\w.-]+\.parquet))"
_OF_A_RUN = re.compile(
    r"(recipe\.yaml|running|progress\.json|metrics\.jsonl|trackers\.json"
    r"|tensorboard/events\.[^/]+"
    rf"|checkpoints/[^/]+/({_CHECKPOINT}|{_STAGE})"
    r"|rollouts/[^/]+\.jsonl"
    rf"|evaluation/({_REPORT}|[^/]+/{_EVALUATION})"
    r"|plugins/(plugins\.json|\d+/.+\.py)"
    r"|not_finite/[^/]+\.pt"
    r"|(aim|mlflow)/.+)(\.part)?"
)
_FILE_SYSTEM = "lost+found"
"""What every new file system has does not count."""


def listed(path: Path) -> list[str]:
    """What a folder holds, sorted; nothing where it does not exist."""
    return sorted(entry.name for entry in path.iterdir() if entry.name != _FILE_SYSTEM) if path.is_dir() else []


def foreign(path: Path) -> str | None:
    """The first file or link in a run directory, at any depth, that no run has written; None: there is none."""
    return next((name for name in _files(path) if not _OF_A_RUN.fullmatch(name)), None)


def _files(folder: Path, prefix: str = "") -> Iterator[str]:
    """Everything but folders, by its path in the folder; links are not followed."""
    for name in listed(folder):
        if (folder / name).is_dir() and not (folder / name).is_symlink():
            yield from _files(folder / name, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}"
