"""The files of a run's plug-ins: a copy and a hash of each stays with the run, and a change is told when it goes on.

``plugins/plugins.json`` lists what each name was: its files with their SHA-256, where they lay, and the folder beside
it with the copies, which are plug-ins as the files were (``RUN/plugins/1/my_reward.py:Friendly``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import plugins
from ..errors import UserError
from ..files import damaged, reason, whole, write_json
from .recipe import Recipe
from .recipe_files import texts_in

FOLDER = "plugins"
INDEX = "plugins.json"


def keep(recipe: Recipe, run: Path) -> list[str]:
    """Copy the files of the plug-ins that were found for a recipe, where the run has not got them as they are now.

    Args:
        recipe: its plug-ins have been loaded.
        run: the run directory.

    Returns:
        A line for each that is another than when the run was begun, or was last gone on with.

    Raises:
        UserError: when a file cannot be read or written.
    """
    index = run / FOLDER / INDEX
    known = _read(index)
    lines: dict[str, None] = {}
    count = len(known)
    for (kind, spec), files in plugins.files_found(set(texts_in(recipe.model_dump(mode="json")))).items():
        home = files[0].parent
        content = {path: _bytes(path) for path in files}
        now = {path.relative_to(home).as_posix(): hashlib.sha256(data).hexdigest() for path, data in content.items()}
        before = next((one for one in reversed(known) if (one["kind"], one["use"]) == (kind, spec)), None)
        if before is not None and before["files"] == now:
            continue
        if before is not None:
            lines |= dict.fromkeys(_changes(before, now, home, run))
        same = next((one for one in known if one["files"] == now and one["from"] == str(home)), None)
        copy = same["copy"] if same else str(len(known) + 1)
        for path, data in content.items() if same is None else ():
            place = run / FOLDER / copy / path.relative_to(home)
            place.parent.mkdir(parents=True, exist_ok=True)
            with whole(place) as part:
                part.write_bytes(data)
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        known.append({"kind": kind, "use": spec, "from": str(home), "copy": copy, "since": since, "files": now})
    if len(known) > count:
        write_json(index, known)
    return list(lines)


def _changes(before: Mapping[str, Any], now: Mapping[str, str], home: Path, run: Path) -> Iterator[str]:
    then = before["files"]
    for name in [*now, *(then.keys() - now.keys())]:
        if then.get(name) != now.get(name):
            was = f"as it was: {run / FOLDER / before['copy'] / name}" if name in then else "it is new"
            yield f"changed    {home / name} ({was}); the run goes on with what it is now"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error


def _read(index: Path) -> list[dict[str, Any]]:
    if not index.is_file():
        return []
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
        if not all({"kind", "use", "from", "copy", "files"} <= one.keys() for one in known):
            raise ValueError("it is not what a run wrote there")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise damaged(index, error, "delete it, and the plug-ins are copied anew") from error
    return list(known)
