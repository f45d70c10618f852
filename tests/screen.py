"""A terminal of 80 columns for tests: what a command shows there, line by line."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
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
    ours, theirs = _terminal(columns)
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "CI")}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**plain, "TERM": "xterm-256color"}, cwd=cwd,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    if stdin:
        os.write(ours, stdin)
    lines = _read(ours)
    return Shown(process.wait(), lines)


def forked(arguments: Sequence[object], *, cwd: Path) -> Shown:
    """As :func:`on_screen`, in a process that has torch and the rest imported: many commands in little time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rxt_mrl.pipeline.train", "rxt_mrl.pipeline.evaluate", "rxt_mrl.baseline.train"])
    ours, theirs = _terminal(80)
    process = context.Process(target=_run, args=(os.ttyname(theirs), [str(word) for word in arguments], str(cwd)))
    process.start()
    reader, lines = os.dup(ours), []
    thread = threading.Thread(target=lambda: lines.extend(_read(reader)))
    thread.start()
    process.join()
    os.close(theirs)  # held until here, so that the terminal does not end before the command has opened it
    thread.join()
    os.close(ours)
    return Shown(int(process.exitcode or 0), tuple(lines))


def _run(terminal: str, words: list[str], folder: str) -> None:
    os.setsid()
    tty = os.open(terminal, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(tty, stream)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    for name in ("COLUMNS", "LINES", "NO_COLOR", "CI"):
        os.environ.pop(name, None)
    os.environ["TERM"] = "xterm-256color"
    os.chdir(folder)
    sys.argv = ["rxt-mrl", *words]
    import torch

    from rxt_mrl.cli import main

    torch.set_num_threads(1)
    main()


def _terminal(columns: int) -> tuple[int, int]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    return ours, theirs


def _read(ours: int) -> tuple[str, ...]:
    """All lines that come from a terminal until nobody holds its other end."""
    pieces = []
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(ours)
    text = CODES.sub("", b"".join(pieces).decode(errors="replace"))
    return tuple(line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip())
