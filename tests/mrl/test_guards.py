import os
import signal

import pytest
import torch

from rxt_mrl.errors import UserError
from rxt_mrl.mrl import NotFiniteError
from rxt_mrl.mrl.guards import check_finite, interrupts_wait


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
    assert stored["trajectories"]["rewards"].shape == (8, 3)
    assert caught.value.path.is_relative_to(run.path)


def test_the_first_bad_tensor_is_named():
    good, bad = torch.ones(3), torch.tensor([1.0, torch.nan, torch.inf])
    check_finite({"good": good, "nothing": None})
    with pytest.raises(NotFiniteError, match=r"values is not finite \(2 of 3 values\)"):
        check_finite({"good": good, "values": bad, "later": bad})


def test_an_interrupt_waits_for_the_end_and_a_second_one_does_not():
    done = []

    def work(presses):
        with interrupts_wait():
            for _ in range(presses):
                os.kill(os.getpid(), signal.SIGINT)
            done.append(presses)

    for presses in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            work(presses)
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
