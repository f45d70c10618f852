"""The same seed gives the same weights, bit for bit: many runs in one process, whose memory is never twice the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.slow

RUNS = 50


@pytest.mark.timeout(900)
def test_fifty_runs_of_one_seed(cli: Callable[..., Any], tiny: Path, tmp_path: Path) -> None:
    chance, pieces, seen = np.random.default_rng(0), [], []
    for number in range(RUNS):
        run = tmp_path / "run"
        few = ("--set", "evaluation.episodes=2", "--set", "evaluation.score=false")
        assert cli("train", tiny, "--out", run, *few, *(["--overwrite"] if number else [])).code == 0
        files = [*sorted((run / "checkpoints").glob("*/model.safetensors")), run / "rollouts" / "mrl-2.jsonl"]
        seen.append([(path.parent.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files])
        pieces = [piece for piece in pieces if chance.random() < 0.5]
        pieces += [np.full(size, np.nan, np.float32) for size in chance.integers(1, 5000, 200)]
    assert [number for number, hashes in enumerate(seen) if hashes != seen[0]] == []
