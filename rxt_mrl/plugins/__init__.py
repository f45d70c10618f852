"""Plug-ins: from a name, a dotted path or a file to the object it names."""

from __future__ import annotations

from .lookup import (
    GROUPS,
    Kind,
    build,
    describe,
    files_found,
    find,
    location,
    names,
    recipe_file,
    source_digest,
    source_file,
)
from .trust import untrusted

__all__ = [
    "GROUPS",
    "Kind",
    "build",
    "describe",
    "files_found",
    "find",
    "location",
    "names",
    "recipe_file",
    "source_digest",
    "source_file",
    "untrusted",
]
