"""What flows back through the writes of a scan."""

import pytest
import torch

from rxt_mrl.model.scan import Bounded, Truncated, scanned


def gradients(writes, flow, memory, read):
    """The gradient of every memory of a scan, and the memories; ``read[n]`` is what is put in at memory n."""
    memories = scanned(memory, writes, flow)
    for one in memories[1:]:
        if one.requires_grad:
            one.retain_grad()
    sum((one * weight).sum() for one, weight in zip(memories, read, strict=True)).backward()
    return [one.grad for one in memories], memories


@pytest.fixture
def memory():
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.fixture
def read():
    return torch.randn(9, 2, 3, 4, 5, generator=torch.Generator().manual_seed(1))


def norms(gradient):
    return gradient.square().sum((0, 2, 3)).sqrt()


def test_an_exploding_gradient_is_bounded_by_what_the_answers_put_in(memory, read):
    grow = [lambda memory: 3.0 * memory] * 8
    whole, _ = gradients(grow, None, memory, read)
    assert bool((norms(whole[0]) > 1000).all())
    memory.grad = None
    bounded, _ = gradients(grow, Bounded(), memory, read)
    for place in range(9):
        put_in = sum(norms(one) for one in read[place:])
        assert bool((norms(bounded[place]) <= put_in * 1.0001).all())
        assert bool((norms(bounded[place]) > 0).all())


def test_the_first_write_is_credited_for_the_last_answer(memory, read):
    only_last = torch.cat([torch.zeros_like(read[:-1]), read[-1:]])
    for flow, reaches in ((Bounded(), True), (None, True), (Truncated(4), False)):
        memory.grad = None
        found, _ = gradients([lambda memory: 3.0 * memory] * 8, flow, memory, only_last)
        assert (found[0] is not None and bool(found[0].abs().sum() > 0)) == reaches


def test_a_gradient_that_does_not_grow_is_left_as_it_is(memory, read):
    shrink = [lambda memory: torch.tanh(0.5 * memory)] * 8
    whole, values = gradients(shrink, None, memory, read)
    memory.grad = None
    bounded, same = gradients(shrink, Bounded(), memory, read)
    assert all(torch.equal(one, other) for one, other in zip(values, same, strict=True))
    for one, other in zip(whole[1:], bounded[1:], strict=True):
        torch.testing.assert_close(one, other)


def test_each_dialogue_has_its_own_bound(memory, read):
    factors = torch.tensor([0.5, 1.0, 4.0]).view(1, 3, 1, 1)
    grow = [lambda memory: factors * memory] * 8
    whole, _ = gradients(grow, None, memory, read)
    expected = whole[0].clone()
    memory.grad = None
    bounded, _ = gradients(grow, Bounded(), memory, read)
    torch.testing.assert_close(bounded[0][:, :2], expected[:, :2])
    assert float(norms(bounded[0])[2]) < 0.01 * float(norms(expected)[2])
