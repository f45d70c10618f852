"""What a reward learns while it is called is a part of the training: saved, resumed, merged over workers."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rxt_mrl.contracts import RewardSpec
from rxt_mrl.errors import UserError
from rxt_mrl.mrl.curriculum import fixed_plan
from rxt_mrl.mrl.pool import LocalPool
from rxt_mrl.mrl.stages import Stage

RARE = '''
"""Answers that were seldom given before earn more."""

import numpy as np
import torch
{base}
class Rare{of}:
    def __init__(self):
        {first}
        self.seen, self.total, self.mean = {{}}, np.zeros(2), torch.zeros(1)

    def __call__(self, context):
        scores = [1 / (1 + self.seen.get(text, 0)) for text in context.generated.text]
        for text in context.generated.text:
            self.seen[text] = self.seen.get(text, 0) + 1
        self.total[0] += len(context)
        self.mean += 0.25 * (sum(scores) / len(scores) - self.mean)
        return scores

    def state_dict(self):
        return {{"seen": self.seen, "total": self.total, "mean": self.mean}}

    def load_state_dict(self, state):
        self.seen, self.total, self.mean = state["seen"], state["total"], state["mean"]
'''
MERGE = """
    def merge(self, states):
        before = dict(self.seen)
        for state in states:
            for text, count in state["seen"].items():
                self.seen[text] = self.seen.get(text, 0) + count - before.get(text, 0)
        self.total = self.total + sum(state["total"] - self.total for state in states)
        self.mean = sum(state["mean"] for state in states) / len(states)
