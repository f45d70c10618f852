"""What a name may run: only what says that it is a plug-in, and of somebody else's run only what is installed.

A recipe can name anything by a dotted path, and what is found is called with the recipe's options. So it must be
declared before it is called: by the entry point of an installed package, by ``@reward`` or ``@plugin``, or by being a
subclass of what it stands for. A file by its path runs because the user names it, in a recipe or on the command line;
what a *run* or a checkpoint names runs only when the user says so (:func:`untrusted`). See ``docs/security.md``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ..errors import UserError

BASES: dict[str, tuple[tuple[str, str], ...]] = {
    "reward": (("rxt_mrl.contracts", "Reward"),),
    "env": (("rxt_mrl.contracts", "Environment"), ("gymnasium.vector.vector_env", "VectorEnv")),
}
"""By kind, the classes (module, name) whose subclasses are declared by that."""


@dataclass(frozen=True)
class _Untrusted:
    origin: str
    given: frozenset[str]
    remedy: str


_untrusted: ContextVar[_Untrusted | None] = ContextVar("untrusted", default=None)


@contextmanager
def untrusted(origin: str, *, given: Collection[str] = (), remedy: str = "--trust-code runs it") -> Iterator[None]:
    """Inside, no code is run because ``origin`` names it.

    Args:
        origin: what may hold somebody else's names, for the error.
        given: names that the user gave; they are found as ever.
        remedy: what the error says last.
    """
    token = _untrusted.set(_Untrusted(origin, frozenset(given), remedy))
    try:
        yield
    finally:
        _untrusted.reset(token)


def check_named(kind: str, spec: str, place: str, *, installed: bool = False) -> None:
    """Whether what ``spec`` names may be loaded at all, before it is.

    Args:
        kind: of plug-in.
        spec: its name.
        place: the file or module that loading runs.
        installed: it belongs to the plug-ins of installed packages.

    Raises:
        UserError: says what would have been run.
    """
    context = _untrusted.get()
    if context is not None and not installed and spec not in context.given:
        raise UserError(f"{context.origin} names {kind} {spec!r}, which would run {place}; {context.remedy}")


def check_module(kind: str, spec: str, module: str) -> None:
    """Refuse modules of Python itself: none holds a plug-in, and some do things when they are imported.

    Raises:
        UserError: names the module.
    """
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise UserError(f"{kind} {spec!r}: {module} is a part of Python, which has no plug-ins")


def check_declared(kind: str, spec: str, target: Any, known: Collection[str]) -> None:
    """Whether what a dotted path leads to says that it is a plug-in of this kind.

    Args:
        kind: of plug-in.
        spec: its name.
        target: what was found; it is not called.
        known: values of the kind's entry points, ``module:Name``.

    Raises:
        UserError: says how it can be declared.
    """
    if declares(kind, target) or _qualified(target) in known or spec in known:
        return
    how = {"reward": "@reward, a subclass of Reward", "env": '@plugin("env"), a subclass of VectorEnv'}
    raise UserError(
        f"{kind} {spec!r} is not declared to be one, so it is not called; allowed: "
        f"{how.get(kind, f'@plugin({kind!r})')} (rxt_mrl.contracts), or an entry point of the group rxt_mrl.{kind}s"
    )


def declares(kind: str, target: Any) -> bool:
    """Whether an object, its class or its function says that it is a plug-in of this kind."""
    name = f"{kind}_name"
    owner = target if inspect.isclass(target) or inspect.isroutine(target) else type(target)
    places = owner.__mro__ if inspect.isclass(owner) else (owner,)
    if any(isinstance(vars(place).get(name), str) for place in places if hasattr(place, "__dict__")):
        return True
    if inspect.isclass(owner):
        return any((base.__module__, base.__name__) in BASES.get(kind, ()) for base in owner.__mro__)
    return kind == "reward" and _is_of_trl(target)


def _is_of_trl(function: Any) -> bool:
    """A function with a parameter ``completions`` keeps TRL's convention for rewards."""
    try:
        return inspect.isfunction(function) and "completions" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _qualified(target: Any) -> str:
    return f"{getattr(target, '__module__', '')}:{getattr(target, '__qualname__', '')}"
