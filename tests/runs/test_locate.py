"""Which checkpoint a run directory stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from rxt_mrl.errors import UserError
from rxt_mrl.runs import RunDir
from rxt_mrl.runs.checkpoints import locate


def test_it_is_that_of_the_last_stage_and_no_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: x\n")
    (tmp_path / "progress.json").write_text('{"memory_aware": {}, "mrl": {}}')
    for stage in ("memory_aware", "mrl"):
        (tmp_path / "checkpoints" / stage).mkdir(parents=True)
        (tmp_path / "checkpoints" / stage / "config.json").write_text("{}")
    assert RunDir.holds_run(tmp_path)
    assert locate(tmp_path) == tmp_path / "checkpoints" / "mrl"
    (tmp_path / "checkpoints" / "mrl" / "config.json").unlink()
    with pytest.raises(UserError, match=r"checkpoints/mrl: the checkpoint of the run's last stage is gone"):
        locate(tmp_path)
