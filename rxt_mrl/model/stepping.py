"""One token per row through the decoder: the arithmetic of :class:`~rxt_mrl.model.layers.Layer`, with fewer calls.

A step on a few rows does little arithmetic, so its time is what surrounds it: calls, and weights and memory keys read
from memory once per token. Here the projections of queries, keys and values are one product, a rotation is one
product with a small matrix per row, grouped heads read their keys without copies of them, and experts run only where
they were chosen. ``Decoder.step`` equals ``Decoder.forward`` to rounding; tests hold it to that for every variant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cache import KVCache, MemoryKV
from .feedforward import activate
from .layers import Layer
from .moe import MoE
from .norms import RMSNorm
from .rope import Rope, rotate


class DecoderSteps:
    """The layers of a decoder, prepared for steps. It reads the weights once: make a new one after they change.

    Args:
        layers: the decoder's layers.
        rope: its rotary positions.
        capacity: positions that may come.
    """

    def __init__(self, layers: nn.ModuleList, rope: Rope, capacity: int) -> None:
        prepared = [cast(Layer, layer) for layer in layers]
        first = prepared[0].attention
        device = first.q_proj.weight.device
        unit = torch.eye(first.head_dim, device=device).expand(capacity, -1, -1)
        self._rotations = rotate(unit, rope(capacity, device), first.layout)  # (positions, head dim, head dim)
        self._layers = [_LayerStep(layer) for layer in prepared]

    def __call__(self, x: Tensor, memory_kv: MemoryKV, cache: KVCache) -> Tensor:
        """Hidden states ``(B, D)`` of the embedded tokens x ``(B, D)``, whose keys and values go to the cache."""
        rotation = self._rotations[cache.lengths]
        mask = cache.read_mask()
        for i, layer in enumerate(self._layers):
            x = layer(x, i, rotation, mask, memory_kv[i], cache)
        return x


class _LayerStep:
    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._norm1, self._norm3 = _norm(layer.norm1), _norm(layer.norm3)
        own = layer.attention
        self._own = own
        self._qkv = torch.cat([own.q_proj.weight, own.kv_proj.weight]).t().contiguous()
        self._cross = layer.memory_cross_attention
        if self._cross is not None:
            self._norm2 = _norm(layer.norm2)
        self._feed_forward = _ExpertsStep(layer.ff) if isinstance(layer.ff, MoE) else layer.ff

    def __call__(
        self,
        x: Tensor,
        index: int,
        rotation: Tensor,
        mask: Tensor | None,
        memory_kv: tuple[Tensor, Tensor],
        cache: KVCache,
    ) -> Tensor:
        if not self._layer.pre_norm:
            x = self._norm1(x + self._self_attention(x, index, rotation, mask, cache))
            if self._cross is not None:
                x = self._norm2(x + self._memory_attention(x, rotation, memory_kv))
            return self._norm3(x + self._feed_forward(x))
        x = x + self._self_attention(self._norm1(x), index, rotation, mask, cache)
        if self._cross is not None:
            x = x + self._memory_attention(self._norm2(x), rotation, memory_kv)
        return x + self._feed_forward(self._norm3(x))

    def _self_attention(self, h: Tensor, index: int, rotation: Tensor, mask: Tensor | None, cache: KVCache) -> Tensor:
        own = self._own
        heads = (h @ self._qkv).view(len(h), -1, own.head_dim)
        rotated = own.query_heads + own.kv_heads
        qk, v = _rotated(heads[:, :rotated], rotation), heads[:, rotated:]
        k, v = cache.append(index, qk[:, own.query_heads :].unsqueeze(2), v.unsqueeze(2))
        return own.out_proj(_attend(qk[:, : own.query_heads], k, v, mask))

    def _memory_attention(self, h: Tensor, rotation: Tensor, memory_kv: tuple[Tensor, Tensor]) -> Tensor:
        cross = self._cross
        assert cross is not None
        q = _rotated(cross.q_proj(h).view(len(h), -1, cross.head_dim), rotation)
        return cross.out_proj(_attend(q, *memory_kv, None))


class _ExpertsStep:
    """A mixture of experts on a few tokens: every chosen expert runs once, on its own rows."""

    def __init__(self, moe: MoE) -> None:
        self._moe = moe
        self._w1 = moe.w1.unbind(0)
        self._w2 = moe.w2.unbind(0)
        self._b1, self._b2 = moe.b1, moe.b2

    def __call__(self, x: Tensor) -> Tensor:
        moe = self._moe
        _, weights, index = moe.route(x)
        out = self._one(x, weights, index) if len(x) == 1 else self._several(x, weights, index)
        if moe.bias is not None:
            out = out + moe.bias
        return out + moe.shared_output(x) if moe.shared else out

    def _one(self, x: Tensor, weights: Tensor, index: Tensor) -> Tensor:
        return weights.to(x.dtype) @ torch.cat([self._expert(e, x) for e in index[0].tolist()])

    def _expert(self, e: int, x: Tensor) -> Tensor:
        moe = self._moe
        hidden = x @ self._w1[e] if self._b1 is None else torch.addmm(self._b1[e], x, self._w1[e])
        hidden = activate(hidden, moe.expert.activation, moe.expert.gated)
        return hidden @ self._w2[e] if self._b2 is None else torch.addmm(self._b2[e], hidden, self._w2[e])

    def _several(self, x: Tensor, weights: Tensor, index: Tensor) -> Tensor:
        moe = self._moe
        rows, k = index.shape
        # The counts are needed as numbers in any case, and numpy sorts a few numbers in a tenth of torch's time.
        chosen = index.cpu().numpy().reshape(-1)
        sort = chosen.argsort(kind="stable")
        counts = np.bincount(chosen, minlength=moe.config.experts).tolist()
        order, source = torch.from_numpy(np.stack([sort, sort // k])).to(x.device)
        experts = index.view(-1)[order]
        hidden = self._project(x[source], self._w1, self._b1, experts, counts)
        hidden = activate(hidden, moe.expert.activation, moe.expert.gated)
        outputs = self._project(hidden, self._w2, self._b2, experts, counts)
        routed = torch.empty_like(outputs).index_copy_(0, order, outputs)
        return torch.bmm(weights.to(x.dtype).unsqueeze(1), routed.view(rows, k, -1)).squeeze(1)

    @staticmethod
    def _project(
        x: Tensor, weights: Sequence[Tensor], biases: Tensor | None, experts: Tensor, counts: list[int]
    ) -> Tensor:
        """One projection of rows sorted by expert: every chosen expert on its own slice."""
        out = x.new_zeros(len(x), weights[0].shape[1]) if biases is None else biases[experts]
        for rows, target, weight in zip(x.split(counts), out.split(counts), weights, strict=True):
            if len(rows):
                target.addmm_(rows, weight)
        return out


def _norm(norm: nn.Module) -> Callable[[Tensor], Tensor]:
    if not isinstance(norm, RMSNorm):
        return norm
    weight = norm.weight
    dim, eps = len(weight), torch.finfo(weight.dtype).eps
    floor = torch.full((1, 1, 1), eps, device=weight.device, dtype=weight.dtype)

    def rms(x: Tensor) -> Tensor:
        mean_square = torch.baddbmm(floor, x.unsqueeze(1), x.unsqueeze(2), alpha=1 / dim)
        return x * mean_square.rsqrt_().squeeze(2) * weight

    return rms


def _rotated(heads: Tensor, rotation: Tensor) -> Tensor:
    """Heads ``(B, heads, head dim)`` times the rotation of each row ``(B, head dim, head dim)``, in float32."""
    return torch.bmm(heads.float(), rotation).to(heads.dtype)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of one query per row and head ``(B, heads, head dim)``; ``(B, heads * head dim)``.

    Query heads that share keys are queries of the same key/value head: nothing is repeated.
    """
    batch, heads, dim = q.shape
    kv_heads = k.shape[1]
    if heads < kv_heads:  # "reversed" SQA: queries are tiled
        q, heads = q.repeat(1, kv_heads // heads, 1), kv_heads
    out = F.scaled_dot_product_attention(q.reshape(batch, kv_heads, heads // kv_heads, dim), k, v, attn_mask=mask)
    return out.reshape(batch, heads * dim)
