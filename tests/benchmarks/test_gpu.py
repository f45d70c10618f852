"""The script for people with a GPU runs here too, at small sizes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_small_sizes_on_a_cpu(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, Path(__file__).with_name("gpu.py"), "--device", "cpu", "--small", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(out.read_text())
    for name in ("alpha-micro", "alpha-supervised"):
        found = report[name]
        assert found["correct"]["float32"]["log_prob_mean_difference"] < 1e-6
        assert 0 < found["correct"]["bfloat16"]["log_prob_mean_difference"] < 0.02
        assert all(speed > 0 for rows in found["generation_tokens_per_s"].values() for speed in rows.values())
        assert found["update"].keys() == {"float32", "bfloat16"}
        assert all(0 < update["share_of_bfloat16_limit"] < 1 for update in found["update"].values())
    assert "same: log-probabilities" in done.stdout
