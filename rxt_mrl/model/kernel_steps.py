"""Steps of the decoder on the compiled loops of :mod:`rxt_mrl.model.kernels`: float32 on a CPU, inference only.

Dense projections stay with torch; norms, rotations and attention over one query per row do not (nor do experts on a
few rows, wherever they run: :mod:`rxt_mrl.model.moe`).
The loops run on one thread: their work is too small to share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from . import kernels
from .cache import KVCache
from .kernels import Array
from .layers import Layer
from .rope import Rope
from .stepping import DecoderSteps, LayerStep, Projections

class _Position(NamedTuple):
    """Tables of all positions ``(positions, head dim / 2)``, and the rows' own, long ``(B,)``."""

    cos: Array
    sin: Array
    lengths: Array


class KernelSteps(DecoderSteps):
    """Steps on compiled loops; arguments as :class:`~rxt_mrl.model.stepping.TorchSteps`."""

    def __init__(self, layers: Sequence[Layer], rope: Rope, capacity: int) -> None:
        super().__init__([_KernelLayerStep(i, layer) for i, layer in enumerate(layers)])
        rotation = rope(capacity, torch.device("cpu")).squeeze(1)
        self._cos, self._sin = rotation.real.contiguous().numpy(), rotation.imag.contiguous().numpy()

    def position(self, cache: KVCache) -> _Position:
        """Where each row's token stands."""
        return _Position(self._cos, self._sin, cache.lengths.numpy())


class _KernelLayerStep(LayerStep):
    def self_attention(self, own: Projections, h: Tensor, at: _Position, cache: KVCache) -> Tensor:
        qkv = h @ own.weight
        out = torch.empty(len(h), len(own.out_weight))
        k, v = cache.transposed(self.index)
        kernels.self_attention_step(qkv.numpy(), own.query_heads, *at, own.split, k.numpy(), v.numpy(), out.numpy())
        return own.out(out)

    def memory_attention(
        self, cross: Projections, h: Tensor, at: _Position, memory_kv: tuple[Tensor, Tensor]
    ) -> Tensor:
        q = h @ cross.weight
        out = torch.empty(len(h), len(cross.out_weight))
        k, v = (x.mT.contiguous().numpy() for x in memory_kv)  # copies nothing where they were made for steps
        kernels.memory_attention_step(q.numpy(), cross.query_heads, *at, cross.split, k, v, out.numpy())
        return cross.out(out)
