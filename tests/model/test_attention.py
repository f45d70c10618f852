"""Attention against formulas written out: grouping of heads, rotary layouts, masks."""

from __future__ import annotations

import math

import pytest
import torch

from rxt_mrl.model.attention import Attention, key_mask
from rxt_mrl.model.config import AttentionConfig
from rxt_mrl.model.rope import Rope, rotate
from rxt_mrl.model.stacked import LayerAttention, LayerRMSNorm

DIM, HEADS = 24, 6


def written_out(attention: Attention, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Per head, with loops: query head j reads key/value head j // (query heads / key-value heads)."""
    size, q_heads, kv_heads = attention.head_dim, attention.query_heads, attention.kv_heads
    q = (x @ attention.q_proj.weight.T).split(size, -1)
    k, v = ((x @ weight.T).split(size, -1) for weight in attention.kv_proj.weight.chunk(2))
    if q_heads < kv_heads:
        q, q_heads = q * (kv_heads // q_heads), kv_heads
    heads = []
    for j in range(q_heads):
        shared = j // (q_heads // kv_heads)
        scores = q[j] @ k[shared].mT / math.sqrt(size)
        heads.append(scores.masked_fill(~mask[:, None, :], -torch.inf).softmax(-1) @ v[shared])
    return attention.out_proj(torch.cat(heads, -1))


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        ({"type": "mha"}, (6, 6)),
        ({"type": "gqa", "groups": 2}, (6, 2)),
        ({"type": "mqa"}, (6, 1)),
        ({"type": "sqa", "query_groups": 3, "groups": 3}, (3, 3)),
        ({"type": "sqa", "query_groups": 4, "groups": 2}, (4, 2)),
        ({"type": "sqa", "query_groups": 2, "groups": 4}, (2, 4)),
        ({"type": "gqa"}, (6, 3)),
        ({"type": "sqa"}, (3, 3)),
        ({"type": "mha", "heads": 3}, (3, 3)),
    ],
)
def test_grouping_of_heads(config, counts):
    torch.manual_seed(0)
    attention = Attention(DIM, HEADS, AttentionConfig(**config), "interleaved")
    assert (attention.query_heads, attention.kv_heads) == counts
    x, mask = torch.randn(2, 5, DIM), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    torch.testing.assert_close(attention(x, mask=key_mask(mask)), written_out(attention, x, mask))


def test_layers_at_once_equal_layers_one_by_one():
    torch.manual_seed(0)
    config = AttentionConfig(type="sqa", query_groups=4, groups=2)
    stacked, norm = LayerAttention(3, DIM, HEADS, config, "split"), LayerRMSNorm(3, DIM)
    torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
    x, source = torch.randn(3, 2, 4, DIM), torch.randn(3, 2, 5, DIM)
    rotation = Rope(4)(5, x.device)
    k, v = stacked.project_kv(source, rotation, norm)
    out = stacked.attend(x, k, v, norm=norm)
    for layer in range(3):
        single = Attention(DIM, HEADS, config, "split")
        for name in ("q_proj", "kv_proj", "out_proj"):
            getattr(single, name).weight.data = getattr(stacked, name).weight[layer]
        single.out_proj.bias.data = stacked.out_proj.bias[layer]
        expected = single(norm(x)[layer], norm(source)[layer], key_rotation=rotation)
        torch.testing.assert_close(out[layer], expected)


def test_rotary_layouts():
    torch.manual_seed(0)
    x = torch.randn(1, 3, 1, 4)
    rotation = Rope(4, base=100.0)(3, x.device)
    interleaved, split = (rotate(x, rotation, layout) for layout in ("interleaved", "split"))
    for position in range(3):
        for j, frequency in enumerate((1.0, 0.1)):
            a, b = x[0, position, 0, 2 * j], x[0, position, 0, 2 * j + 1]
            cos, sin = math.cos(position * frequency), math.sin(position * frequency)
            first, second = a * cos - b * sin, a * sin + b * cos
            torch.testing.assert_close(interleaved[0, position, 0, 2 * j : 2 * j + 2], torch.stack([first, second]))
            torch.testing.assert_close(split[0, position, 0, [j, j + 2]], torch.stack([first, second]))


def test_layouts_agree_where_both_sides_rotate_and_differ_where_one_does():
    torch.manual_seed(0)
    x, rotation = torch.randn(2, 5, DIM), Rope(DIM // HEADS)(5, torch.device("cpu"))
    layers = {layout: Attention(DIM, HEADS, AttentionConfig(), layout) for layout in ("split", "interleaved")}
    layers["split"].load_state_dict(layers["interleaved"].state_dict())
    both = [layer(x, rotation=rotation, causal=True) for layer in layers.values()]
    one = [layer(x, x, rotation=rotation) for layer in layers.values()]
    torch.testing.assert_close(*both)
    assert (one[0] - one[1]).abs().max() > 1e-3


def test_rotations_of_given_positions():
    rope = Rope(4)
    rope.reserve(9, torch.device("cpu"))
    every = rope(9, torch.device("cpu"))
    assert rope(torch.tensor([[3], [8]]), torch.device("cpu")).equal(every[[3, 8]].unsqueeze(1))


def test_bfloat16_keeps_the_angles():
    x = torch.randn(1, 500, 1, 4)
    rotation = Rope(4).to(torch.bfloat16)(500, x.device)
    exact, rounded = rotate(x, rotation, "split"), rotate(x.bfloat16(), rotation, "split")
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, atol=0.03, rtol=0.03)
