"""What all tests share: no network, one thread, the command line in this process, one finished run."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny tensors are slower on several threads, and results would depend on the machine."""
    import torch

    torch.set_num_threads(1)


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
        code: exit status.
        out, err: what it printed.
    """

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of a refused command; anything else fails the test."""
        assert self.code == 2, (self.code, self.out, self.err)
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("rxt-mrl: ")
        return lines[0].removeprefix("rxt-mrl: ")


Command = Callable[..., Outcome]


@pytest.fixture(scope="session")
def cli() -> Command:
    """``cli("list", "rewards", stdin="")``: the command line as a shell would call it, in this process."""
    from rxt_mrl.cli import main

    def call(*arguments: object, stdin: str = "") -> Outcome:
        out, err, code = io.StringIO(), io.StringIO(), 0
        argv = ["rxt-mrl", *map(str, arguments)]
        with (
            patch.object(sys, "argv", argv),
            patch.object(sys, "stdin", io.StringIO(stdin)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else 0
        return Outcome(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def tiny() -> Path:
    """A recipe that runs every stage in seconds."""
    return Path(__file__).parent / "recipes" / "tiny.yaml"


@pytest.fixture(scope="session")
def finished(cli: Command, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of the tiny recipe. Tests read it; ``evaluation/`` may get more reports."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    outcome = cli("train", tiny, "--out", folder)
    assert outcome.code == 0, outcome.err
    (folder / "printed.txt").write_text(outcome.out, encoding="utf-8")
    return folder
