from __future__ import annotations

import pytest
from pydantic import ValidationError

from rxt_mrl.supervised.config import (
    JointSettings,
    MemoryAwareSettings,
    OptimizerSettings,
    StepsFrom,
    SupervisedSettings,
    TargetWeights,
)
from rxt_mrl.supervised.schedule import Budget, rate_factor


@pytest.mark.parametrize("values", [{}, {"updates": 5, "epochs": 1.0}, {"updates": 5, "batchsize": 3}])
def test_wrong_settings_are_refused(values):
    with pytest.raises(ValidationError):
        JointSettings(**values)


def test_steps_in_the_course_of_a_stage():
    settings = MemoryAwareSettings(
        updates=1, steps=6, steps_from=(StepsFrom(at=0, steps=2), StepsFrom(at=0.5, steps=6))
    )
    assert [settings.steps_at(share) for share in (0, 0.49, 0.5, 1)] == [2, 2, 6, 6]
    for wrong in ({"steps_from": [{"at": 0, "steps": 9}]}, {"min_steps": 7}):
        with pytest.raises(ValidationError):
            MemoryAwareSettings(updates=1, steps=6, **wrong)


def test_a_recipe_leaves_stages_out():
    settings = SupervisedSettings.model_validate({"memory_aware": {"updates": 3}})
    assert settings.joint is None
    assert settings.memory_aware is not None


def test_weights_of_new_data_fall_and_stay_above_the_floor():
    weights = TargetWeights()
    assert [round(weights.at(t), 2) for t in (0, 1, 2, 20)] == [0.9, 0.45, 0.4, 0.05]


def test_rate_warms_up_stays_and_decays():
    settings = OptimizerSettings(warmup=10, schedule="decay_last", decay_share=0.3, final=0.0)
    assert rate_factor(settings, 0, 0.0) == pytest.approx(0.1)
    assert rate_factor(settings, 50, 0.5) == 1.0
    assert rate_factor(settings, 85, 0.85) == pytest.approx(0.5)
    assert rate_factor(settings, 100, 1.0) == 0.0
    cosine = OptimizerSettings(warmup=0, schedule="cosine", final=0.1)
    assert rate_factor(cosine, 0, 0.0) == 1.0
    assert rate_factor(cosine, 9, 1.0) == pytest.approx(0.1)
    assert rate_factor(OptimizerSettings(warmup=0, schedule="constant"), 9, 1.0) == 1.0


def test_the_nearer_limit_counts():
    budget = Budget(100, max_seconds=10.0)
    budget.start(used=9.0)
    assert budget.share(10) >= 0.9
    assert budget.share(95) >= 0.95
    assert not budget.out_of_time
    budget.start(used=10.0)
    assert budget.out_of_time


def test_all_steps_that_a_batch_may_have():
    phases = (StepsFrom(at=0, steps=1), StepsFrom(at=0.5, steps=3))
    assert MemoryAwareSettings(updates=1, steps=4).all_steps == (4,)
    assert MemoryAwareSettings(updates=1, steps=4, steps_from=phases).all_steps == (1, 3)
    late = (StepsFrom(at=0.5, steps=2),)
    assert MemoryAwareSettings(updates=1, steps=4, steps_from=late).all_steps == (2, 4)
    assert MemoryAwareSettings(updates=1, steps=4, steps_from=late, min_steps=1).all_steps == (1, 2, 3, 4)
