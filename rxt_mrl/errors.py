"""What ends a program early: mistakes that a user can mend, in one line, and SIGTERM."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_LONGEST = 500


class UserError(ValueError):
    """A wrong file, key, value or name. The message is one line: what, its value, what is allowed."""


class MissingColumnError(UserError):
    """A reward asks for a column that the data has not."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C is at a terminal, from a machine that is taken away. The command line exits with 143."""

    happened = False
    """Whether it was raised since the last :func:`termination` began: command line libraries forget which it was."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        Terminated.happened = True


@contextmanager
def termination() -> Iterator[None]:
    """SIGTERM inside is what Ctrl-C is: :class:`Terminated` is raised where the program stands."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        raise Terminated

    Terminated.happened = False
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def said(error: Exception) -> str | None:
    """What the user is told of an error, in one line; None for a defect of ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        reason = error.strerror or _first_line(error)
        if error.errno == errno.ENOSPC:
            reason += " (free some, then repeat the command; a run goes on with --resume)"
        return f"{error.filename}: {reason}" if error.filename else f"cannot read or write: {reason}"
    kind = type(error).__name__
    if kind in ("MemoryError", "OutOfMemoryError") or "t allocate memory" in str(error):
        return f"out of memory: {_first_line(error)}"
    if hasattr(error, "format_message"):  # of Typer, whose own copy of click has no public name
        return _usage(error)
    return None


def text_of(error: BaseException) -> str:
    """What an exception says in one line of at most 500 characters; nothing where it fails to say it."""
    try:
        text = str(error)
    except Exception:  # an exception of somebody's plug-in
        return ""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def _usage(error: Any) -> str:
    name = "rxt-mrl" if error.ctx is None else error.ctx.command_path
    if type(error).__name__ == "NoArgsIsHelpError":  # which has printed the help
        return f"what to do? See {name} --help"
    message = " ".join(error.format_message().split())
    return f"{message.rstrip('.')}; see {name} --help"


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
