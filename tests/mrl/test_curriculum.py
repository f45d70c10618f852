import math

import pytest
import torch

from rxt_mrl.contracts import Unfreeze
from rxt_mrl.mrl.config import AlgorithmSettings, OptimizerSettings, RolloutSettings
from rxt_mrl.mrl.curriculum import Counters, plan, policy_optimizer, promoted, rate, set_rates, turn
from rxt_mrl.mrl.stages import Promotion, Stage


def episodes_of(shards, what):
    return [value for shard in shards for value in getattr(shard, what)]


def test_the_plan_plays_every_dialogue_once_then_again():
    settings, stage = RolloutSettings(episodes=6, shard=4), Stage(steps=3, updates=9)
    played = []
    for update in range(5):
        shards = plan(settings, stage, seed=1, index=0, update=update, dialogues=[10])
        assert [len(shard.dialogues) for shard in shards] == [4, 2]
        played += episodes_of(shards, "dialogues")
    assert sorted(played[:10]) == sorted(played[10:20]) == list(range(10))
    assert played[:10] != played[10:20]


def test_sources_and_lengths_take_turns_by_their_shares():
    stage = Stage(steps=[2, 3], updates=40, data={"main": 3, "long": 1})
    parts = list(stage.parts)
    assert parts == [("main", 2), ("main", 3), ("long", 2), ("long", 3)]
    turns = [turn(stage, update) for update in range(40)]
    assert [sum(one.part == part for one in turns) for part in range(4)] == [15, 15, 5, 5]
    assert [one.before for one in turns if one.part == 2] == list(range(5))
    played = []
    for update, one in enumerate(turns):
        shards = plan(RolloutSettings(episodes=2), stage, seed=1, index=0, update=update, dialogues=[10, 10, 10, 10])
        assert {shard.setup for shard in shards} == {one.part}
        if one.part == 2:
            played += episodes_of(shards, "dialogues")
    assert sorted(played) == list(range(10))


def test_what_goes_on_to_memory_may_change_during_a_stage():
    settings = RolloutSettings(episodes=400, carry={"start": {"reference": 1}, "end": {"sampled": 1}})
    stage = Stage(steps=3, updates=11)

    def share(update, stage=stage):
        kinds = episodes_of(plan(settings, stage, seed=1, index=0, update=update, dialogues=[10]), "carry")
        return kinds.count("reference") / 400 if kinds else 0.0

    assert share(0) == 1.0
    assert share(5) == pytest.approx(0.5, abs=0.1)
    assert share(10) == 0.0
    assert share(5, Stage(steps=3, updates=11, carry="best")) == 0.0


def test_the_share_of_carried_memories_is_what_the_stage_says():
    settings = RolloutSettings(episodes=400)
    for share in (0.0, 0.25, 1.0):
        shards = plan(
            settings, Stage(steps=3, updates=9, random_resets=share), seed=1, index=0, update=0, dialogues=[10]
        )
        fresh = sum(before < 0 for before in episodes_of(shards, "before")) / 400
        assert fresh == pytest.approx(share, abs=0.07)


def test_rates_follow_schedule_components_and_unfreezing(model):
    settings = AlgorithmSettings(optimizer={"learning_rate": 1.0, "lr_scale": {"decoder": 0.5}})
    optimizer = policy_optimizer(model, settings.optimizer)
    stage = Stage(
        steps=3,
        updates=10,
        unfreeze=[
            Unfreeze(at=0, components=["memory_attention"]),
            Unfreeze(at=4, components=["decoder"], lr_scale={"decoder": 0.1}),
        ],
    )

    def rates(update, algorithm=settings, stage=stage):
        set_rates(optimizer, algorithm, stage, update)
        for group in optimizer.param_groups:
            assert all(parameter.requires_grad == (group["lr"] > 0) for parameter in group["params"])
        return {group["component"]: group["lr"] for group in optimizer.param_groups}

    frozen = {"embedding": 0, "encoder": 0, "memory_cross_attention": 0}
    assert rates(3) == {**frozen, "memory_attention": 1.0, "decoder": 0.0}
    assert rates(4) == pytest.approx({**frozen, "memory_attention": 1.0, "decoder": 0.05})
    everything = rates(0, stage=Stage(steps=3, updates=10))
    assert everything == {
        "embedding": 1,
        "encoder": 1,
        "memory_attention": 1,
        "decoder": 0.5,
        "memory_cross_attention": 1,
    }
    reading = rates(
        0, AlgorithmSettings(freeze_memory=True, optimizer={"learning_rate": 1.0}), Stage(steps=3, updates=10)
    )
    assert [name for name, value in reading.items() if value] == ["decoder", "memory_cross_attention"]
    counted = sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
    assert counted == sum(parameter.numel() for parameter in model.parameters())
    model.requires_grad_(True)


def test_unfreezing_keeps_the_state_of_adam(model):
    optimizer = policy_optimizer(model, OptimizerSettings())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    kept = {id(parameter): state["exp_avg"].clone() for parameter, state in optimizer.state.items()}
    set_rates(optimizer, AlgorithmSettings(freeze_memory=True), Stage(steps=3, updates=2), 0)
    optimizer.step()
    set_rates(optimizer, AlgorithmSettings(), Stage(steps=3, updates=2), 1)
    frozen = [p for name in ("encoder", "memory_attention") for p in model.component_parameters(name)]
    assert all(torch.equal(optimizer.state[parameter]["exp_avg"], kept[id(parameter)]) for parameter in frozen)


def test_the_rate_warms_up_and_decays():
    settings = OptimizerSettings(warmup=3, decay=0.5)
    rates = [rate(settings, update, 10) for update in range(10)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[5:] == pytest.approx([5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_promotion_rules():
    threshold = Promotion(rule="threshold", value=0.8)
    assert [promoted(threshold, reward, Counters()) for reward in (0.7, 0.8)] == [False, True]
    plateau, counters = Promotion(rule="plateau", value=0.05, patience=2), Counters()
    seen = [promoted(plateau, reward, counters) for reward in (0.5, 0.6, 0.62, 0.63)]
    assert seen == [False, False, False, True]
    unknown, fresh = math.nan, Counters()
    assert [promoted(plateau, reward, fresh) for reward in (unknown, 0.2, unknown, 0.5)] == [False] * 4
    assert (fresh.best, fresh.stale) == (0.5, 0)
    counters.update, counters.total = 7, 7
    counters.next_stage()
    assert counters == Counters(stage=1, total=7, done=(7,))


@pytest.mark.parametrize("steps", [0, [], [4, 0], [4, 4]])
def test_lengths_that_cannot_be_played_are_refused(steps):
    with pytest.raises(ValueError, match="steps = "):
        Stage(steps=steps, updates=1)
