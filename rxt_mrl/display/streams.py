"""The standard streams of a command: any character, any reader, also one that has gone."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


def any_character() -> None:
    """Show half a character, or one that the terminal's encoding lacks, as an escape: it must not end the command."""
    for stream, errors in (
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
        (sys.stdin, "surrogateescape"),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def complain(line: str) -> None:
    """Say what went wrong, in one line on stderr."""
    try:
        print("rxt-mrl: " + " ".join(line.split("\n")), file=sys.stderr, flush=True)
    except OSError:  # nobody reads it: the exit code says enough
        let_go(sys.stderr)


def let_go(stream: Any) -> None:
    """Write out what is left; where that cannot be done, forget it, so that Python does not try again at its end."""
    try:
        stream.flush()
    except (OSError, ValueError):
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except (OSError, ValueError):
            return
