"""The snippets of docs/rewards.md work as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from rxt_mrl.contracts import RewardContext, RewardSpec
from rxt_mrl.scoring import WeightedReward, check_reward

TEXT = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_example_is_written_tried_checked_and_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    reward, trial, *_ = _blocks("python")
    Path("my_reward.py").write_text(reward)
    exec(trial, {})
    assert capsys.readouterr().out == "tensor([1., 0.])\n"
    assert len([line for line in reward.splitlines() if line.strip()]) <= 20
    report = check_reward("my_reward.py:Friendly")
    assert report.ok
    assert "wrong value" in report.failed
    total = WeightedReward(RewardSpec.model_validate(yaml.safe_load(_blocks("yaml")[0])["reward"]))
    assert total.weights == pytest.approx({"fact_recall": 0.8, "friendly": 0.2})
    assert total.metric_names == ["bleu"]
    result = total(RewardContext.from_text(["q"], ["thanks"], "a reference"))
    assert result.total.tolist() == [1.0]
