"""Slow rewards: many calls at once, again after a failure, kept on disk; what a judge does not answer is masked."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judge import Fault, Judge, example, serving

from rxt_mrl.contracts import RewardContext, RewardSpec, reward
from rxt_mrl.errors import UserError
from rxt_mrl.scoring import RewardError, WeightedReward, load_reward


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RXT_MRL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def spec(folder: Path, judge: Judge, calls: dict[str, Any] | None = None, **more: Any) -> RewardSpec:
    calls = {"backoff": 0.01, "timeout": 5.0, **(calls or {})}
    term = {"use": f"{example(folder)}:LlmJudge", "options": {"url": judge.url}, "calls": calls}
    return RewardSpec.model_validate({"terms": [term], **more})


def answers(count: int) -> RewardContext:
    texts = [f"{'right' if number % 2 else 'wrong'} {number}" for number in range(count)]
    return RewardContext.from_text(["q"] * count, texts, "right")


def test_the_judge_of_the_docs_is_asked_many_times_at_once(tmp_path: Path) -> None:
    with serving(Judge(seconds=0.4)) as judge:
        total = WeightedReward(spec(tmp_path, judge, {"limit": 8}))
        started = time.perf_counter()
        result = total(answers(32))
        seconds = time.perf_counter() - started
    assert result.total.tolist() == [0.0, 1.0] * 16
    assert 2 < judge.most <= 8
    assert seconds < 6.4  # 12.8 s one after the other, 1.6 s at best


@pytest.mark.parametrize(
    "fault",
    [
        lambda number: "error" if number < 5 else "",
        lambda number: "limited" if number % 2 else "",
        lambda number: "garbled" if number < 4 else "",
        lambda number: "silent" if number < 2 else "",
    ],
    ids=["failing", "rate-limited", "wrong JSON", "slow"],
)
def test_what_fails_is_asked_again(tmp_path: Path, fault: Fault) -> None:
    with serving(Judge(fault=fault)) as judge:
        result = WeightedReward(spec(tmp_path, judge, {"timeout": 0.5, "retries": 8}))(answers(8))
    assert result.total.tolist() == [0.0, 1.0] * 4
    assert judge.calls > 8


def test_a_score_is_asked_for_once(tmp_path: Path) -> None:
    with serving(Judge()) as judge:
        total = WeightedReward(spec(tmp_path, judge))
        alike = RewardContext.from_text(["q"] * 4, ["right", "wrong", "right", "right"], "right")
        assert total(alike).total.tolist() == [1.0, 0.0, 1.0, 1.0]
        assert judge.asked == {"right": 1, "wrong": 1}
        assert WeightedReward(spec(tmp_path, judge))(alike).total.tolist() == [1.0, 0.0, 1.0, 1.0]
        assert judge.calls == 2, "another process, or a resumed run, finds the scores on disk"
        other = RewardContext.from_text(["another"], ["right"], "right")
        total(other)
        assert judge.calls == 3, "another question is another answer"
        WeightedReward(spec(tmp_path, judge, {"cache": False}))(alike)
        assert judge.calls == 5


def test_columns_count_whole_and_stay_as_they_were() -> None:
    @reward(concurrent=True)
    def last(context: RewardContext) -> float:
        context.columns["tags"][0].append("changed")
        return float(context.columns["vector"][0][1000])

    vectors = [np.zeros(2000), np.zeros(2000)]
    vectors[1][1000] = 0.5  # in the middle: printed they are alike
    tags = [["a"], ["a"]]
    given = RewardContext.from_text(["q"] * 2, ["x"] * 2, columns={"vector": vectors, "tags": tags})
    assert load_reward(last)(given) == [0.0, 0.5]
    assert tags == [["a"], ["a"]]


def test_another_source_is_another_reward(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    for score in (0.25, 0.75):
        file.write_text(f"async def mine(context):\n    return {score}\n")
        assert WeightedReward(RewardSpec.model_validate(f"{file}:mine"))(answers(1)).total.tolist() == [score]


def test_what_a_judge_does_not_answer_is_masked_or_stops(tmp_path: Path) -> None:
    with serving(Judge(fault=lambda number: "error" if number % 2 else "")) as judge:
        once = {"retries": 0, "limit": 1, "cache": False}
        result = WeightedReward(spec(tmp_path, judge, once, on_error="skip"))(answers(6))
        assert result.valid.tolist() == [True, False] * 3
        assert result.failed.tolist() == [False, True] * 3
        with pytest.raises(RewardError, match=r"reward 'llm_judge': HTTPError: .*500.*llm_judge\.py:\d+; episode"):
            WeightedReward(spec(tmp_path, judge, once))(answers(2))
    with pytest.raises(RewardError, match="reward 'llm_judge': ConnectionError"):
        WeightedReward(spec(tmp_path, judge, {"retries": 1}))(answers(1))


@reward(concurrent=True, name="waits")
class Waits:
    def __call__(self, context: RewardContext) -> list[float]:
        assert len(context) == 1
        time.sleep(0.05)
        return [0.5]


async def theirs(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    return [float(text.startswith("right")) for text in completions]


def test_threads_and_trl() -> None:
    started = time.perf_counter()
    total = WeightedReward(
        RewardSpec.model_validate({"terms": [{"use": f"{__name__}:Waits", "calls": {"cache": False}}]})
    )
    assert total(answers(16)).total.tolist() == [0.5] * 16
    assert time.perf_counter() - started < 0.6  # 0.8 s one after the other
    assert list(total.weights) == ["waits"]
    assert pickle.loads(pickle.dumps(load_reward(theirs)))(answers(2)) == [0.0, 1.0]
    with pytest.raises(UserError, match="calls are of rewards that are async"):
        WeightedReward(RewardSpec.model_validate({"terms": [{"use": "length", "calls": {"limit": 2}}]}))


def test_a_term_counts_where_it_is_told_to() -> None:
    def counts(step: int, now: str = "standard", **where: Any) -> bool:
        terms = [{"use": "repetition"}, {"use": "length", **where}]
        context = RewardContext.from_text(["q"], ["a"], "a b", step=step, steps=3, mode=now)  # type: ignore[arg-type]
        result = WeightedReward(RewardSpec.model_validate({"terms": terms}))(context)
        return not result.terms["length"].isnan().item()

    assert [counts(step, steps="last") for step in (1, 2, 3)] == [False, False, True]
    assert [counts(step, steps="first") for step in (1, 2, 3)] == [True, False, False]
    assert [counts(step, steps=[1, 3]) for step in (1, 2, 3)] == [True, False, True]
    assert [counts(1, mode, mode=["return"]) for mode in ("standard", "return")] == [False, True]
    assert [counts(1, strategy=name) for name in ("multi_step", "long_range")] == [True, False]


@reward(episode=True)
def whole(context: RewardContext) -> list[float]:
    assert len(context.history) == context.steps
    return [1.0] * len(context)


def test_a_reward_of_the_whole_episode_is_paid_at_the_last_step() -> None:
    total = WeightedReward(RewardSpec.model_validate({"terms": [{"use": f"{__name__}:whole"}]}))
    history = [[("a", "b")] * 2]
    assert total(RewardContext.from_text(["q"], ["a"], history=history, step=2, steps=3)).valid.tolist() == [False]
    last = RewardContext.from_text(["q"], ["a"], history=[[("a", "b")] * 3], step=3, steps=3)
    assert total(last).total.tolist() == [1.0]


FAULTY = """
import asyncio, sys

