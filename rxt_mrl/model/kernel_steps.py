"""Steps of the decoder on the compiled loops of :mod:`rxt_mrl.model.kernels`: float32 on a CPU, inference only.

Dense projections stay with torch; rotations and attention over one query per row do not (nor do norms, and experts on
a few rows, wherever they run: :mod:`rxt_mrl.model.norms`, :mod:`rxt_mrl.model.moe`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import kernels
from .cache import KVCache
from .kernels import Array
from .layers import Layer
from .rope import Rope
from .stepping import DecoderSteps, LayerStep, Projections

_ROWS_PER_THREAD = 16
"""Attention of fewer rows is done before another thread has begun."""


@dataclass(frozen=True)
class _Position:
    """Where the rows' tokens stand: what attention kernels take beside queries, keys and values."""

    cos: Array
    """``(positions, head dim / 2)``."""
    sin: Array
    lengths: Array
    """long ``(B,)``."""
    pool: ThreadPoolExecutor

    def attend(
        self, kernel: Callable[..., None], x: Tensor, heads: Projections, keys_values: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Run an attention kernel on x ``(B, inputs)``, its rows shared among torch's number of threads."""
        out = torch.empty(len(x), len(heads.out_weight))
        rows = [x.numpy(), self.lengths, *(kv.numpy() for kv in keys_values), out.numpy()]

        def piece(start: int, stop: int) -> None:
            q, lengths, k, v, target = (array[start:stop] for array in rows)
            kernel(q, heads.query_heads, self.cos, self.sin, lengths, heads.split, k, v, target)

        pieces = max(1, min(torch.get_num_threads(), len(x) // _ROWS_PER_THREAD))
        bounds = [len(x) * i // pieces for i in range(pieces + 1)]
        others = [self.pool.submit(piece, *bounds[i : i + 2]) for i in range(1, pieces)]
        piece(0, bounds[1])
        for other in others:
            other.result()
        return out


class KernelSteps(DecoderSteps):
    """Steps on compiled loops; arguments as :class:`~rxt_mrl.model.stepping.TorchSteps`."""

    def __init__(self, layers: Sequence[Layer], rope: Rope, capacity: int) -> None:
        super().__init__([_KernelLayerStep(i, layer) for i, layer in enumerate(layers)])
        rotation = rope(capacity, torch.device("cpu")).squeeze(1)
        self._tables = rotation.real.contiguous().numpy(), rotation.imag.contiguous().numpy()
        self._pool = ThreadPoolExecutor(torch.get_num_threads())  # starts no thread before it is needed

    def position(self, cache: KVCache) -> Any:
        """The rows' positions, and the threads to attend on."""
        return _Position(*self._tables, cache.lengths.numpy(), self._pool)


class _KernelLayerStep(LayerStep):
    def self_attention(self, own: Projections, h: Tensor, at: _Position, cache: KVCache) -> Tensor:
        return own.out(at.attend(kernels.self_attention_step, h @ own.weight, own, cache.transposed(self.index)))

    def memory_attention(
        self, cross: Projections, h: Tensor, at: _Position, memory_kv: tuple[Tensor, Tensor]
    ) -> Tensor:
        k, v = (x.mT.contiguous() for x in memory_kv)  # copies nothing where they were made for steps
        return cross.out(at.attend(kernels.memory_attention_step, h @ cross.weight, cross, (k, v)))
