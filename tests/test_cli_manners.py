"""How a command ends: one line and a code, also where the output is closed, full, or of few letters."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rxt_mrl.errors import UserError, said

Command = Callable[..., Any]
LIST = [sys.executable, "-m", "rxt_mrl", "list", "presets"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to /dev/full")
def test_an_output_that_takes_nothing_more() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(LIST, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("rxt-mrl: cannot read or write: No space left on device")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="closes a pipe")
def test_an_output_that_nobody_reads_ends_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(LIST, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_terminal_of_few_letters() -> None:
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*LIST[:3], "train", "ü\U0001f600"], capture_output=True, text=True, env=ascii_only)
    assert done.returncode == 2
    assert done.stderr.startswith(r"rxt-mrl: unknown curriculum '\xfc\U0001f600'")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("train",), "Missing argument 'RECIPE'; see rxt-mrl train --help"),
        (("trian",), "No such command 'trian'. Did you mean 'train'?; see rxt-mrl --help"),
        (("train", "demo", "--ou", "x"), "No such option: --ou (Possible options: --out); see rxt-mrl train --help"),
        (("evaluate", "x", "--steps", "0"), "Invalid value for '--steps'"),
        (("list", "nothing"), "Invalid value for 'what'"),
        (("chat", "x", "--seed", "one"), "Invalid value for '--seed'"),
        (("chat", "n" * 300), f"{'n' * 300}: File name too long"),
        (("train", "demo", "--reward", ""), "a reward is named by a string, got ''"),
    ],
)
def test_wrong_arguments(cli: Command, arguments: tuple[str, ...], line: str) -> None:
    assert cli(*arguments).line.startswith(line)


def test_nothing_to_do_shows_the_help(cli: Command) -> None:
    outcome = cli()
    assert outcome.code == 2
    assert outcome.out.count("Usage: ") == 1
    assert "what to do?" in outcome.err


def test_what_is_said_of_an_error() -> None:
    assert said(UserError("x")) == "x"
    assert said(PermissionError(errno.EACCES, "Permission denied", "a.txt")) == "a.txt: Permission denied"
    assert "free some" in str(said(OSError(errno.ENOSPC, "No space left on device", "a.txt")))
    assert said(MemoryError()) == "out of memory: MemoryError"
    assert said(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")) is not None
    assert said(ValueError("a defect")) is None
