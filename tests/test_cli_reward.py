"""A user's reward in a file outside of the package: checked, trained with, and reported where it fails."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

SHORT = (
    "--set", "supervised={}", "--set", "curriculum=[{steps: 2, updates: 3}]", "--set", "evaluation.episodes=2",
    "--set", "evaluation.score=false",
)  # fmt: skip


def write(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture
def vowels(tmp_path: Path) -> Path:
    return write(
        tmp_path / "my rewards.py",
        '''
        """Rewards of mine."""
        from rxt_mrl.contracts import RewardContext


        class Vowels:
            """Answers with many vowels."""

            def __init__(self, scale: float = 0.5) -> None:
                self.scale = scale

            def __call__(self, context: RewardContext) -> list[float]:
                return [self.scale if "a" in text else 0.25 for text in context.generated.text]
        ''',
    )


def test_reward_check(cli: Command, vowels: Path, tmp_path: Path) -> None:
    outcome = cli("reward", "check", f"{vowels}:Vowels", "--set", "scale=0.75")
    assert outcome.code == 0, outcome.err
    assert "0.75" in outcome.out
    assert "cannot tell" in outcome.out
    assert cli("reward", "check", "bleu").code == 0
    bad = write(tmp_path / "bad.py", "def bad(context):\n    return [1 / 0] * len(context)\n")
    line = cli("reward", "check", f"{bad}:bad").line
    assert "bad.py:2" in line
    assert "ZeroDivisionError" in line
    for spec, message in (("nosuch", "unknown reward"), ("gone.py:X", "no file"), (f"{bad}:good", "no 'good'")):
        outcome = cli("reward", "check", spec)
        assert message in outcome.line
        assert outcome.out == ""


def test_training_with_a_reward_of_a_file(cli: Command, tiny: Path, vowels: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = cli("train", tiny, "--out", run, "--reward", f"{vowels}:Vowels", *SHORT)
    assert outcome.code == 0, outcome.err
    lines = [json.loads(line) for line in (run / "rollouts" / "mrl-1.jsonl").read_text().splitlines()]
    assert len(lines) == 3 * 6 * 2
    assert {line["reward"] for line in lines} <= {0.25, 0.5}
    assert all(line["reward"] == (0.5 if "a" in line["generated"] else 0.25) for line in lines)
    assert cli("evaluate", run, "--set", f"evaluation.reward={{terms: [{{use: '{vowels}:Vowels'}}]}}",
               "--set", "evaluation.score=true").code == 0  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('return [text.index("no such") for text in context.generated.text]', "ValueError"),
        ('return [float("nan")] * len(context)', "returned nan"),
        ("return [0.5] * (len(context) + 1)", "returned shape (2,), expected (1,)"),
        ("return [1.5] * len(context)", "1.5"),
        ("return ['good'] * len(context)", "expected numbers"),
    ],
    ids=["raises", "nan", "length", "range", "type"],
)
def test_a_reward_that_fails_is_reported_with_example_and_line(
    cli: Command, tiny: Path, tmp_path: Path, body: str, message: str
) -> None:
    path = write(tmp_path / "mine.py", f"def mine(context):\n    {body}\n")
    line = cli("train", tiny, "--out", tmp_path / "run", "--reward", f"{path}:mine", *SHORT).line
    assert message in line
    assert "mine.py:" in line


def test_a_run_goes_on_when_its_reward_is_mended(cli: Command, tiny: Path, tmp_path: Path) -> None:
    """It fails in the third update; the two before are kept."""
    run = tmp_path / "run"
    good = f"""
        from pathlib import Path

        def mine(context):
            log = Path({str(run / "metrics.jsonl")!r})
            done = log.read_text().count("reward_mean") if log.exists() else 0
            return [0.5 for _ in context.generated.text]
    """
    path = write(tmp_path / "mine.py", good.replace("return [0.5", "return [0.5 / (done < 2)"))
    command = ("train", tiny, "--out", run, "--reward", f"{path}:mine", *SHORT)
    line = cli(*command).line
    assert "mine.py:7" in line
    assert "ZeroDivisionError" in line
    assert "query" in line

    def steps() -> list[int]:
        logged = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
        return [entry["step"] for entry in logged if entry["section"] == "mrl"]

    assert steps() == [1, 2]
    write(path, good)
    outcome = cli(*command, "--resume")
    assert outcome.code == 0, outcome.err
    assert steps() == [1, 2, 3]
    assert "MRL: 3 updates" in outcome.out


def test_rescore_with_several_rewards(cli: Command, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.jsonl"
    rollouts = finished / "rollouts" / "mrl-1.jsonl"
    assert cli("rescore", rollouts, "--reward", "bleu", "--reward", "length", "--out", out).code == 0
    assert set(json.loads(out.read_text().splitlines()[0])["terms"]) == {"bleu", "length"}
