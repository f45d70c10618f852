"""Steps of the decoder on the compiled loops of :mod:`rxt_mrl.model.kernels`: float32 on a CPU, inference only.

A few rows take one call for each attention and for the experts: norm, projections and residual included, so that
nothing but arithmetic is left. With more rows the projections are torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from . import kernels
from .cache import KVCache
from .kernels import Array
from .layers import Layer
from .moe import MoE
from .norms import RMSNorm
from .rope import Rope
from .stepping import DecoderSteps, LayerStep, Projections

_ROWS_PER_THREAD = 16
"""Attention of fewer rows is done before another thread has begun."""


_FUSED_ROWS = 64
"""With more rows than this, projections by a matrix library are faster than compiled loops."""


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
        """Run an attention kernel on x ``(B, inputs)``."""
        out = torch.empty(len(x), len(heads.out_weight))
        q, k, v, target = (array.numpy() for array in (x, *keys_values, out))

        def piece(rows: slice) -> None:
            where = (self.cos, self.sin, self.lengths[rows], heads.split)
            kernel(q[rows], heads.query_heads, *where, k[rows], v[rows], target[rows])

        self.share(piece, len(x))
        return out

    def share(self, piece: Callable[[slice], None], rows: int) -> None:
        """Do ``piece`` for all rows, shared among torch's number of threads."""
        pieces = max(1, min(torch.get_num_threads(), rows // _ROWS_PER_THREAD))
        bounds = [rows * i // pieces for i in range(pieces + 1)]
        slices = [slice(*bounds[i : i + 2]) for i in range(pieces)]
        others = [self.pool.submit(piece, part) for part in slices[1:]]
        piece(slices[0])
        for other in others:
            other.result()


class KernelSteps(DecoderSteps):
    """Steps on compiled loops; arguments as :class:`~rxt_mrl.model.stepping.TorchSteps`."""

    def __init__(self, layers: Sequence[Layer], rope: Rope, capacity: int) -> None:
        super().__init__([_KernelLayerStep(i, layer) for i, layer in enumerate(layers)])
        rotation = rope(capacity, torch.device("cpu")).squeeze(1)
        self._tables = rotation.real.contiguous().numpy(), rotation.imag.contiguous().numpy()
        self._pool = ThreadPoolExecutor(torch.get_num_threads())  # starts no thread before it is needed

    def position(self, cache: KVCache) -> _Position:
        """The rows' positions, and the threads to attend on."""
        return _Position(*self._tables, cache.lengths.numpy(), self._pool)


class _KernelLayerStep(LayerStep):
    """A few rows of the usual layer (RMS norms before each part) take one call a part; others, several."""

    def __init__(self, index: int, layer: Layer) -> None:
        super().__init__(index, layer)
        parts = [(layer.norm1, self._own)] + ([] if self._cross is None else [(layer.norm2, self._cross)])
        self._attentions = [_AttentionResidual(n, p) for n, p in parts if isinstance(n, RMSNorm) and layer.pre_norm]
        self._usual = len(self._attentions) == len(parts)
        self._experts: _ExpertsResidual | None = None
        if isinstance(layer.ff, MoE) and isinstance(layer.norm3, RMSNorm) and not layer.ff.shared:
            self._experts = _ExpertsResidual(layer.norm3, layer.ff)

    def __call__(self, x: Tensor, at: _Position, memory_kv: tuple[Tensor, Tensor], cache: KVCache) -> Tensor:
        """As in :class:`LayerStep`; x may be overwritten."""
        if not self._usual or len(x) > _FUSED_ROWS:
            return super().__call__(x, at, memory_kv, cache)
        keys_values = [cache.transposed(self.index), tuple(kv.mT.contiguous() for kv in memory_kv)]
        for i, (attention, kv) in enumerate(zip(self._attentions, keys_values, strict=False)):
            attention(x, at, *kv, append=i == 0)
        if self._experts is None or not self._experts.few(len(x)):
            return self.feed_forward(x)
        self._experts(x)
        return x

    def self_attention(self, own: Projections, h: Tensor, at: _Position, cache: KVCache) -> Tensor:
        return own.out(at.attend(kernels.self_attention_step, h @ own.weight, own, cache.transposed(self.index)))

    def memory_attention(
        self, cross: Projections, h: Tensor, at: _Position, memory_kv: tuple[Tensor, Tensor]
    ) -> Tensor:
        k, v = (x.mT.contiguous() for x in memory_kv)  # copies nothing where they were made for steps
        return cross.out(at.attend(kernels.memory_attention_step, h @ cross.weight, cross, (k, v)))


class _AttentionResidual:
    """``x += attention(norm(x))`` in one call."""

    def __init__(self, norm: RMSNorm, heads: Projections) -> None:
        bias = torch.zeros_like(norm.weight) if heads.out_bias is None else heads.out_bias
        self._heads = heads
        self._before = [x.detach().numpy() for x in (norm.weight, heads.weight)]
        self._after = [x.detach().numpy() for x in (heads.out_weight, bias)]

    def __call__(self, x: Tensor, at: _Position, k: Tensor, v: Tensor, *, append: bool) -> None:
        hidden, keys, values = x.numpy(), k.numpy(), v.numpy()

        def piece(rows: slice) -> None:
            where = (self._heads.query_heads, at.cos, at.sin, at.lengths[rows], self._heads.split)
            kernels.attention_residual_step(
                hidden[rows], *self._before, *where, keys[rows], values[rows], append, *self._after
            )

        at.share(piece, len(x))


class _ExpertsResidual:
    """``x += experts(norm(x))`` in one call, for experts without shared ones."""

    def __init__(self, norm: RMSNorm, moe: MoE) -> None:
        self.few = moe.few
        dim, zeros = len(norm.weight), torch.zeros_like(norm.weight)
        arrays = [norm.weight, moe.router.weight.t().contiguous(), *moe.local_weights()]
        self._norm, self._router, *self._weights = (x.detach().numpy() for x in arrays)
        self._bias = (zeros if moe.bias is None else moe.bias).detach().numpy().reshape(dim)
        self._top_k, self._gated = moe.config.top_k, moe.expert.gated
        self._activation = kernels.ACTIVATIONS[moe.expert.activation]

    def __call__(self, x: Tensor) -> None:
        kernels.experts_residual_step(
            x.numpy(),
            self._norm,
            self._router,
            self._top_k,
            *self._weights,
            self._bias,
            self._activation,
            self._gated,
        )
