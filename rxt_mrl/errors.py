"""What ends a program early: mistakes that a user can mend, in one line, and SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
