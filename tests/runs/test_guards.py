"""What stops a training before damage is done."""

import os
import signal

import pytest
import torch

from rxt_mrl.runs.guards import NotFiniteError, check_finite, interrupts_wait


def test_the_first_bad_tensor_is_named():
    good, bad = torch.ones(3), torch.tensor([1.0, torch.nan, torch.inf])
    check_finite({"good": good, "nothing": None})
    with pytest.raises(NotFiniteError, match=r"values is not finite \(2 of 3 values\)"):
        check_finite({"good": good, "values": bad, "later": bad})


@pytest.fixture
def interruptible():
    """Python's own handler, also where whoever started the tests ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
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
