"""Where a run comes from: the resolved recipe, the versions that ran it and the state of the source."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import yaml12
from ..errors import UserError
from .recipe import Recipe

PACKAGES = ("rxt-mrl", "torch", "transformers", "trl", "gymnasium", "ray", "datasets", "tokenizers", "numpy")

FREE_TO_CHANGE = frozenset(
    {"threads", "device", "rollout.workers", "rollout.address", "rollout.timeout", "rollout.restarts"}
)
"""Keys that may differ when a run is resumed: they change how it runs, not what it computes."""


def recipe_text(recipe: Recipe) -> str:
    """The resolved recipe with versions and git state, as the file in a run directory."""
    content = {"recipe": recipe.model_dump(mode="json"), "made_by": {**versions(), "git": git_state()}}
    return yaml12.text_of(content)


def stored_recipe(path: Path) -> dict[str, Any]:
    """The recipe of a run directory, as plain values.

    Raises:
        UserError: when the file is damaged.
    """
    return _stored(path, "recipe")


def _stored(path: Path, section: str) -> dict[str, Any]:
    content = yaml12.read(path)
    found = content.get(section) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise UserError(f"{path}: is not what a run wrote there (no section {section!r}); put back a copy of it")
    return found


def check_version(path: Path) -> None:
    """Refuse to go on with a run of another minor version.

    Raises:
        UserError: names the versions.
    """
    made_by = str(_stored(path, "made_by").get("rxt-mrl"))
    if made_by.split(".")[:2] != version("rxt-mrl").split(".")[:2]:
        raise UserError(
            f"--resume: {path.parent} was begun by rxt-mrl {made_by}, this is {version('rxt-mrl')}: resume with that "
            "version, or train anew; chat reads it"
        )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def git_state() -> str | None:
    """Commit of the checkout that the code runs from, with ``+changes`` where files differ; None outside of one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
