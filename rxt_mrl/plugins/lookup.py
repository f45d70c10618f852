"""Find what users plug in, by name, and build it; what a reward or an environment is, others know.

A plug-in is named in one of three ways, the same for ours and for theirs:

- a name that an installed package declares as an entry point of the group ``rxt_mrl.rewards``, ``rxt_mrl.envs``,
  ``rxt_mrl.curricula`` or ``rxt_mrl.sources``;
- a dotted path, ``package.module:Name``, where what stands there is declared to be such a plug-in;
- a file, ``path/to/file.py:Name``. Such a module is sent to Ray workers by value, so the file need not exist there.

A curriculum is a YAML file: its entry point names the module that holds ``<name>.yaml``, and a path is taken as a file.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.resources
import inspect
import types
from collections.abc import Collection
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import UserError
from .files import beside, digest_of, load_file, split_file_spec
from .trust import check_declared, check_module, check_named

Kind = Literal["reward", "env", "curriculum", "source"]

GROUPS: dict[str, str] = {
    "reward": "rxt_mrl.rewards",
    "env": "rxt_mrl.envs",
    "curriculum": "rxt_mrl.curricula",
    "source": "rxt_mrl.sources",
}


def names(kind: Kind) -> list[str]:
    """Names that installed packages offer for a kind of plug-in, sorted."""
    return sorted(_entries(kind))


def describe(kind: Kind) -> dict[str, str]:
    """For each name, the first line of its documentation (for a curriculum: of its leading comment)."""
    return {name: _summary(kind, name) for name in names(kind)}


def find(kind: Kind, spec: str) -> Any:
    """The class, function or object that ``spec`` names, as it stands in its module.

    Raises:
        UserError: when there is none; the line lists what is allowed.
    """
    target = _find(kind, spec)
    _found[kind, spec] = target
    return target


_found: dict[tuple[Kind, str], Any] = {}


def files_found(specs: Collection[str]) -> dict[tuple[Kind, str], list[Path]]:
    """By kind and name, the files of the plug-ins that were found and are not this package's.

    Args:
        specs: of these alone.

    Returns:
        Of each its own file first, then those beside it that it imports.
    """
    files = {}
    for (kind, spec), target in _found.items():
        inner = _underlying(target)
        if spec in specs and str(inner.__module__).partition(".")[0] != __name__.partition(".")[0]:
            file = split_file_spec(spec)
            own = _source_of(inner) if file is None else file[0]
            if own is not None and own.is_file():
                files[kind, spec] = [own.resolve(), *beside(own)]
    return files


def _source_of(inner: Any) -> Path | None:
    try:
        name = inspect.getsourcefile(inner)
    except TypeError:  # it is not written in Python
        return None
    return Path(name) if name else None


def _find(kind: Kind, spec: str) -> Any:
    if not isinstance(spec, str) or not spec.strip():
        raise UserError(f"{'an' if kind == 'env' else 'a'} {kind} is named by a string, got {spec!r}")
    entries = _entries(kind)
    name = spec.replace("-", "_")
    for known, entry in entries.items():
        if name == known.replace("-", "_"):
            return _load_entry(kind, entry)
    file = split_file_spec(spec)
    if file is not None:
        check_named(kind, spec, str(file[0].resolve()))
        return load_file(*file, kind)
    if ":" in spec:
        module_name, _, attribute = spec.partition(":")
        offered = {entry.value.replace(" ", "") for entry in entries.values()}
        check_module(kind, spec, module_name)
        ours = module_name.partition(".")[0] == __name__.partition(".")[0]
        check_named(kind, spec, f"the module {module_name}", installed=ours or spec in offered)
        found = _load_dotted(kind, spec, module_name, attribute)
        check_declared(kind, spec, found, offered)
        return found
    raise UserError(_unknown(kind, spec, sorted(entries)))


def build(target: Any, label: str, options: dict[str, Any]) -> Any:
    """Construct a class with its options, bind the options of a function, leave an object alone.

    Raises:
        UserError: when the options do not fit or the constructor fails on them.
    """
    if options and not inspect.isclass(target) and not inspect.isroutine(target):
        raise UserError(f"{label} is already an object and takes no options, got {sorted(options)}")
    if inspect.isclass(target) or options:
        _check_options(target, label, options)
    if inspect.isclass(target):
        try:
            return target(**options)
        except UserError as error:
            raise UserError(f"{label}: {error}") from error
        except (Exception, SystemExit) as error:  # whatever a user's constructor does
            shown = {name: value for name, value in options.items() if isinstance(value, str | int | float | list)}
            where = location(target)
            raise UserError(
                f"{label}: cannot be made with options {shown}: {_line(error)}{where and f' at {where}'}"
            ) from error
    if not options:
        return target
    return functools.partial(target, **options)


def recipe_file(spec: str) -> Path:
    """The YAML file of a curriculum, by name or by path.

    Raises:
        UserError: when there is neither such a name nor such a file.
    """
    path = Path(spec)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        if not path.is_file():
            raise UserError(f"no curriculum file {spec!r}; known names: {', '.join(names('curriculum')) or 'none'}")
        return path
    entries = _entries("curriculum")
    for known, entry in entries.items():
        if spec.replace("-", "_") == known.replace("-", "_"):
            file = Path(str(importlib.resources.files(entry.module).joinpath(f"{known}.yaml")))
            if not file.is_file():
                raise UserError(f"curriculum {known!r}: the package {entry.module} has no {known}.yaml")
            return file
    raise UserError(_unknown("curriculum", spec, sorted(entries)))


def location(target: Any) -> str:
    """Where a plug-in is written, ``file:line`` (of a class: of its ``__call__``); empty when Python does not know."""
    code = _code(target)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def source_file(target: Any) -> str:
    """The file that a plug-in is written in; empty when Python does not know."""
    code = _code(target)
    return code.co_filename if code else ""


def source_digest(target: Any) -> str:
    """A hash of the file that a plug-in is written in; for a user's file, with those beside it that it imports."""
    file = source_file(target)
    return digest_of(Path(file)) if file else ""


