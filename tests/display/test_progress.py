"""Bars at 80 columns, lines where there is no terminal, and what is going on."""

from __future__ import annotations

import sys
from io import StringIO

import pytest
from rich.console import Console
from screen import CODES, show

from rxt_mrl.display import Bars, busy, progress

BAR = """
import time
from rxt_mrl.display import Bars, busy
with busy("loading torch"):
    time.sleep(0.3)
with Bars() as bars:
    short, long = bars.add("mrl-1: 8 steps", 84), bars.add("memory-attention", 100000, 20000)
    for done in range(1, 13):
        time.sleep(0.06)
        short.move(done * 7, {"reward": 0.1234, "recall": done / 12})
        long.move(20000 + done, {"reward": 0.1234, "recall": 1.0})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")
def test_a_bar_at_80_columns_has_all_there_is_to_know() -> None:
    shown = show([sys.executable, "-c", BAR])
    assert shown.code == 0, shown.text
    assert max(map(len, shown.lines)) <= 80
    assert any("loading torch ..." in line for line in shown.lines)
    for title, total in (("mrl-1: 8 steps", "/84"), ("memory-attention", "/100000")):
        lines = [line for line in shown.lines if line.startswith(title) and "recall" in line]
        assert lines, shown.text
        for line in lines:
            assert total in line
            assert " left" in line or " in all" in line
            assert "reward 0.123 recall " in line
            assert line.endswith("%")
        assert "/s " in lines[-1]
    assert any("━" in line for line in shown.lines)


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_screen(columns: int) -> None:
    console = Console(file=StringIO(), force_terminal=True, width=columns, color_system=None)
    with Bars(console=console) as bars:
        bar = bars.add("x" * 50, 10**7)
        for done in (1, 2, 3):
            bar.move(done, {"reward": 0.5, "recall": 0.5})
    shown = CODES.sub("", console.file.getvalue())  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= columns


def lines_of(monkeypatch: pytest.MonkeyPatch, total: int, steps: int, seconds: float) -> str:
    """What is written where there is no terminal, of the first steps, each of which takes so many seconds."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = Console(file=StringIO(), width=80)
    with Bars(console=console) as bars:
        bar = bars.add("joint", total)
        for done in range(1, steps + 1):
            now[0] += seconds
            bar.move(done, {"loss": 1 / done})
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_lines_now_and_then_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    said = lines_of(monkeypatch, 200, 200, 1.0)
    assert "\r" not in said
    assert "\x1b" not in said
    lines = said.splitlines()
    assert 15 <= len(lines) <= 21
    assert lines[-1].startswith("joint  200/200  ")
    assert lines[-1].endswith("loss 0.005")


def test_a_slow_thing_gets_a_line_in_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(monkeypatch, 10_000, 6, 100.0).splitlines()
    assert [line.split()[1] for line in lines] == ["3/10000", "6/10000"]


def test_what_ends_early_gets_a_last_line_and_what_goes_away_gets_none() -> None:
    for transient, lines in ((False, 1), (True, 0)):
        console = Console(file=StringIO(), width=80)
        with Bars(console=console, transient=transient) as bars:
            bars.add("mrl-1", 10).move(4)
            bars.add("mrl-2", 10)
        assert len(console.file.getvalue().splitlines()) == lines  # type: ignore[attr-defined]


def test_a_resumed_bar_does_not_count_what_was_done_before() -> None:
    console = Console(file=StringIO(), width=80)
    with Bars(console=console) as bars:
        bar = bars.add("mrl-1", 10, 9)
        bar.move(10)
    assert "mrl-1  10/10" in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_is_going_on_is_a_line_only_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with busy("loading torch"):
        pass
    assert capsys.readouterr().out == ""
    with busy("loading torch", lines=True):
        assert capsys.readouterr().out == "loading torch ...\n"


def test_other_processes_say_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "1")
    with busy("loading torch", lines=True), Bars() as bars:
        bars.add("joint", 1).move(1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0:00"), (62, "1:02"), (7322, "2:02:02"), (None, "-:--")])
def test_clock(seconds: float | None, said: str) -> None:
    assert progress.clock(seconds) == said
