import math

import pytest
import torch

from rxt_mrl.contracts import RewardSpec
from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.evaluation.intervals import paired_gain
from rxt_mrl.model import RxT
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.mrl.config import EnvSpec
from rxt_mrl.mrl.sampled_reward import sampled_reward
from rxt_mrl.mrl.stages import Promotion, Stage
from rxt_mrl.mrl.trainer import dialogues_of
from rxt_mrl.mrl.validation import Looked, fallen
from rxt_mrl.runs import NotFiniteError

ENV = EnvSpec(use="rxt_mrl.envs.memory_retention:MemoryRetentionVectorEnv")
REWARD = RewardSpec(terms=[{"use": "rxt_mrl.rewards.fact_recall:FactRecall"}])
SAMPLING = SamplingConfig(max_new_tokens=3)


@pytest.mark.parametrize(
    ("algorithm", "answers"),
    [
        ({"advantage": {"kind": "gae", "gamma": 0.5}}, 1),
        ({"advantage": {"kind": "gae", "gamma": 0.5}}, 2),
        ({"advantage": {"kind": "published"}}, 2),
        *(({"advantage": {"kind": kind}}, 4) for kind in ("rloo", "group", "maxrl")),
    ],
    ids=["gae", "gae of two", "published", "rloo", "group", "maxrl"],
)
def test_reward_rises(model, train, tokenizer, dialogues, run, algorithm, answers):
    compare = {"steps": 3, "reward": REWARD, "env": ENV, "sampling": SAMPLING, "seed": 9}
    before = sampled_reward(model, tokenizer, dialogues, **compare)
    result = train(
        model,
        stages=[Stage(steps=3, updates=15)],
        algorithm={**algorithm, "optimizer": {"learning_rate": 4e-3}, "objective": {"entropy": 0.03}},
        rollout={"episodes": 64 // answers, "shard": 64, "answers": answers, "log": 4},
    )
    after = sampled_reward(model, tokenizer, dialogues, **compare)
    gain = paired_gain(before.per_dialogue.numpy(), after.per_dialogue.numpy())
    assert gain.low > 0.1, gain
    assert result.tokens > 15 * 64
    last = run.logged[-1]
    assert last["log_ratio_before"] < 1e-4
    assert {"reward_mean", "term/FactRecall", "clip_fraction", "approx_kl", "entropy", "grad_norm"} <= set(last)
    assert ("explained_variance" in last) == (algorithm["advantage"]["kind"] in ("gae", "published"))
    assert ("dead_groups" in last) == (answers > 1)


def test_the_published_objective_and_every_penalty_train(make_model, train, run):
    model = make_model(decoder={"moe": {"experts": 2, "top_k": 1}})
    objective = {"kind": "impo", "reference_kl": 0.1, "supervised": 0.1, "entropy": 0.01}
    impo = {"kl": 0.01, "memory_change": 0.01, "memory_cosine": 0.01}
    train(model, algorithm={"objective": {**objective, "impo": impo}, "truncate_scan": 1})
    terms = {"step_kl", "memory_change", "reference_kl", "supervised_loss", "router_loss"}
    assert terms <= set(run.logged[-1])
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_a_weight_on_the_memory_s_change_keeps_writes_small(make_model, train, new_run):
    steps = []
    for weight in (0.0, 100.0):
        run = new_run(str(weight))
        train(
            make_model(),
            stages=[Stage(steps=3, updates=8)],
            run=run,
            algorithm={"objective": {"memory_change": weight}},
        )
        assert ("memory_change" in run.logged[-1]) == bool(weight)
        steps.append(run.logged[-1]["memory_step"])
    assert steps[1] < 0.8 * steps[0]


def test_frozen_memory_learns_reading_only(model, train):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, algorithm={"freeze_memory": True})
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("decoder.") and "embedding" not in name for name in moved)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_critic_warms_up_before_the_policy_moves(model, train, run):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, algorithm={"critic": {"warmup": 2, "epochs": 1}})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert "critic_loss" in run.logged[-1]


def test_stages_leave_checkpoints_that_load(model, train, dialogues, run):
    ended = []
    stages = [
        Stage(steps=2, updates=3, promotion=Promotion(rule="threshold", value=0.0), validation={"every": 1}),
        Stage(steps=3, updates=1, carry="reference", memory_warmup=True),
    ]
    result = train(model, stages=stages, validation=dialogues, on_stage_end=lambda *stage: ended.append(stage[0]))
    assert result.updates == (1, 1)  # the threshold of 0 is reached at once
    assert ended == [0, 1]
    folder = run.checkpoint_dir("mrl-2")
    loaded = RxT.from_pretrained(folder)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert DialogueTokenizer.load(folder).vocab_size == model.config.vocab_size


def test_what_does_not_fit_is_one_line_before_training(model, train, dialogues):
    promoting = Stage(steps=3, updates=1, promotion=Promotion(rule="plateau"))
    for match, options in {
        "promotion 'plateau' needs validation dialogues": {"stages": [promoting]},
        "stage.steps = 4: its dialogues have 3 follow-ups": {"stages": [Stage(steps=4, updates=1)]},
        "rollout.answers = 1: .* 'rloo' compares": {"algorithm": {"advantage": {"kind": "rloo"}}},
        "rollout.answers = 2: .* 'impo'": {"rollout": {"answers": 2}, "algorithm": {"objective": {"kind": "impo"}}},
        "stage.algorithm.objective.clipp": {
            "stages": [Stage(steps=3, updates=1, algorithm={"objective": {"clipp": 0.1}})]
        },
        "temperature = 0": {"rollout": {"sampling": SamplingConfig(temperature=0)}},
        "the curriculum has no stages": {"stages": ()},
    }.items():
        with pytest.raises(UserError, match=match) as caught:
            train(model, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="stage data 'long' is not there; there are: default"):
        dialogues_of({"default": dialogues}, "long", 3)