def _code(target: Any) -> types.CodeType | None:
    """What runs when the plug-in is called. The code object knows its file even on a worker that cannot import it."""
    found = _underlying(target)
    if inspect.isclass(found):
        found = getattr(found, "__call__", None)  # noqa: B004 - the function itself is wanted
    return getattr(inspect.unwrap(found), "__code__", None) if callable(found) else None


def _underlying(target: Any) -> Any:
    """The function or class that a reader of a traceback would look for."""
    while True:
        if isinstance(target, functools.partial):
            target = target.func
        elif hasattr(target, "plugin_target"):  # an adapter of ours around a user's function
            target = target.plugin_target
        else:
            break
    return target if inspect.isroutine(target) or inspect.isclass(target) else type(target)


def _entries(kind: Kind) -> dict[str, EntryPoint]:
    if kind not in GROUPS:
        raise UserError(f"unknown kind of plug-in {kind!r}; allowed: {', '.join(get_args(Kind))}")
    # Not importlib.metadata.entry_points(): of two metadata folders of one package, as an old build leaves them in a
    # checkout, it reads only the first.
    found: dict[str, EntryPoint] = {}
    for distribution in distributions():
        for entry in distribution.entry_points.select(group=GROUPS[kind]):
            found.setdefault(entry.name, entry)
    return found


def _load_entry(kind: Kind, entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (Exception, SystemExit) as error:  # whatever a user's module does when imported
        raise UserError(f"{kind} {entry.name!r} ({entry.value}) cannot be loaded: {_line(error)}") from error


def _load_dotted(kind: Kind, spec: str, module_name: str, attribute: str) -> Any:
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a user's module does when imported
        raise UserError(f"{kind} {spec!r}: module {module_name!r} cannot be imported: {_line(error)}") from error
    try:
        return functools.reduce(getattr, attribute.split("."), module)
    except AttributeError:
        public = [name for name in vars(module) if not name.startswith("_")]
        raise UserError(f"{kind} {spec!r}: {module_name} has no {attribute!r}{_close(attribute, public)}") from None


def _check_options(target: Any, label: str, options: dict[str, Any]) -> None:
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # a builtin without a signature: its constructor will judge
        return
    takes = [p for p in parameters.values() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if inspect.isroutine(target):  # the first parameter is what it is called with
        takes = takes[1:]
    allowed = [p.name for p in takes]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in options:
            if name not in allowed:
                listing = ", ".join(allowed) or "none"
                raise UserError(f"{label}: unknown option {name!r}{_close(name, allowed)}; allowed: {listing}")
    if inspect.isclass(target):
        missing = [p.name for p in takes if p.default is p.empty and p.name not in options]
        if missing:
            raise UserError(f"{label}: needs option(s) {', '.join(missing)}")


def _summary(kind: Kind, name: str) -> str:
    try:
        if kind == "curriculum":
            first = recipe_file(name).read_text(encoding="utf-8").partition("\n")[0]
            return first.lstrip("# ").strip() if first.startswith("#") else ""
        return (inspect.getdoc(find(kind, name)) or "").partition("\n")[0]
    except (UserError, OSError) as error:
        return f"cannot be loaded: {error}"


def _unknown(kind: str, spec: str, known: list[str]) -> str:
    return f"unknown {kind} {spec!r}{_close(spec, known)}; allowed: {', '.join(known) or 'none installed'}, " + (
        "or a YAML file" if kind == "curriculum" else "a dotted path pkg.mod:Name, or path/file.py:Name"
    )


def _close(name: str, known: list[str]) -> str:
    match = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")
