"""A terminal of 80 columns for tests: what a command shows there, line by line."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
CUT = re.compile(r"\w(…|\.\.\.)(?=\s|$)")
"""A word that was cut; ``what is going on ...`` has a space in front."""


@dataclass(frozen=True)
class Shown:
    """What stood on the screen: its exit status, and every line that stood there for a moment."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def on_screen(arguments: Sequence[object], *, stdin: bytes = b"", columns: int = 80, cwd: Path | None = None) -> Shown:
    """Run ``rxt-mrl`` on a terminal."""
    return show([sys.executable, "-m", "rxt_mrl", *map(str, arguments)], stdin=stdin, columns=columns, cwd=cwd)


def show(command: Sequence[str], *, stdin: bytes = b"", columns: int = 80, cwd: Path | None = None) -> Shown:
    """Run a command on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "CI")}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**plain, "TERM": "xterm-256color"}, cwd=cwd,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    if stdin:
        os.write(ours, stdin)
    pieces = []
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # nobody holds the other end any more
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(ours)
    text = CODES.sub("", b"".join(pieces).decode(errors="replace"))
    return Shown(process.wait(), tuple(line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()))
