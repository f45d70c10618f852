from __future__ import annotations

import json
import os
import signal

import pytest
import torch

from rxt_mrl.errors import UserError
from rxt_mrl.model import MLMHead
from rxt_mrl.runs import NotFiniteError
from rxt_mrl.supervised import (
    EndlessDialogues,
    InteractionSettings,
    JointSettings,
    MemoryAttentionSettings,
    MemoryAwareSettings,
    OptimizerSettings,
    StageSettings,
    last_checkpoint,
    run_stage,
)
from rxt_mrl.supervised.callbacks import StageControl
from rxt_mrl.supervised.trainer import StageTrainer

SETTINGS: dict[str, StageSettings] = {
    "joint": JointSettings(updates=4, batch_size=8, log_every=2),
    "interaction": InteractionSettings(updates=4, batch_size=8, log_every=2),
    "memory_attention": MemoryAttentionSettings(updates=4, batch_size=4, log_every=2),
    "memory_aware": MemoryAwareSettings(updates=4, batch_size=4, steps=3, log_every=2),
}
TRAINED = {
    "joint": {"embedding", "encoder", "decoder", "memory_cross_attention"},
    "interaction": {"embedding", "encoder", "decoder", "memory_cross_attention"},
    "memory_attention": {"memory_attention"},
    "memory_aware": {"embedding", "encoder", "decoder", "memory_cross_attention", "memory_attention"},
}


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


def start(name, model, tokenizer, dialogues, settings=None, **options):
    return run_stage(name, model, tokenizer, dialogues, settings or SETTINGS[name], progress=False, **options)


@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_stage_trains_its_parts_and_logs(name, model, tokenizer, dialogues, run):
    before = {part: [p.clone() for p in model.component_parameters(part)] for part in TRAINED["memory_aware"]}
    result = start(name, model, tokenizer, dialogues, run=run)
    for part, old in before.items():
        changed = any(not torch.equal(a, b) for a, b in zip(old, model.component_parameters(part), strict=True))
        assert changed is (part in TRAINED[name]), part
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert [(section, step) for section, step, _ in run.lines] == [(name, 2), (name, 4)]
    assert result["updates"] == 4
    assert {"loss", "learning_rate", "grad_norm", "updates_per_second"} <= set(run.lines[-1][2])
    assert not list(run.path.glob("checkpoints/*/trainer"))


def test_the_seed_decides(make_model, tokenizer, dialogues):
    models = [make_model(tokenizer.vocab_size) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        start("memory_aware", model, tokenizer, dialogues, seed=seed)
    assert same(weights(models[0]), weights(models[1]))
    assert not same(weights(models[0]), weights(models[2]))


class StopAfter(StageControl):
    """Presses Ctrl-C in the middle of an update."""

    at = 3

    def on_step_begin(self, args, state, control, **kwargs):
        super().on_step_begin(args, state, control, **kwargs)
        if state.global_step == self.at - 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("name", ["joint", "memory_attention", "memory_aware"])
def test_interrupted_and_resumed_equals_uninterrupted(name, make_model, tokenizer, dialogues, run, monkeypatch):
    changes = {"updates": 6, "log_every": 6}
    if name == "memory_aware":
        changes |= {"min_steps": 1, "accumulate": 2}
    settings = SETTINGS[name].model_copy(update=changes)
    whole, parts = (make_model(tokenizer.vocab_size) for _ in range(2))
    heads = []
    for _ in range(2):
        torch.manual_seed(5)
        heads.append(MLMHead(whole.config))
    start(name, whole, tokenizer, dialogues, settings, mlm_head=heads[0])
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr("rxt_mrl.supervised.stages.StageControl", StopAfter)
        with pytest.raises(KeyboardInterrupt):
            start(name, parts, tokenizer, dialogues, settings, run=run, mlm_head=heads[1])
    assert signal.getsignal(signal.SIGINT) is handler
    checkpoint = last_checkpoint(run, name)
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-3"
    assert not same(weights(whole), weights(parts))
    fresh = make_model(tokenizer.vocab_size, seed=9)
    result = start(name, fresh, tokenizer, dialogues, settings, run=run, resume_from=checkpoint, mlm_head=heads[1])
    assert result["updates"] == 6
    assert same(weights(whole), weights(fresh))
    assert same(weights(heads[0]), weights(heads[1]))
    assert last_checkpoint(run, name) is None


def test_checkpoints_on_the_way(model, tokenizer, dialogues, run, monkeypatch):
    kept = []
    monkeypatch.setattr("rxt_mrl.supervised.stages.shutil.rmtree", lambda path, **kwargs: kept.append(path))
    start("joint", model, tokenizer, dialogues, SETTINGS["joint"].model_copy(update={"save_every": 2}), run=run)
    checkpoint = last_checkpoint(run, "joint")
    assert checkpoint is not None
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    assert state["stateful_callbacks"]["StageControl"]["attributes"]["seconds"] > 0
    assert (run.path / "checkpoints" / "joint" / "mlm_head.safetensors").is_file()


def test_the_second_stage_takes_the_head_of_the_first(model, tokenizer, dialogues, run, monkeypatch):
    start("joint", model, tokenizer, dialogues, run=run)
    loaded = []
    monkeypatch.setattr("rxt_mrl.supervised.stages.load_model", lambda head, path: loaded.append(path))
    start("interaction", model, tokenizer, dialogues, run=run)
    assert len(loaded) == 1


def test_components_are_unfrozen_one_after_the_other(model, tokenizer, dialogues, monkeypatch):
    settings = MemoryAwareSettings.model_validate(
        {
            "updates": 4,
            "batch_size": 4,
            "steps": 2,
            "optimizer": {"schedule": "constant", "warmup": 0},
            "unfreeze": [
                {"at": 0, "components": ["decoder", "memory_attention"]},
                {"at": 2, "components": ["encoder"], "lr_scale": {"encoder": 0.5}},
            ],
        }
    )
    seen = []
    original = StageTrainer.compute_loss

    def watched(self, *args, **kwargs):
        rates = {group["component"]: group["lr"] for group in self.optimizer.param_groups}
        seen.append((next(model.encoder.layers.parameters()).requires_grad, rates["encoder"], rates["decoder"]))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(StageTrainer, "compute_loss", watched)
    embedding = model.embedding.weight.clone()
    start("memory_aware", model, tokenizer, dialogues, settings)
    assert seen == [(False, 0.0, 2e-3)] * 2 + [(True, 1e-3, 2e-3)] * 2
    assert torch.equal(model.embedding.weight, embedding)


def test_time_ends_a_stage(model, tokenizer, dialogues):
    settings = SETTINGS["memory_aware"].model_copy(update={"updates": 100_000, "max_seconds": 0.5})
    result = start("memory_aware", model, tokenizer, dialogues, settings)
    assert 0 < result["updates"] < 1000
    assert 0.5 <= result["seconds"] < 20
    assert result["learning_rate"] < 1e-3


def test_nan_stops_before_the_update_and_leaves_a_dump(model, tokenizer, dialogues, run):
    with torch.no_grad():
        model.decoder.head.bias[7] = float("nan")
    before = weights(model)
    with pytest.raises(NotFiniteError, match=r"loss is not finite .*memory_aware-update-1\.pt"):
        start("memory_aware", model, tokenizer, dialogues, run=run)
    after = weights(model)
    assert all(torch.equal(before[name].nan_to_num(), after[name].nan_to_num()) for name in before)
    dump = torch.load(run.dump_path("memory_aware-update-1"), weights_only=True)
    assert dump["inputs"]["ids"].dim() == 3


def test_a_gradient_that_is_not_finite_is_named(model, tokenizer, dialogues, monkeypatch):
    parameter = model.encoder.layers[0].norm1.weight
    parameter.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NotFiniteError, match=r"encoder\.layers\.0\.norm1\.weight is not finite"):
        start("memory_aware", model, tokenizer, dialogues)


