import os
import signal

import pytest
import torch

from rxt_mrl.contracts import RewardSpec, Unfreeze
from rxt_mrl.errors import UserError
from rxt_mrl.mrl.stages import Promotion, Stage
from rxt_mrl.runs import checkpoints

TIMED = ("seconds", "per_second")


@pytest.fixture
def curriculum(dialogues):
    """Two stages with whatever has a state: unfreezing, promotion, carried memories, a reference model."""
    gradually = [
        Unfreeze(at=0, components=["decoder"]),
        Unfreeze(at=1, components=["encoder"], lr_scale={"encoder": 0.5}),
    ]
    plateau = Promotion(rule="plateau", patience=9)
    return {
        "stages": [
            Stage(steps=2, updates=2, unfreeze=gradually),
            Stage(steps=3, updates=4, random_resets=0.5, promotion=plateau, validation={"every": 2, "keep": "best"}),
        ],
        "algorithm": {"objective": {"reference_kl": 0.1}, "checkpoint_every": 3},
        "validation": dialogues,
    }


def interrupt_at(run, number):
    """Press Ctrl-C while an update is logged."""
    log = run.metrics

    def press(values, step, section):
        log(values, step, section)
        if step == number:
            os.kill(os.getpid(), signal.SIGINT)

    run.metrics = press


@pytest.mark.parametrize("answers", [1, 8])
@pytest.mark.parametrize("at", [1, 4])
def test_interrupted_and_resumed_equals_uninterrupted(make_model, train, new_run, curriculum, at, answers):
    if answers > 1:
        algorithm = {**curriculum["algorithm"], "advantage": {"kind": "rloo"}}
        curriculum = {**curriculum, "algorithm": algorithm, "rollout": {"answers": answers}}
    whole, whole_run = make_model(), new_run("whole")
    train(whole, run=whole_run, **curriculum)
    broken_run = new_run("broken")
    interrupt_at(broken_run, at)
    with pytest.raises(KeyboardInterrupt):
        train(make_model(), run=broken_run, **curriculum)
    assert broken_run.logged[-1]["step"] == at
    del broken_run.metrics
    resumed = make_model(seed=5)
    train(resumed, run=broken_run, **curriculum, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    for name in ("mrl-1", "mrl-2"):
        assert whole_run.rollout_path(name).read_bytes() == broken_run.rollout_path(name).read_bytes()
    for one, other in zip(whole_run.logged, broken_run.logged, strict=True):
        assert {n: v for n, v in one.items() if not n.endswith(TIMED)} == pytest.approx(
            {n: v for n, v in other.items() if not n.endswith(TIMED)}
        )


def test_an_interrupt_at_a_stage_s_end_waits_for_its_checkpoint(make_model, train, new_run, curriculum, monkeypatch):
    whole = make_model()
    train(whole, run=new_run("whole"), **curriculum)
    save = checkpoints.save

    def pressed(folder, *rest):
        if folder.name == "mrl-1":
            signal.raise_signal(signal.SIGINT)
        return save(folder, *rest)

    monkeypatch.setattr(checkpoints, "save", pressed)
    run = new_run("broken")
    with pytest.raises(KeyboardInterrupt):
        train(make_model(), run=run, **curriculum)
    assert (run.checkpoint_dir("mrl-1") / "config.json").is_file()
    resumed = make_model(seed=5)
    train(resumed, run=run, **curriculum, resume=True)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


def test_a_finished_training_resumes_to_nothing(make_model, train, run):
    model = make_model()
    train(model)
    lines = len(run.logged)
    again = make_model(seed=3)
    assert train(again, resume=True).tokens == 0
    assert len(run.logged) == lines
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())


def test_a_state_of_another_training_is_refused(make_model, train, run):
    train(make_model())
    with pytest.raises(UserError, match="is of another training: seed was 0 and is now 1"):
        train(make_model(), resume=True, seed=1)
    state = run.checkpoint_dir("mrl") / "trainer.pt"
    torch.save({"version": 1, "optimiser": {}}, state)  # of rxt-mrl 0.1
    with pytest.raises(UserError, match=r"trainer.pt has version 1, .*: resume with the rxt-mrl that wrote it"):
        train(make_model(), resume=True)
    state.write_bytes(b"not a state")
    with pytest.raises(UserError, match="cannot be read"):
        train(make_model(), resume=True)


def test_a_reward_that_fails_loses_nothing(make_model, train, run, tmp_path):
    plugin = tmp_path / "late.py"
    plugin.write_text(
        "calls = []\n\n\n"
        "def late(context):\n"
        "    calls.append(1)\n"
        "    if len(calls) > 4:\n"
        "        raise ValueError('out of ideas')\n"
        "    return [0.5] * len(context)\n"
    )
    with pytest.raises(UserError, match="out of ideas"):
        train(make_model(), reward=RewardSpec(terms=[{"use": f"{plugin}:late"}]))
    assert run.logged[-1]["step"] == 1
    train(make_model(seed=3), resume=True)
    assert [line["step"] for line in run.logged] == [1, 2]


def test_a_longer_last_stage_and_further_ones_go_on_as_if_planned_from_the_start(make_model, train, new_run, dialogues):
    algorithm = {"objective": {"reference_kl": 0.1}, "checkpoint_every": 3}
    short = [Stage(steps=2, updates=1), Stage(steps=3, updates=2, random_resets=0.5, validation={"every": 2})]
    long = [*short[:1], short[1].model_copy(update={"updates": 4}), Stage(steps=2, updates=1)]
    given = {"algorithm": algorithm, "validation": dialogues}
    whole, whole_run, run = make_model(), new_run("whole"), new_run("extended")
    train(whole, run=whole_run, stages=long, **given)
    train(make_model(), run=run, stages=short, **given)
    interrupt_at(run, 4)
    with pytest.raises(KeyboardInterrupt):
        train(make_model(seed=5), run=run, stages=long, resume=True, **given)
    del run.metrics
    extended = make_model(seed=6)
    train(extended, run=run, stages=long, resume=True, **given)
    assert all(torch.equal(value, extended.state_dict()[name]) for name, value in whole.state_dict().items())
    for name in ("mrl-1", "mrl-2", "mrl-3"):
        assert whole_run.rollout_path(name).read_bytes() == run.rollout_path(name).read_bytes()
    assert [line["step"] for line in run.logged] == [line["step"] for line in whole_run.logged]
    with pytest.raises(UserError, match="it had 3 stages and has 2 now"):
        train(make_model(), run=run, stages=short, resume=True, **given)
