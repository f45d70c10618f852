"""Experts against a loop over tokens; balance losses; loads."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rxt_mrl.model.config import FeedForwardConfig, MoEConfig
from rxt_mrl.model.moe import MoE, router_stats


def make(**options) -> MoE:
    torch.manual_seed(0)
    moe = MoE(8, FeedForwardConfig(hidden=6), MoEConfig(**{"experts": 5, "top_k": 2, **options}))
    if moe.bias is not None:
        torch.nn.init.normal_(moe.bias)
    return moe


def written_out(moe: MoE, x: torch.Tensor) -> torch.Tensor:
    """One token and one expert at a time."""
    rows = []
    for token in x:
        probabilities = (moe.router.weight @ token).softmax(-1)
        top, chosen = probabilities.topk(moe.config.top_k)
        out = torch.zeros_like(token)
        for weight, e in zip(top / (top.sum() + 1e-9), chosen, strict=True):
            hidden = token @ moe.w_in[e] + (0 if moe.b_in is None else moe.b_in[e])
            linear, gate = hidden.chunk(2)
            out = out + weight * ((linear * F.silu(gate)) @ moe.w_out[e] + (0 if moe.b_out is None else moe.b_out[e]))
        if moe.bias is not None:
            out = out + moe.bias
        if len(moe.shared) == 1:
            out = out + moe.shared[0](token)
        elif len(moe.shared):
            mix = (moe.shared_gate.weight @ token).softmax(-1)
            out = out + sum(w * expert(token) for w, expert in zip(mix, moe.shared, strict=True))
        rows.append(out)
    return torch.stack(rows)


@pytest.mark.parametrize("shared", [0, 1, 3])
@pytest.mark.parametrize("bias", ["local", "global", "off"])
def test_dispatch_equals_a_loop_over_tokens(bias, shared):
    moe, x = make(bias=bias, shared_experts=shared), torch.randn(17, 8)
    out, stats = moe(x)
    torch.testing.assert_close(out, written_out(moe, x))
    assert stats is not None
    assert stats.load.sum() == pytest.approx(1.0)


def test_padding_is_neither_computed_nor_counted():
    moe, x = make(), torch.randn(2, 6, 8)
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    out, stats = moe(x, mask)
    alone, alone_stats = moe(x[mask])
    torch.testing.assert_close(out[mask], alone)
    assert (out[~mask] == 0).all()
    torch.testing.assert_close(stats.loss, alone_stats.loss)
    torch.testing.assert_close(stats.load, alone_stats.load)


def test_load_counts_the_selections():
    index = torch.tensor([[0, 1], [0, 2], [0, 1]])
    assert router_stats(torch.full((3, 4), 0.25), index).load.tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6, 0])


def test_switch_loss_is_lowest_when_balanced():
    """One collapsed and one balanced routing of the same confidence."""
    confident = torch.eye(4) * 0.8 + 0.05
    collapsed, balanced = confident[[0] * 8], confident[[0, 1, 2, 3] * 2]
    worst, best = (router_stats(p, p.topk(1).indices).loss for p in (collapsed, balanced))
    assert best == pytest.approx(1.0)
    assert worst > 3.0
    # The published loss cannot tell them apart: it sees the selected probabilities only.
    published = [router_stats(p, p.topk(1).indices, "published").loss for p in (collapsed, balanced)]
    assert published[0] == pytest.approx(published[1].item(), rel=1e-4)


def test_switch_loss_balances_a_router():
    torch.manual_seed(0)
    moe, x = make(experts=4, top_k=1), torch.randn(256, 8) + 1.0
    moe.router.weight.data[0] += 0.3  # everything prefers expert 0
    before = moe(x)[1].load.max()
    optimizer = torch.optim.Adam(moe.router.parameters(), lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        moe(x)[1].loss.backward()
        optimizer.step()
    assert before > 0.6
    assert moe(x)[1].load.max() < 0.45


def test_nothing_is_counted_in_inference():
    with torch.no_grad():
        assert make().eval()(torch.randn(3, 8))[1] is None