from rxt_mrl.contracts import reward

said = []


async def odd(context):
    said.append(context.generated.text[0])
    return {value} if len(said) < 7 else 0.5


@reward(concurrent=True)
def leaves(context):
    sys.exit("enough")


async def leaves_too(context):
    sys.exit("enough")
"""


def faulty(folder: Path, name: str, value: str = "0", **more: Any) -> WeightedReward:
    file = folder / "faulty.py"
    file.write_text(FAULTY.format(value=value))
    term = {"use": f"{file}:{name}", "calls": {"backoff": 0.01, "retries": 1}}
    return WeightedReward(RewardSpec.model_validate({"terms": [term], **more}))


@pytest.mark.parametrize(("value", "said"), [("float('nan')", "nan"), ("7", "7"), ("-0.5", "-0.5")])
def test_a_value_that_will_not_do_is_asked_again_and_never_kept(tmp_path: Path, value: str, said: str) -> None:
    for _ in range(2):
        with pytest.raises(RewardError, match=rf"reward 'odd': returned {said}, expected a float in \[0, 1\]"):
            faulty(tmp_path, "odd", value)(answers(1))
    again = faulty(tmp_path, "odd", value, on_error="skip")
    assert [again(answers(1)).total.tolist() for _ in range(2)] == [[0.0], [0.5]]


@pytest.mark.parametrize("name", ["leaves", "leaves_too"])
def test_a_reward_that_leaves_the_process_is_an_error_of_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(RewardError, match=rf"reward '{name}': RuntimeError: SystemExit: enough at .*faulty\.py:\d+"):
        faulty(tmp_path, name)(answers(2))


@reward(concurrent=True, name="ends")
class Ends:
    def __call__(self, context: RewardContext) -> float:
        return next(iter(()))


def test_an_iterator_that_ends_is_a_failure_and_not_a_silence() -> None:
    term = {"use": f"{__name__}:Ends", "calls": {"retries": 0, "timeout": 30, "cache": False}}
    started = time.perf_counter()
    with pytest.raises(RewardError, match=r"reward 'ends': RuntimeError: StopIteration"):
        WeightedReward(RewardSpec.model_validate({"terms": [term]}))(answers(1))
    assert time.perf_counter() - started < 10


def test_a_call_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    (tmp_path / "hung.py").write_text(
        "import time\nfrom rxt_mrl.contracts import reward\n"
        "@reward(concurrent=True)\ndef hung(context):\n    time.sleep(600)\n"
    )
    calls = {"timeout": 0.2, "retries": 0, "cache": False}
    (tmp_path / "main.py").write_text(
        "from rxt_mrl.contracts import RewardContext, RewardSpec\nfrom rxt_mrl.scoring import WeightedReward\n"
        f"spec = RewardSpec(terms=[{{'use': 'hung.py:hung', 'calls': {calls}}}], on_error='skip')\n"
        "print(WeightedReward(spec)(RewardContext.from_text(['q'], ['a'], 'a')).failed.tolist())\n"
    )
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "[True]\n"), done.stderr


def test_a_server_is_left_alone_for_as_long_as_it_asks(tmp_path: Path) -> None:
    with serving(Judge(fault=lambda number: "limited" if not number else "", retry_after=1)) as judge:
        started = time.perf_counter()
        assert WeightedReward(spec(tmp_path, judge))(answers(1)).total.tolist() == [0.0]
    assert time.perf_counter() - started >= 1


def test_a_cache_that_cannot_be_used_is_one_line(tmp_path: Path, cache: Path) -> None:
    cache.mkdir()
    (cache / "scores.sqlite").write_text("no database " * 100)
    with pytest.raises(UserError, match=r"scores\.sqlite: scores cannot be kept there: file is not a database; delete"):
        faulty(tmp_path, "odd", "0.5", on_error="skip")(answers(1))
