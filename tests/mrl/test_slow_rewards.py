"""Slow rewards in rollouts and training: play goes on meanwhile, and a judge that dies loses nothing."""

import time

import pytest
import torch
from judge import Judge, example, serving

from rxt_mrl.contracts import RewardSpec
from rxt_mrl.errors import UserError
from rxt_mrl.mrl.stages import Stage


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RXT_MRL_CACHE", str(tmp_path / "cache"))


def judged(folder, judge, **more):
    calls = {"limit": 16, "backoff": 0.01, "timeout": 10, "retries": 1} | more.pop("calls", {})
    terms = [{"use": f"{example(folder)}:LlmJudge", "options": {"url": judge.url}, "calls": calls}]
    return RewardSpec.model_validate({"terms": terms, **more})


COUNTED = """
import asyncio

async def counted(context):
    await asyncio.sleep({seconds})
    return len(context.generated.text[0]) % 7 / 7
"""


def spec_of(folder, seconds):
    file = folder / "counted.py"
    file.write_text(COUNTED.format(seconds=seconds))
    return RewardSpec.model_validate({"terms": [{"use": f"{file}:counted", "calls": {"limit": 16, "cache": False}}]})


def test_slow_scores_are_those_of_a_fast_reward(tmp_path, model, play):
    file = tmp_path / "plain.py"
    file.write_text("def plain(context):\n    return [len(text) % 7 / 7 for text in context.generated.text]\n")
    fast = play(model, reward=RewardSpec.model_validate(f"{file}:plain"), answers=3)
    slow = play(model, reward=spec_of(tmp_path, 0.01), answers=3)
    assert torch.equal(fast.action_ids, slow.action_ids)
    assert torch.equal(fast.rewards, slow.rewards)
    assert torch.equal(fast.valid, slow.valid)
    assert slow.terms["counted"].shape == fast.terms["plain"].shape


@pytest.mark.slow
@pytest.mark.timed
def test_a_judge_costs_what_its_throughput_allows(tmp_path, model, play):
    with serving(Judge()) as judge:
        started = time.perf_counter()
        play(model, count=20, shard=5, answers=3, reward=judged(tmp_path, judge, calls={"cache": False}))
        alone = time.perf_counter() - started
    with serving(Judge(seconds=0.5)) as judge:
        spec = judged(tmp_path, judge, calls={"cache": False})
        started = time.perf_counter()
        batch = play(model, count=20, shard=5, answers=3, reward=spec)
        took = time.perf_counter() - started
    allowed = judge.calls / 16 * 0.5  # answers of a step that are alike are asked for once
    print(f"{judge.calls} calls took {took:.2f} s, {allowed:.2f} s allowed; play alone {alone:.2f} s")
    assert batch.valid.all()
    assert judge.most == 16
    assert took <= 1.3 * max(allowed, alone) + 0.5  # the last call begins up to 0.5 s after its place was free


def test_a_judge_that_dies_in_mid_run_loses_nothing(tmp_path, make_model, train, run, new_run):
    def trained(judge, run, resume=False, **more):
        spec = judged(tmp_path, judge, **more)
        return train(make_model(), run=run, resume=resume, reward=spec, stages=[Stage(steps=3, updates=3)])

    with serving(Judge()) as judge:
        trained(judge, new_run("whole"))
        whole = new_run("whole").path / "checkpoints" / "mrl"
    dead = Judge(fault=lambda number: "error" if number > 30 else "")
    with serving(dead) as judge, pytest.raises(UserError, match=r"reward 'llm_judge': HTTPError: .*500"):
        trained(judge, run, calls={"cache": False})
    with serving(Judge()) as judge:
        trained(judge, run, resume=True)
    from safetensors.torch import load_file

    there, here = (load_file(folder / "model.safetensors") for folder in (whole, run.path / "checkpoints" / "mrl"))
    assert all(torch.equal(value, here[name]) for name, value in there.items())


def test_too_many_unknown_scores_stop_the_run(tmp_path, model, train, run):
    with serving(Judge(fault=lambda number: "error" if number % 2 else "")) as judge:
        spec = judged(tmp_path, judge, on_error="skip", max_unknown=0.1, calls={"retries": 0, "cache": False})
        with pytest.raises(
            UserError, match=r"mrl-1: \d+ of 24 answers have no score, more than reward.max_unknown = 0.1"
        ):
            train(model, reward=spec)
        train(model, reward=spec.model_copy(update={"max_unknown": None}))
    assert 0 < run.logged[-1]["unknown"] < 1
