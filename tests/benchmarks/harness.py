"""What every benchmark shares: calibration of the machine, timing, and the registry of workloads.

A workload is a function ``(Bench) -> Section`` in a file ``bench_*.py`` of this folder, marked with ``@workload``.
``run.py`` finds them all. A new workload needs a new file and nothing else.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what was measured.
        value: the figure, in ``unit``.
        unit: for example ``tokens/s``.
        bar: what it should reach; None: no bar.
        lower_is_better: whether the bar is a ceiling.
        limit: the same figure if only the arithmetic counted, at the calibrated GFLOP/s; None: not computed.
    """

    name: str
    value: float
    unit: str
    bar: float | None = None
    lower_is_better: bool = False
    limit: float | None = None

    @property
    def share(self) -> float | None:
        """Share of the arithmetic limit that is reached, 0 to 1."""
        if self.limit is None:
            return None
        return self.limit / self.value if self.lower_is_better else self.value / self.limit

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None: no bar."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.lower_is_better else self.value >= self.bar


@dataclass
class Section:
    """What a workload found: ``data`` goes into ``bench.json`` at the top level, ``rows`` into the table."""

    data: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    note: str = ""


@dataclass
class Bench:
    """The running benchmark: the machine's speed, and how to time.

    Attributes:
        sgemm_gflops: float32 matrix product, one thread.
        copy_gbs: copy of a large array, bytes read plus bytes written per second, one thread.
        repeats: how often a workload is timed; the median counts.
        quick: fewer repeats and turns, for a look.
    """

    sgemm_gflops: float
    copy_gbs: float
    repeats: int = 5
    quick: bool = False

    def seconds(self, run: Callable[[], object], *, repeats: int | None = None) -> float:
        """Median CPU seconds of a run, after one run that is not counted."""
        return median_seconds(run, repeats or self.repeats)

    def best_and_median(self, run: Callable[[], object]) -> tuple[float, float]:
        """Shortest and median CPU seconds: on a shared machine the shortest is nearer to the truth."""
        run()
        times = [cpu_seconds(run) for _ in range(self.repeats)]
        return min(times), statistics.median(times)

    def arithmetic_seconds(self, flops: float) -> float:
        """Time of floating-point operations alone at the calibrated speed."""
        return flops / self.sgemm_gflops / 1e9


Workload = Callable[[Bench], Section]
WORKLOADS: dict[str, Workload] = {}


def workload(name: str) -> Callable[[Workload], Workload]:
    """Register a workload under a name (``run.py --only NAME``)."""

    def register(function: Workload) -> Workload:
        if name in WORKLOADS:
            raise ValueError(f"workload {name!r} exists already")
        WORKLOADS[name] = function
        return function

    return register


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU seconds of this process: on a shared machine steadier than the clock on the wall."""
    start = time.process_time()
    run()
    return time.process_time() - start


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds, after one run that is not counted."""
    run()
    return statistics.median(cpu_seconds(run) for _ in range(repeats))


def sgemm_gflops(size: int = 1024, repeats: int = 9) -> float:
    """GFLOP/s of a float32 matrix product of ``size`` x ``size``."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    return 2 * size**3 / median_seconds(lambda: torch.mm(a, b, out=out), repeats) / 1e9


def copy_gbs(megabytes: int = 256, repeats: int = 9) -> float:
    """GB/s of a copy, read and written bytes together; larger than any cache."""
    source = torch.ones(megabytes * 2**20 // 4)
    target = torch.empty_like(source)
    return 2 * megabytes * 2**20 / median_seconds(lambda: target.copy_(source), repeats) / 1e9
