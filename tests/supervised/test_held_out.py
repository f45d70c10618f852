"""Looks at held-out data: what they measure, that training does not notice, the best weights, patience, resuming."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from rxt_mrl.errors import UserError
from rxt_mrl.supervised import JointSettings, MemoryAwareSettings, last_checkpoint, run_stage
from rxt_mrl.supervised.callbacks import StageControl
from rxt_mrl.supervised.curves import held_out_line, plot_learning

AWARE = {"updates": 12, "batch_size": 4, "steps": 2, "log_every": 3, "optimizer": {"warmup": 0, "schedule": "constant"}}


class StopAfterSix(StageControl):
    """Presses Ctrl-C in the sixth update."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 6:
            os.kill(os.getpid(), signal.SIGINT)
        super().on_step_end(args, state, control, **kwargs)


StopAfterSix.__name__ = "StageControl"  # by which a checkpoint knows its state


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def looks(run):
    lines = [(step, values) for _, step, values in run.lines if "held_out_loss" in values]
    return [step for step, _ in lines], [values["held_out_loss"] for _, values in lines]


def start(model, tokenizer, data, held_out, run=None, *, resume_from=None, **changes):
    settings = MemoryAwareSettings.model_validate({**AWARE, **changes})
    return run_stage(
        "memory_aware", model, tokenizer, data, settings, run, 0, resume_from, held_out=held_out, progress=False
    )


def test_training_does_not_notice(make_model, tokenizer, dialogues, run):
    trained = []
    for evaluate in (None, {"every": 5}):
        model = make_model(tokenizer.vocab_size)
        result = start(model, tokenizer, dialogues, dialogues, run, evaluate=evaluate)
        trained.append(weights(model))
    assert all(trained[0][name].equal(trained[1][name]) for name in trained[0])
    steps, losses = looks(run)
    assert steps == [0, 5, 10, 12]
    assert losses[-1] < losses[0]
    assert result["held_out_update"] == 12
    assert result["held_out_loss"] == losses[-1]
    assert {"held_out_accuracy", "held_out_ppl"} <= result.keys()
    assert result["tokens"] > 0


def test_the_best_weights_stay_and_patience_ends(make_model, tokenizer, dialogues, run):
    model = make_model(tokenizer.vocab_size)
    harmful = {"learning_rate": 0.5, "warmup": 0, "schedule": "constant"}  # every update makes it worse
    evaluate = {"every": 2, "patience": 2, "keep": "best"}
    before = weights(model)
    result = start(model, tokenizer, dialogues, dialogues, run, optimizer=harmful, evaluate=evaluate, updates=40)
    steps, losses = looks(run)
    best = min(range(len(losses)), key=losses.__getitem__)
    assert result["updates"] == steps[-1] == steps[best] + 4, "two looks without a better loss"
    assert result["held_out_update"] == steps[best]
    assert result["held_out_loss"] == pytest.approx(losses[best], rel=1e-6)
    if best == 0:
        assert all(before[name].equal(value) for name, value in weights(model).items())
    assert not list(run.path.rglob("best-*")), "what waited for the end is gone"


def test_resumed_is_uninterrupted(make_model, tokenizer, dialogues, run, monkeypatch):
    evaluate = {"every": 4, "keep": "best"}
    whole = make_model(tokenizer.vocab_size)
    result = start(whole, tokenizer, dialogues, dialogues, evaluate=evaluate)
    monkeypatch.setattr("rxt_mrl.supervised.stages.StageControl", StopAfterSix)
    model = make_model(tokenizer.vocab_size)
    with pytest.raises(KeyboardInterrupt):
        start(model, tokenizer, dialogues, dialogues, run, evaluate=evaluate)
    monkeypatch.undo()
    checkpoint = last_checkpoint(run, "memory_aware")
    assert checkpoint is not None
    fresh = make_model(tokenizer.vocab_size, seed=9)
    end = start(fresh, tokenizer, dialogues, dialogues, run, evaluate=evaluate, resume_from=checkpoint)
    assert all(value.equal(weights(whole)[name]) for name, value in weights(fresh).items())
    assert {name: end[name] for name in result if name.startswith("held_out")} == {
        name: result[name] for name in result if name.startswith("held_out")
    }
    assert end["tokens"] == result["tokens"]


def test_masked_accuracy_of_an_encoder(make_model, tokenizer, run):
    texts = ["The hat is red.", "The car is blue and the ball is pink.", "It is a hat."]
    settings = JointSettings.model_validate(
        {"updates": 2, "batch_size": 2, "objective": "mlm", "evaluate": {"every": 1}}
    )
    model = make_model(tokenizer.vocab_size)
    decoder = model.decoder.head.weight.clone()
    result = run_stage("joint", model, tokenizer, texts, settings, run, 0, held_out=texts, progress=False)
    assert {"held_out_mlm_loss", "held_out_mlm_accuracy", "held_out_mlm_ppl"} <= result.keys()
    assert "held_out_loss" not in result
    assert model.decoder.head.weight.equal(decoder)
    lines = [{"step": step, **values} for _, step, values in run.lines]
    assert plot_learning(lines, run.path / "curve.png", "joint").read_bytes().startswith(b"\x89PNG")
    said = held_out_line({name.removeprefix("held_out_"): value for name, value in result.items()})
    assert said.startswith("masked tokens: accuracy ")


def test_unfreeze_of_the_joint_stage(make_model, tokenizer):
    texts = ["The hat is red.", "The car is blue."]
    model = make_model(tokenizer.vocab_size)
    before = weights(model)
    unfreeze = [{"at": 0, "components": ["decoder"]}]
    settings = JointSettings.model_validate({"updates": 2, "batch_size": 2, "objective": "ar", "unfreeze": unfreeze})
    run_stage("joint", model, tokenizer, texts, settings, progress=False)
    changed = {name for name, value in weights(model).items() if not value.equal(before[name])}
    assert changed
    assert all(name.startswith("decoder.") and "memory" not in name and "norm2" not in name for name in changed)


def test_looks_need_data(model, tokenizer, dialogues):
    with pytest.raises(UserError, match="stage memory_aware: evaluate needs held-out data"):
        start(model, tokenizer, dialogues, None, evaluate={"every": 2})
    assert torch.is_grad_enabled()