def test_a_weight_that_is_not_finite_stops_the_update_and_keeps_the_batch(model, train, run, monkeypatch):
    from rxt_mrl.mrl import learner

    real = learner.replay

    def poisoned(*arguments):
        seen = real(*arguments)
        seen.memories.register_hook(lambda gradient: gradient * float("nan"))
        return seen

    monkeypatch.setattr(learner, "replay", poisoned)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(NotFiniteError, match=r"gradient of .* is not finite") as caught:
        train(model, algorithm={"critic": {"warmup": 0}})
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    stored = torch.load(caught.value.path, weights_only=True)
    assert stored["tensor"] == caught.value.name
    assert stored["trajectories"]["rewards"].shape == (8, 3, 1)
    assert caught.value.path.is_relative_to(run.path)


def test_a_fall_ends_the_stage_with_the_best_weights(model, train, dialogues, monkeypatch):
    noise = torch.rand(32, generator=torch.Generator().manual_seed(0)) * 0.1
    looks = [noise + 0.5, noise + 0.3, noise + 0.8, noise.flip(0) + 0.79, noise + 0.3, noise + 0.4]
    seen, weights = [], []

    def look(*_):
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        seen.append(Looked(looks[min(len(seen), 5)], 0.5))
        return [seen[-1]]

    monkeypatch.setattr("rxt_mrl.mrl.trainer.look", look)
    stage = Stage(steps=3, updates=40, validation={"every": 2, "keep": "best"})
    result = train(model, stages=[stage], validation=dialogues, algorithm={"critic": {"warmup": 0}})
    assert result.updates == (10,)  # looks every 2 updates; the second fell alone, the fourth is within the interval
    assert len(seen) == 6
    assert not torch.equal(weights[2]["embedding.weight"], weights[5]["embedding.weight"])
    assert all(torch.equal(value, weights[2][name]) for name, value in model.state_dict().items())


def test_a_stage_that_only_harms_leaves_the_model_as_it_was(model, train, dialogues, monkeypatch):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    levels = iter((0.9, 0.2))
    monkeypatch.setattr(
        "rxt_mrl.mrl.trainer.look", lambda *_: [Looked(torch.linspace(-0.01, 0.01, 32) + next(levels), 0.5)]
    )
    stage = Stage(steps=3, updates=40, validation={"every": 2, "keep": "best", "patience": 1})
    assert train(model, stages=[stage], validation=dialogues).updates == (2,)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_look_of_which_nothing_is_known_is_no_best_one(model, train, dialogues, monkeypatch):
    before = model.state_dict()["embedding.weight"].clone()
    levels = iter((math.nan, 0.2, 0.4))
    monkeypatch.setattr("rxt_mrl.mrl.trainer.look", lambda *_: [Looked(torch.full((32,), next(levels)), 0.5)])
    stage = Stage(steps=3, updates=4, validation={"every": 2, "keep": "best"})
    assert train(model, stages=[stage], validation=dialogues, algorithm={"critic": {"warmup": 0}}).updates == (4,)
    assert not torch.equal(model.state_dict()["embedding.weight"], before)


def test_references_teach_where_all_answers_earn_the_same(make_model, train, run, tmp_path):
    (tmp_path / "same.py").write_text("def same(context):\n    return [0.0] * len(context)\n")
    same = RewardSpec(terms=[{"use": f"{tmp_path / 'same.py'}:same"}])
    start = make_model()
    algorithm = {"advantage": {"kind": "rloo"}, "objective": {"supervised": 1.0}}
    train(start, algorithm=algorithm, rollout={"answers": 2}, reward=same)
    assert run.logged[-1]["supervised_loss"] > 0
    assert not torch.equal(start.state_dict()["embedding.weight"], make_model().state_dict()["embedding.weight"])


def test_a_reward_that_tells_nothing_apart_is_warned_about_once_a_stage(make_model, train, tmp_path, caplog):
    (tmp_path / "same.py").write_text("def same(context):\n    return [0.5] * len(context)\n")
    same = RewardSpec(terms=[{"use": f"{tmp_path / 'same.py'}:same"}])
    start = make_model()
    train(start, algorithm={"advantage": {"kind": "rloo"}}, rollout={"answers": 2}, reward=same)
    assert caplog.text.count("the answers from one memory all earned the same reward (dead groups 100 %)") == 1
    assert all(torch.equal(value, start.state_dict()[name]) for name, value in make_model().state_dict().items())


def test_a_fall_is_more_than_chance():
    best = torch.linspace(0.4, 0.9, 40)
    assert fallen(best, best - 0.2 - 0.05 * torch.sin(torch.arange(40.0)))
    assert not fallen(best, best + 0.2 * torch.sin(torch.arange(40.0)))
    assert not fallen(best, best.masked_fill(torch.arange(40) > 0, torch.nan))


@pytest.mark.parametrize("played", ["float32", "bfloat16"])
def test_a_stage_in_bfloat16(model, train, run, played):
    train(model, algorithm={"precision": "bfloat16"}, rollout={"precision": played})
    if played == "bfloat16":
        assert run.logged[-1]["log_ratio_before"] < 0.02
    else:
        assert run.logged[-1]["log_ratio_mean"] > 1e-5
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
