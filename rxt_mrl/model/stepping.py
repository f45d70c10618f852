"""One token per row through the decoder: the arithmetic of :class:`~rxt_mrl.model.layers.Layer`, with fewer calls.

Two forms of it: plain torch here, for any device and precision; and :mod:`rxt_mrl.model.kernel_steps`, for float32 on
a CPU, with compiled loops. ``Decoder.step`` equals ``Decoder.forward`` to rounding in both; tests hold them to that
for every variant.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .attention import Attention
from .cache import KVCache, MemoryKV
from .device import attention_dtype, products_dtype, unrounded
from .layers import Layer
from .rope import Rope, rotate


class DecoderSteps(ABC):
    """The layers of a decoder, prepared for steps. They read some weights once: make new ones after they change."""

    def __init__(self, layers: Sequence[LayerStep]) -> None:
        self._layers = layers

    def __call__(self, x: Tensor, memory_kv: MemoryKV, cache: KVCache) -> Tensor:
        """Hidden states ``(B, D)`` of the embedded tokens x ``(B, D)``, whose keys and values go to the cache."""
        at = self.position(cache)
        for layer, kv in zip(self._layers, memory_kv, strict=True):
            x = layer(x, at, kv, cache)
        return x

    @abstractmethod
    def position(self, cache: KVCache) -> Any:
        """What the layers need to know of the rows' positions: it is handed to every one of them."""


class LayerStep(ABC):
    """The order of a layer's parts; what a part does is the subclass's."""

    def __init__(self, index: int, layer: Layer) -> None:
        self.index, self._pre_norm = index, layer.pre_norm
        self._norm1, self._norm3 = layer.norm1, layer.norm3
        self._own = Projections(layer.attention, fused=True)
        self._cross: Projections | None = None
        if layer.memory_cross_attention is not None:
            self._norm2 = layer.norm2
            self._cross = Projections(layer.memory_cross_attention, fused=False)
        self._feed_forward = layer.ff

    def __call__(self, x: Tensor, at: Any, memory_kv: tuple[Tensor, Tensor], cache: KVCache) -> Tensor:
        """Hidden states ``(B, D)`` after this layer."""
        pre = self._pre_norm
        h = self.self_attention(self._own, self._norm1(x) if pre else x, at, cache)
        x = x + h if pre else self._norm1(x + h)
        if self._cross is not None:
            h = self.memory_attention(self._cross, self._norm2(x) if pre else x, at, memory_kv)
            x = x + h if pre else self._norm2(x + h)
        return self.feed_forward(x)

    def feed_forward(self, x: Tensor) -> Tensor:
        """Hidden states ``(B, D)`` after the feed-forward part, norm and residual included."""
        h = self._feed_forward(self._norm3(x) if self._pre_norm else x)
        if isinstance(h, tuple):  # experts return the router's statistics too
            h = h[0]
        return x + h if self._pre_norm else self._norm3(x + h)

    @abstractmethod
    def self_attention(self, own: Projections, h: Tensor, at: Any, cache: KVCache) -> Tensor:
        """Append keys and values of h ``(B, D)`` to the cache; attention over all tokens so far."""

    @abstractmethod
    def memory_attention(self, cross: Projections, h: Tensor, at: Any, memory_kv: tuple[Tensor, Tensor]) -> Tensor:
        """Attention of h ``(B, D)`` over the memory."""


class Projections:
    """The projections of one attention, inputs before outputs; ``fused``: queries, keys and values are one product."""

    def __init__(self, attention: Attention, *, fused: bool) -> None:
        self.query_heads, self.kv_heads = attention.query_heads, attention.kv_heads
        self.head_dim, self.split = attention.head_dim, attention.layout == "split"
        weights = [attention.q_proj.weight] + ([attention.kv_proj.weight] if fused else [])
        # Rounded once, not at every token.
        kind, self.attention_dtype = products_dtype(attention.q_proj.weight), attention_dtype(attention.q_proj.weight)
        self.weight = torch.cat(weights).to(kind).t().contiguous()
        self.out_weight = attention.out_proj.weight.to(kind).t().contiguous()
        bias: Tensor | None = attention.out_proj.bias
        self.out_bias = None if bias is None else bias.to(kind)

    def heads(self, h: Tensor) -> Tensor:
        """The projections of h ``(B, D)``, for an attention: ``(B, heads, head dim)``."""
        return (h @ self.weight).view(len(h), -1, self.head_dim).to(self.attention_dtype)

    def out(self, context: Tensor) -> Tensor:
        """The output projection of ``(B, heads * head dim)``."""
        context = context.to(self.out_weight.dtype)
        if self.out_bias is None:
            return context @ self.out_weight
        return torch.addmm(self.out_bias, context, self.out_weight)


class TorchSteps(DecoderSteps):
    """Steps in plain torch.

    Args:
        layers: the decoder's layers.
        rope: its rotary positions.
        capacity: positions that may come.
    """

    def __init__(self, layers: Sequence[Layer], rope: Rope, capacity: int) -> None:
        super().__init__([_TorchLayerStep(i, layer) for i, layer in enumerate(layers)])
        first = layers[0].attention
        device = first.q_proj.weight.device
        kind = torch.promote_types(attention_dtype(first.q_proj.weight), torch.float32)
        unit = torch.eye(first.head_dim, device=device, dtype=kind).expand(capacity, -1, -1)
        self._rotations = rotate(unit, rope(capacity, device), first.layout)  # (positions, head dim, head dim)

    def position(self, cache: KVCache) -> tuple[Tensor, Tensor | None]:
        """The rotation of each row, and the mask over the cache."""
        return self._rotations[cache.lengths], cache.read_mask()


class _TorchLayerStep(LayerStep):
    def self_attention(self, own: Projections, h: Tensor, at: tuple[Tensor, Tensor | None], cache: KVCache) -> Tensor:
        rotation, mask = at
        heads = own.heads(h)
        rotated = own.query_heads + own.kv_heads
        qk, v = _rotated(heads[:, :rotated], rotation), heads[:, rotated:]
        k, v = cache.append(self.index, qk[:, own.query_heads :].unsqueeze(2), v.unsqueeze(2))
        return own.out(_attend(qk[:, : own.query_heads], k, v, mask))

    def memory_attention(
        self, cross: Projections, h: Tensor, at: tuple[Tensor, Tensor | None], memory_kv: tuple[Tensor, Tensor]
    ) -> Tensor:
        q = _rotated(cross.heads(h), at[0])
        return cross.out(_attend(q, *memory_kv, None))


def _rotated(heads: Tensor, rotation: Tensor) -> Tensor:
    """Heads ``(B, heads, head dim)`` times the rotation of each row ``(B, head dim, head dim)``, in its precision."""
    with unrounded(heads.device):
        return torch.bmm(heads.to(rotation.dtype), rotation).to(heads.dtype)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of one query per row and head ``(B, heads, head dim)``; ``(B, heads * head dim)``, not rounded.

    Query heads that share keys are queries of the same key/value head: nothing is repeated.
    """
    batch, heads, dim = q.shape
    kv_heads = k.shape[1]
    if heads < kv_heads:  # "reversed" SQA: queries are tiled
        q, heads = q.repeat(1, kv_heads // heads, 1), kv_heads
    with unrounded(q.device):
        out = F.scaled_dot_product_attention(q.reshape(batch, kv_heads, heads // kv_heads, dim), k, v, attn_mask=mask)
    return out.reshape(batch, heads * dim)
