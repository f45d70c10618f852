"""Progress: a bar on a terminal, a line now and then elsewhere; and what is going on while there is nothing to count.

Progress goes to standard error where that is a terminal, so that what a command prints can be kept in a file; else to
standard output, so that standard error is left to errors.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Table

SHARES = ("accuracy", "recall", "alike")
"""Figures that are shown in percent."""
_TITLE, _WIDEST = 16, 40
_SOON, _LATE = 10.0, 300.0
"""Seconds between two lines: at least, and at most."""
_PART = 0.05
"""Part of the whole that a line stands for, where it does not take too long."""
_MEMORY = 600.0
"""Seconds that the rate is a mean over."""


def screen(*, machine: bool = False) -> Console:
    """Where progress goes.

    Args:
        machine: standard output is for a program to read.
    """
    quiet = os.environ.get("RANK", "0") != "0"  # several processes train, and one of them speaks
    return Console(stderr=machine or sys.stderr.isatty(), quiet=quiet)


def _is_live(console: Console) -> bool:
    return (console.is_terminal and not console.is_dumb_terminal) or console.is_jupyter


@contextmanager
def busy(what: str, *, lines: bool = False) -> Iterator[None]:
    """Say what is going on, on a terminal for as long as it takes.

    Args:
        what: is done inside, for example ``loading torch``.
        lines: say it in a line of its own where the output is no terminal.
    """
    console = screen()
    if _is_live(console):
        with console.status(f"{what} ..."):
            yield
        return
    if lines:
        console.print(f"{what} ...", markup=False, highlight=False, soft_wrap=True)
    yield


class Bars:
    """Shows how far several things have come, while the context is open.

    Each line has the count of the total, the time left, the rate and the latest figures, and fits 80 columns.

    Args:
        show: False shows nothing.
        transient: bars go away at the end, and what ends soon gets no line.
        console: where to; None: :func:`screen`.
    """

    def __init__(self, *, show: bool = True, transient: bool = False, console: Console | None = None) -> None:
        self.console = console or screen()
        self._live = show and _is_live(self.console)
        self._lines, self._transient = show and not self._live, transient
        self._bars: list[Bar] = []
        self._progress = Progress(
            _Line(self.console), console=self.console, transient=transient, disable=not self._live,
            refresh_per_second=4, speed_estimate_period=_MEMORY,
            redirect_stdout=sys.stdout.isatty(), redirect_stderr=sys.stderr.isatty(),
        )  # fmt: skip

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._lines and not self._transient:
            for bar in self._bars:
                if bar.is_due(last=True):
                    self._write(bar)

    def add(self, title: str, total: int | None = None, done: int = 0) -> Bar:
        """One more thing, of which some may be done already."""
        number = self._progress.add_task(title, total=total, completed=done, figures={})
        self._bars.append(Bar(self, next(task for task in self._progress.tasks if task.id == number)))
        return self._bars[-1]

    def moved(self, bar: Bar, done: int, total: int | None, figures: Mapping[str, float]) -> None:
        """Show that one of them has gone on."""
        self._progress.update(bar.task.id, completed=done, total=total, figures=figures)
        if self._lines and bar.is_due(ends=not self._transient):
            self._write(bar)

    def _write(self, bar: Bar) -> None:
        self.console.print("  ".join(_parts(bar.task)), markup=False, highlight=False, soft_wrap=True)


class Bar:
    """One of the things that :class:`Bars` show; see :meth:`Bars.add`."""

    def __init__(self, bars: Bars, task: Task) -> None:
        self._bars, self.task = bars, task
        self._said, self._said_at = float(task.completed), time.monotonic()

    def move(self, done: int, figures: Mapping[str, float] | None = None, *, total: int | None = None) -> None:
        """Go on.

        Args:
            done: how many are done.
            figures: the latest ones, in the order in which they are shown; others keep their last value.
            total: of how many, where that was not known before.
        """
        self._bars.moved(self, done, total, {**self.task.fields["figures"], **(figures or {})})

    def counted(self, done: int, of: int, figures: Mapping[str, float]) -> None:
        """The same for what reports its total each time."""
        self.move(done, figures, total=of)

    def is_due(self, *, ends: bool = True, last: bool = False) -> bool:
        """Whether a line should be written: now and then, where it ``ends``, and as the ``last`` one, if it is new."""
        now, done, total = time.monotonic(), self.task.completed, self.task.total
        enough = not total or done - self._said >= _PART * total
        finished = ends and total is not None and done >= total and self._said < total
        due = done > self._said if last else finished or now - self._said_at >= (_SOON if enough else _LATE)
        if due:
            self._said, self._said_at = done, now
        return due


# --- a line ----------------------------------------------------------------------------------------------------------


class _Line(ProgressColumn):
    """All of a bar: what has to be read first, and the bar in what is left of the width."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Table:
        """Title, bar, and words."""
        title, *words = _parts(task)
        width, said = self._console.width - 1, "  ".join(words)
        if len(said) + _TITLE > width - 1:
            said = " ".join(words)
            title = title[: max(width - 1 - len(said), 0)]
        room = min(width - _TITLE - len(said) - 2, _WIDEST)
        line = Table.grid(padding=(0, 1))
        bar = [ProgressBar(task.total, task.completed, room)] if room > 3 else []
        line.add_row(f"{title:<{_TITLE}}" if bar else title, *bar, said)
        return line


def _parts(task: Task) -> list[str]:
    count = f"{task.completed:.0f}/{'?' if task.total is None else f'{task.total:.0f}'}"
    seconds = task.finished_time if task.finished else task.time_remaining
    left = f"{clock(seconds)} in all" if task.finished else f"{clock(seconds)} left"
    speed = task.finished_speed or task.speed
    rate = "" if not speed else f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.3g} s each"
    figures = " ".join(
        f"{name} {value:.1%}" if name in SHARES else f"{name} {value:.3f}"
        for name, value in task.fields["figures"].items()
    )
    return [task.description[:_TITLE], *(part for part in (count, left, rate, figures) if part)]


def clock(seconds: float | None) -> str:
    """Hours, minutes and seconds.

    >>> clock(62), clock(7322), clock(None)
    ('1:02', '2:02:02', '-:--')
    """
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
