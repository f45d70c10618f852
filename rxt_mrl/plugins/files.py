"""Plug-ins in a file of the user's: ``path/to/file.py:Name``.

The file becomes a module with a name made from its resolved path, so that two files called ``reward.py`` do not
meet, and it is registered to be pickled by value, so that its objects work on Ray workers that cannot import it.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError, text_of

_DIGEST = "__plugin_digest__"
_BESIDE = "__plugin_beside__"
_PLUGGED_IN = "__plugged_in__"


def split_file_spec(spec: str) -> tuple[Path, str | None] | None:
    """``path/file.py:Name`` -> (path, name); ``path/file.py`` -> (path, None); None when it names no Python file."""
    if spec.endswith(".py"):
        return Path(spec), None
    path, colon, name = spec.rpartition(":")
    if colon and path.endswith(".py"):
        return Path(path), name
    return None


def load_file(path: Path, name: str | None, kind: str) -> Any:
    """The object ``name`` of a Python file; without a name, the only one.

    Where it defines several, the only one that is declared to be of this kind: that has an attribute ``<kind>_name``.

    Raises:
        UserError: when the file is missing or fails when run, or has no such object.
    """
    module = load_module(path)
    public = [key for key, value in vars(module).items() if _is_own(module, key, value)]
    if name is None:
        declared = [key for key in public if hasattr(vars(module)[key], f"{kind}_name")]
        candidates = declared or public
        if len(candidates) != 1:
            offered = ", ".join(candidates) or "nothing"
            raise UserError(f"{path}: say which one, {path}:Name; the file defines {offered}")
        name = candidates[0]
    if not hasattr(module, name):
        raise UserError(f"{path} has no {name!r}; it defines {', '.join(public) or 'nothing'}")
    return getattr(module, name)


def load_module(path: Path) -> types.ModuleType:
    """Run a Python file as a module, once for each content of it, and have it pickled by value.

    Raises:
        UserError: when there is no such file, or running it fails; the line names the file's line.
    """
    if not path.is_file():
        raise UserError(f"no file {str(path)!r}; expected path/file.py:Name")
    resolved = path.resolve()
    try:
        content = resolved.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    module_name = module_name_of(resolved)
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    known = sys.modules.get(module_name)
    if known is not None and getattr(known, _DIGEST, None) == digest:
        return known
    module = types.ModuleType(module_name)
    module.__file__ = str(resolved)
    vars(module)[_DIGEST] = digest
    sys.modules[module_name] = module  # before running it: dataclasses and pickling look their module up
    try:
        with _importing_beside(resolved.parent) as beside:
            # Not with the __future__ of this file: annotations of theirs are what they wrote.
            exec(compile(content, str(resolved), "exec", dont_inherit=True), vars(module))
        for loaded in (module, *beside):
            _pickle_by_value(loaded)
        vars(module)[_BESIDE] = [str(other.__file__) for other in beside]
    except BaseException as error:
        if known is None:
            del sys.modules[module_name]
        else:
            sys.modules[module_name] = known
        if not isinstance(error, Exception | SystemExit):
            raise
        where = _line_in(resolved, error)
        raise UserError(f"{path}{where} cannot be loaded: {type(error).__name__}: {text_of(error)}") from error
    return module


@contextmanager
def _importing_beside(folder: Path) -> Iterator[list[types.ModuleType]]:
    """Let a file import those beside it; gives the modules that came from there.

    The folder stays on the path, behind everything else, for imports at a later call. A module of the same name that
    another plug-in imported from its own folder makes room.
    """
    beside: list[types.ModuleType] = []
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    for name in names:
        known = sys.modules.get(name)
        if known is not None and _of_a_plugin(known) and Path(str(known.__file__)).parent != folder:
            del sys.modules[name]
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield beside
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    for name in names:
        found = sys.modules.get(name)
        if found is None or folder not in Path(str(getattr(found, "__file__", None) or "/")).parents:
            continue
        if name not in before or _of_a_plugin(found):
            vars(found)[_PLUGGED_IN] = True
            beside.append(found)


def _of_a_plugin(module: types.ModuleType) -> bool:
    return bool(vars(module).get(_PLUGGED_IN))


def digest_of(file: Path) -> str:
    """A hash of a plug-in's file and of the files beside it that it imports."""
    files = [path for path in (file, *beside(file)) if path.is_file()]
    return hashlib.blake2b(b"".join(path.read_bytes() for path in files)).hexdigest()[:32]


def beside(file: Path) -> list[Path]:
    """The files beside a Python file that it imports, sorted: those that it names, wherever, and that these name;
    of a plug-in also those that it has imported by other means."""
    file = file.resolve()
    module = sys.modules.get(module_name_of(file))
    found = {Path(name) for name in vars(module).get(_BESIDE, ())} if module is not None else set()
    waiting = [file, *found]
    while waiting:
        for path in _named_in(waiting.pop(), file.parent) - found - {file}:
            found.add(path)
            waiting.append(path)
    return sorted(found)


def _named_in(file: Path, folder: Path) -> set[Path]:
    """The modules and packages of ``folder`` that a file imports."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):  # importing it says what is wrong
        return set()
    package = file.parent.relative_to(folder).parts if file.is_relative_to(folder) else ()
    names: set[tuple[str, ...]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = (*above, *(node.module.split(".") if node.module else ()))
            names |= {base, *((*base, alias.name) for alias in node.names)}
    places = {folder.joinpath(*name[:length]) for name in names for length in range(1, len(name) + 1)}
    candidates = {file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")}
    return {path for path in candidates if path.is_file()}


def module_name_of(resolved: Path) -> str:
    """A module name that no other file has."""
    stem = re.sub(r"\W", "_", resolved.stem)
    return f"rxt_mrl_plugin_{stem}_{hashlib.blake2b(str(resolved).encode(), digest_size=6).hexdigest()}"


def _pickle_by_value(module: types.ModuleType) -> None:
    import ray.cloudpickle  # a second to import, so only for those who plug in files

    ray.cloudpickle.register_pickle_by_value(module)


def _is_own(module: types.ModuleType, key: str, value: Any) -> bool:
    return not key.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__


def _line_in(file: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}" if error.lineno else ""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f":{lines[-1]}" if lines else ""
