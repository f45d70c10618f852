import dataclasses
import os
import signal

import pytest
import torch

from rxt_mrl.errors import UserError
from rxt_mrl.mrl.config import RolloutSettings
from rxt_mrl.mrl.curriculum import fixed_plan
from rxt_mrl.mrl.pool import LocalPool
from rxt_mrl.mrl.ray_workers import make_pool

pytestmark = pytest.mark.slow


def assert_same(one, other):
    for field in dataclasses.fields(one):
        value, twin = getattr(one, field.name), getattr(other, field.name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, twin), field.name
        elif isinstance(value, dict):
            assert all(torch.equal(value[key], twin[key]) for key in value), field.name
        else:
            assert value == twin, field.name


def process_of(actor):
    import ray

    return ray.get(actor.__ray_call__.remote(lambda worker: os.getpid()))


def test_workers_give_what_this_process_gives_and_are_replaced_when_they_die(make_model, setup_of, tmp_path, caplog):
    import ray

    model = make_model()
    shards = fixed_plan(10, shard=3, seed=4)
    local = LocalPool(model)
    local.configure([setup_of(answers=4)])
    expected = local.rollout(shards)
    pool = make_pool(model, RolloutSettings(workers=2, timeout=240))
    try:
        pool.configure([setup_of(answers=4)])
        pool.sync()
        assert_same(pool.rollout(shards), expected)

        # Killed workers: new ones get stage and weights again, and play the same episodes.
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01)
        expected = local.rollout(shards)
        pool.sync()
        for actor in pool.actors:
            os.kill(process_of(actor), signal.SIGKILL)
        assert_same(pool.rollout(shards), expected)
        assert "a rollout worker is replaced (" in caplog.text

        # A reward from a file that raises: its own line, no restart.
        plugin = tmp_path / "mine.py"
        plugin.write_text("def broken(context):\n    raise RuntimeError('my mistake')\n")
        from rxt_mrl.contracts import RewardSpec

        pool.configure([setup_of(reward=RewardSpec(terms=[{"use": f"{plugin}:broken"}]))])
        with pytest.raises(UserError, match="my mistake"):
            pool.rollout(shards)
    finally:
        pool.close()
    assert not ray.is_initialized()