def test_half_precision(model, tokenizer, dialogues):
    settings = SETTINGS["memory_aware"].model_copy(update={"precision": "bfloat16"})
    result = start("memory_aware", model, tokenizer, dialogues, settings)
    assert result["loss"] > 0
    assert model.embedding.weight.dtype == torch.float32


def test_texts_and_endless_dialogues(model, tokenizer, dialogues):
    texts = ["The hat is red.", "The car is blue and the ball is pink."]
    settings = JointSettings(epochs=2.5, batch_size=1)
    assert start("joint", model, tokenizer, texts, settings)["updates"] == 5
    endless = EndlessDialogues(lambda number: dialogues.select(range(8)), chunk=8)
    assert start("memory_aware", model, tokenizer, endless)["updates"] == 4


def test_learning(make_model, tokenizer, dialogues):
    model = make_model(tokenizer.vocab_size)
    settings = MemoryAwareSettings(
        updates=60, batch_size=10, steps=3, log_every=20, optimizer=OptimizerSettings(learning_rate=5e-3, warmup=5)
    )
    result = start("memory_aware", model, tokenizer, dialogues, settings)
    assert result["accuracy"] > 0.7
    assert result["ppl"] < 3


def test_wrong_calls(model, tokenizer, dialogues):
    cases = [
        (("memory", dialogues, SETTINGS["joint"]), "does not exist, allowed: joint"),
        (("joint", dialogues, SETTINGS["interaction"]), "needs JointSettings, got InteractionSettings"),
        (("memory_aware", ["text"], SETTINGS["memory_aware"]), "needs dialogues, got list"),
        (("interaction", ["text"], SETTINGS["interaction"]), "has no answers"),
        (("joint", [], SETTINGS["joint"]), "no text"),
        (("memory_aware", dialogues, MemoryAwareSettings(updates=1, steps=9)), "steps is 9, the dialogues have 3"),
        (("joint", EndlessDialogues(lambda n: dialogues, 10), SETTINGS["joint"]), "endless"),
        (("memory_aware", EndlessDialogues(lambda n: dialogues, 10), SETTINGS["memory_aware"]), "no multiple"),
    ]
    for (name, data, settings), message in cases:
        with pytest.raises(UserError, match=message):
            run_stage(name, model, tokenizer, data, settings, progress=False)


def test_nothing_happens_in_no_updates(model, tokenizer, dialogues):
    before = weights(model)
    assert start("joint", model, tokenizer, dialogues, JointSettings(updates=0))["updates"] == 0
    assert same(before, weights(model))
