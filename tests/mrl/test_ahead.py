"""One update ahead: the weights that play are those before the last update, whoever plays, and resuming is exact."""

import os
import signal

import pytest
import torch

from rxt_mrl.mrl import trainer as module
from rxt_mrl.mrl.pool import LocalPool
from rxt_mrl.mrl.stages import Stage

AHEAD = {"answers": 4, "ahead": 1}
RLOO = {"advantage": {"kind": "rloo"}, "optimizer": {"learning_rate": 3e-3}, "objective": {"target_kl": None}}


def same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.fixture
def played(monkeypatch):
    """A weight of the model each time that training episodes are played, and each time that an update begins."""
    seen = {"played": [], "learnt": []}

    class Pool(LocalPool):
        def rollout(self, shards):
            seen["played"].append(self._worker.model.embedding.weight.sum().item())
            return super().rollout(shards)

    real = module.Learner.update

    def update(self, *arguments, **options):
        seen["learnt"].append(self.model.embedding.weight.sum().item())
        return real(self, *arguments, **options)

    monkeypatch.setattr(module, "make_pool", lambda model, _: Pool(model))
    monkeypatch.setattr(module.Learner, "update", update)
    return seen


def test_each_update_is_played_with_the_weights_before_the_last(make_model, train, run, played):
    train(make_model(), stages=[Stage(steps=2, updates=2), Stage(steps=3, updates=3)], algorithm=RLOO, rollout=AHEAD)
    first, second = played["learnt"][:2], played["learnt"][2:]
    # Of each stage the first update is played with the present weights, and so is the second.
    assert played["played"] == [first[0], first[0], second[0], second[0], second[1]]
    assert len(set(played["learnt"])) == 5
    assert [line["updates_behind"] for line in run.logged] == [0, 1, 0, 1, 1]
    assert run.logged[0]["log_ratio_before"] < 1e-4 < run.logged[1]["log_ratio_before"]


@pytest.mark.parametrize("at", [1, 3])
def test_interrupted_and_resumed_equals_uninterrupted(make_model, train, new_run, dialogues, at):
    how = {
        "stages": [Stage(steps=3, updates=5, validation={"every": 2, "keep": "best"})],
        "algorithm": {**RLOO, "checkpoint_every": 2},
        "rollout": AHEAD,
        "validation": dialogues,
    }
    whole, whole_run, broken_run = make_model(), new_run("whole"), new_run("broken")
    train(whole, run=whole_run, **how)
    log = broken_run.metrics

    def press(values, step, section):
        log(values, step, section)
        if step == at and "reward_mean" in values:
            os.kill(os.getpid(), signal.SIGINT)

    broken_run.metrics = press
    with pytest.raises(KeyboardInterrupt):
        train(make_model(), run=broken_run, **how)
    del broken_run.metrics
    resumed = make_model(seed=5)
    train(resumed, run=broken_run, **how, resume=True)
    assert same(whole, resumed)
    assert whole_run.rollout_path("mrl-1").read_bytes() == broken_run.rollout_path("mrl-1").read_bytes()
    steps = [(line["step"], line.get("updates_behind")) for line in whole_run.logged]
    assert steps == [(line["step"], line.get("updates_behind")) for line in broken_run.logged]


@pytest.mark.slow
def test_workers_give_what_this_process_gives(make_model, train, new_run):
    models = []
    for workers in (0, 1, 2):
        models.append(make_model())
        rollout = {**AHEAD, "workers": workers, "shard": 3, "timeout": 240}
        train(
            models[-1], run=new_run(str(workers)), algorithm=RLOO, rollout=rollout, stages=[Stage(steps=3, updates=3)]
        )
    assert same(models[0], models[1])
    assert same(models[0], models[2])
    behind = make_model()
    train(
        behind,
        run=new_run("not"),
        algorithm=RLOO,
        rollout={**AHEAD, "ahead": 0, "shard": 3},
        stages=[Stage(steps=3, updates=3)],
    )
    assert not same(models[0], behind)
