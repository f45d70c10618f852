"""What a recipe asks of the machine, or of the machines, is refused before anything is made."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest

from rxt_mrl.errors import UserError
from rxt_mrl.pipeline.fits import check_workers
from rxt_mrl.pipeline.recipe import load_recipe
from rxt_mrl.runs import ranks

SCALING = Path(__file__).parents[1] / "docs" / "scaling.md"


def launched() -> list[tuple[int, list[str]]]:
    """Number of processes and words after ``train`` of each command of the page that starts several."""
    lines = re.findall(r"(?m)^(?:torchrun|accelerate launch) .*$", SCALING.read_text(encoding="utf-8"))
    assert lines, "the page starts no processes"
    counts = [re.findall(r"--(?:nnodes|nproc-per-node|num_processes) (\d+)", line) for line in lines]
    processes = [int(count[0]) * int(count[-1] if len(count) > 1 else 1) for count in counts]
    return [(number, shlex.split(line.split(" train ")[1])) for number, line in zip(processes, lines, strict=True)]


@pytest.mark.parametrize(("processes", "words"), launched())
def test_documented_launches_have_a_shard_for_each_process(
    processes: int, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "size", lambda: processes)
    name, *rest = words
    settings = [value for flag, value in itertools.pairwise(rest) if flag == "--set"]
    check_workers(load_recipe(name, settings))
    with pytest.raises(UserError, match=rf"and {processes} processes need one each; allowed: up to"):
        check_workers(load_recipe(name, [*settings, "rollout.shard=64"]))


def test_a_cluster_has_room_for_more_workers_than_this_machine(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match=r"rollout.workers = 1000: .*or rollout.address of a cluster"):
        check_workers(load_recipe(str(tiny), ["rollout.workers=1000"]))
    check_workers(load_recipe(str(tiny), ["rollout.workers=1000", "rollout.address=ray-head:6379"]))
