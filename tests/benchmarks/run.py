"""Run the benchmarks: ``python tests/benchmarks/run.py [--only NAME ...] [--quick] [--out bench.json]``.

One thread, float32. Figures are medians of CPU seconds of this process. Prints a table and writes a JSON file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from harness import WORKLOADS, Bench, Section, copy_gbs, sgemm_gflops
from rich.console import Console
from rich.table import Table


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns 1 when a bar is missed and ``--strict`` was given."""
    for file in sorted(Path(__file__).parent.glob("bench_*.py")):
        importlib.import_module(file.stem)
    parser = argparse.ArgumentParser(description="Benchmarks of rxt-mrl: one thread, float32, CPU seconds.")
    parser.add_argument("--only", nargs="+", choices=sorted(WORKLOADS), help="workloads to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, for a look")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument("--out", type=Path, default=Path("bench.json"), help="JSON file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    bench = Bench(sgemm_gflops(), copy_gbs(), repeats=2 if options.quick else 5, quick=options.quick)
    sections: dict[str, Section] = {}
    for name in options.only or sorted(WORKLOADS):
        print(f"{name} ...", file=sys.stderr, flush=True)
        sections[name] = WORKLOADS[name](bench)
    after = sgemm_gflops()
    report = {
        "sgemm_gflops": bench.sgemm_gflops,
        "sgemm_gflops_after": after,
        "copy_gbs": bench.copy_gbs,
        **{key: value for section in sections.values() for key, value in section.data.items()},
        "arithmetic_share": {
            row.name: row.share for section in sections.values() for row in section.rows if row.share is not None
        },
        "bars": {
            row.name: {"bar": row.bar, "value": row.value, "unit": row.unit, "met": row.met}
            for section in sections.values()
            for row in section.rows
            if row.bar is not None
        },
        "machine": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "processor": _processor(),
            "threads": torch.get_num_threads(),
            "clock": "process CPU seconds, median",
            "repeats": bench.repeats,
        },
    }
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    _print(bench, after, sections)
    print(f"written: {options.out}")
    missed = [name for name, bar in report["bars"].items() if not bar["met"]]
    return 1 if options.strict and missed else 0


def _print(bench: Bench, after: float, sections: dict[str, Section]) -> None:
    console = Console(width=110)
    speed = f"sgemm {bench.sgemm_gflops:.0f} GFLOP/s (after: {after:.0f}), copy {bench.copy_gbs:.1f} GB/s"
    table = Table(
        title=f"one thread, float32: {speed}",
        caption="share: of what the arithmetic alone would allow at this sgemm speed",
    )
    table.add_column("workload")
    for column in ("measured", "unit", "bar", "bar met", "arithmetic limit", "share"):
        table.add_column(column, justify="right")
    for section in sections.values():
        for row in section.rows:
            met = {True: "yes", False: "NO", None: ""}[row.met]
            limit = "" if row.limit is None else f"{row.limit:,.1f}"
            share = "" if row.share is None else f"{row.share:.0%}"
            bar = "" if row.bar is None else f"{row.bar:,.1f}"
            table.add_row(row.name, f"{row.value:,.2f}", row.unit, bar, met, limit, share)
        table.add_section()
    console.print(table)
    for name, section in sections.items():
        if section.note:
            console.print(f"[bold]{name}[/]: {section.note}", highlight=False)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