"""


def rare(folder, *, merge=False):
    file = folder / ("merging.py" if merge else "rare.py")
    file.write_text(RARE.format(base="", of="", first="pass") + MERGE * merge)
    return RewardSpec(terms=[{"use": f"{file}:Rare"}])


def weights(run):
    from safetensors.torch import load_file

    return load_file(run.path / "checkpoints" / "mrl" / "model.safetensors")


def state_of(run):
    (state,) = torch.load(run.path / "checkpoints" / "mrl" / "trainer.pt", weights_only=True)["rewards"].values()
    return state


def assert_same_run(one, other):
    there = weights(other)
    assert all(torch.equal(value, there[name]) for name, value in weights(one).items())
    first, second = state_of(one), state_of(other)
    assert first["seen"] == second["seen"]
    assert torch.equal(first["mean"], second["mean"])
    for name in ("mrl-1", "mrl-2"):
        assert one.rollout_path(name).read_bytes() == other.rollout_path(name).read_bytes()


CURRICULUM = {
    "stages": [Stage(steps=3, updates=2), Stage(steps=2, updates=3, validation={"every": 1, "episodes": 4})],
    "rollout": {"shard": 4},
    "algorithm": {"checkpoint_every": 1},
}


@pytest.fixture
def stopped(train, new_run):
    """Train, stopped while update ``at`` is logged; then gone on with from the last checkpoint."""

    def start(make_model, at, name="broken", **given):
        broken = new_run(name)
        log = broken.metrics

        def stop(values, step, section):
            log(values, step, section)
            if step == at and "reward_mean" in values:
                raise RuntimeError("the machine went away")  # as a kill: nothing more is saved

        broken.metrics = stop
        with pytest.raises(RuntimeError, match="went away"):
            train(make_model(), run=broken, **given)
        del broken.metrics
        train(make_model(seed=5), run=broken, resume=True, **given)
        return broken

    return start


@pytest.mark.parametrize(("merge", "ahead"), [(False, 0), (True, 1)])
def test_resumed_equals_uninterrupted(tmp_path, make_model, train, new_run, stopped, dialogues, merge, ahead):
    given = {**CURRICULUM, "rollout": {"shard": 4, "ahead": ahead}, "reward": rare(tmp_path, merge=merge)}
    given["validation"] = dialogues
    whole = new_run("whole")
    train(make_model(), run=whole, **given)
    assert sum(state_of(whole)["seen"].values()) == 8 * (2 * 3 + 3 * 2)  # the looks count for nothing
    assert_same_run(whole, stopped(make_model, 4, **given))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_keep_one_state(tmp_path, make_model, train, new_run, stopped, dialogues, workers):
    given = {**CURRICULUM, "reward": rare(tmp_path, merge=True), "validation": dialogues}
    alone = new_run("alone")
    train(make_model(), run=alone, **given)
    given["rollout"] = {"shard": 4, "workers": workers, "timeout": 240}
    assert_same_run(alone, stopped(make_model, 4, **given))


def test_a_state_that_cannot_be_merged_is_refused(tmp_path, make_model, train):
    with pytest.raises(UserError, match=r"'Rare' has a state \(state_dict\), and with rollout.workers = 2 each would"):
        train(make_model(), reward=rare(tmp_path), rollout={"workers": 2})
    file = tmp_path / "module.py"
    file.write_text(
        RARE.format(base="\n", of="(torch.nn.Module)", first="super().__init__()").replace("torch.zeros", "torch.ones")
    )
    with pytest.raises(UserError, match=r"a torch module that never changes returns \{\} there"):
        train(make_model(), reward=RewardSpec(terms=[{"use": f"{file}:Rare"}]), rollout={"workers": 2})


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (
            "lambda self: {'a': [object()]}",
            r"state_dict\(\) holds a object in \['a'\]; allowed: numbers, texts, tensors",
        ),
        ("lambda self: 1 / 0", r"state_dict|<lambda> failed: ZeroDivisionError"),
        ("None", "has a state and no method state_dict"),
    ],
)
def test_a_state_that_cannot_be_saved_is_one_line(tmp_path, make_model, train, state, line):
    file = tmp_path / "mine.py"
    file.write_text(RARE.format(base="", of="", first="pass") + f"\n    state_dict = {state}\n")
    with pytest.raises(UserError, match=line) as raised:
        train(make_model(), reward=RewardSpec(terms=[{"use": f"{file}:Rare"}]))
    assert "\n" not in str(raised.value)


def test_a_state_that_does_not_fit_any_more_is_one_line(tmp_path, make_model, train, run):
    spec, log = rare(tmp_path), run.metrics
    given = {"reward": spec, "stages": [Stage(steps=3, updates=2)]}

    def stop(values, step, section):
        raise RuntimeError("the machine went away")

    run.metrics = stop
    with pytest.raises(RuntimeError):
        train(make_model(), **given)
    run.metrics = log
    file = tmp_path / "rare.py"
    file.write_text(file.read_text().replace('state["seen"]', 'state["known"]'))
    with pytest.raises(UserError, match=r"reward 'Rare': load_state_dict failed: KeyError: 'known' .*rare.py:"):
        train(make_model(), resume=True, **given)


def test_two_trainings_do_not_share_an_object(tmp_path, setup_of, model):
    file = tmp_path / "rare.py"
    file.write_text(RARE.format(base="", of="", first="pass") + "\n\nshared = Rare()\n")
    spec = RewardSpec(terms=[{"use": f"{file}:shared"}])
    played = []
    for _ in range(2):
        pool = LocalPool(model)
        pool.configure([setup_of(reward=spec)])
        played.append(pool.rollout(fixed_plan(4, shard=4, seed=0)))
    assert torch.equal(played[0].rewards, played[1].rewards)


def test_the_example_of_the_docs_counts_alike_in_one_shard_and_in_many(tmp_path, setup_of, model):
    from rxt_mrl.scoring.states import capture, merged

    text = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")
    file = tmp_path / "novelty.py"
    file.write_text(re.search(r"```python\n(class Novelty:.*?)```", text, re.S).group(1))
    counted = []
    for shard in (2, 8):
        pool, setup = LocalPool(model), setup_of(reward=RewardSpec(terms=[{"use": f"{file}:Novelty"}]))
        pool.configure([setup])
        begin = capture(setup.stateful)
        batch = pool.rollout([replace(one, states=begin) for one in fixed_plan(8, shard=shard, seed=0)])
        counted.append(merged(setup.stateful, begin, batch.states))
    assert counted[0] == counted[1]
    (state,) = counted[0].values()
    assert sum(state["seen"].values()) == 8 * 3
