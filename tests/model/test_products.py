"""Products on oneDNN are those of float32, chosen by measurement, and attention stays out of it."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from rxt_mrl.model import preset, products


def test_a_choice_holds_inside_of_its_block_only():
    assert products.current() == "torch"
    with products.using("onednn"):
        assert products.current() == "onednn"
        with products.using("torch"):
            assert products.current() == "torch"
        assert products.current() == "onednn"
    assert products.current() == "torch"


def test_attention_leaves_and_comes_back_in_both_passes():
    seen = []

    def attention(*inputs):
        seen.append(products.current())
        out = scaled_dot_product_attention(*inputs)
        out.register_hook(lambda _: seen.append(products.current()))
        return out

    q, k, v = (torch.randn(2, 2, 4, 8, requires_grad=True) for _ in range(3))
    with products.using("onednn"):
        out = products.aside(attention, q * 1, k * 1, v * 1)
        seen.append(products.current())
        (out * 2).sum().backward()
        assert products.current() == "onednn"
    assert seen == ["torch", "onednn", "torch"]
    expected = torch.autograd.grad(2 * scaled_dot_product_attention(q, k, v).sum(), [q, k, v])
    for one, other in zip((q.grad, k.grad, v.grad), expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("error", "seconds", "chosen"),
    [(1e-6, 0.5, "onednn"), (1e-6, 1.0, "torch"), (1e-2, 0.5, "torch")],
    ids=["fast and exact", "no faster", "rounds to bfloat16"],
)
def test_the_choice_follows_error_and_time(monkeypatch, error, seconds, chosen):
    clock = [0.0]
    real = torch.Tensor.__matmul__

    def product(left, right):
        out = real(left, right)
        if left.dtype == torch.float64:
            return out
        clock[0] += seconds if products.current() == "onednn" else 1.0
        return out + error if products.current() == "onednn" else out

    monkeypatch.setattr(torch.Tensor, "__matmul__", product)
    monkeypatch.setattr(products.time, "process_time", lambda: clock[0])
    assert products.choose(preset("nano", vocab_size=300)) == chosen


def test_what_is_chosen_is_exact_here():
    with products.using(products.choose(preset("alpha-micro"))):
        left, right = torch.randn(512, 128), torch.randn(128, 256)
        exact = left.double() @ right.double()
        assert (left @ right - exact).abs().max() < 1e-4
