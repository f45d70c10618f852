"""Preallocated key/value cache of the decoder's self-attention, for rows of different lengths."""

from __future__ import annotations

import torch
from torch import Tensor

MemoryKV = list[tuple[Tensor, Tensor]]
"""Per layer, keys and values of the normed memory, each ``(B, kv heads, slots, head dim)``."""


class KVCache:
    """Keys and values of all layers, ``(layers, B, kv heads, capacity, head dim)`` each.

    Row b holds ``lengths[b]`` tokens. What lies behind them is never read: every read is masked by length.
    The tensors are written in place, so a cache is for inference, not for gradients.
    In memory the tokens are the last dimension where ``transposed`` (:mod:`rxt_mrl.model.kernels` reads them so).
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        kv_heads: int,
        capacity: int,
        head_dim: int,
        *,
        device: torch.device,
        dtype: torch.dtype,
        transposed: bool = False,
    ) -> None:
        sizes = (head_dim, capacity) if transposed else (capacity, head_dim)
        k, v = torch.zeros(2, layers, batch, kv_heads, *sizes, device=device, dtype=dtype)
        self.k, self.v = (k.mT, v.mT) if transposed else (k, v)
        self.set_lengths(torch.zeros(batch, dtype=torch.long, device=device))

    def set_lengths(self, lengths: Tensor) -> None:
        """Set how many tokens each row holds, long ``(B,)``."""
        self.lengths = lengths
        bounds = lengths.aminmax() if len(lengths) else (0, 0)
        self.shortest, self.longest = (int(bound) for bound in bounds)

    @property
    def batch(self) -> int:
        """Rows held."""
        return self.k.shape[1]

    @property
    def capacity(self) -> int:
        """Tokens that a row can hold."""
        return self.k.shape[3]

    def fill(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Write the keys and values of a whole prompt ``(B, kv heads, T, head dim)`` from position 0."""
        self.k[layer, :, :, : k.shape[2]] = k
        self.v[layer, :, :, : v.shape[2]] = v

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write one token per row ``(B, kv heads, 1, head dim)`` at its length; all keys and values so far."""
        keys, values, end = self.k[layer], self.v[layer], self.longest + 1
        if self.shortest == self.longest:
            keys[:, :, self.longest : end] = k
            values[:, :, self.longest : end] = v
        else:
            at = self.lengths.view(-1, 1, 1, 1).expand_as(k)
            keys.scatter_(2, at, k.to(keys.dtype))
            values.scatter_(2, at, v.to(values.dtype))
        return keys[:, :, :end], values[:, :, :end]

    def transposed(self, layer: int) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer as ``(B, kv heads, head dim, capacity)``, for writing."""
        return self.k[layer].mT, self.v[layer].mT

    def read_mask(self) -> Tensor | None:
        """Which keys the token now being appended may read, bool ``(B, 1, 1, longest + 1)``; None: all."""
        if self.shortest == self.longest:
            return None
        columns = torch.arange(self.longest + 1, device=self.lengths.device)
        return (columns <= self.lengths.unsqueeze(1))[:, None, None, :]

    def advance(self) -> None:
        """Count the token that was appended to every row."""
        self.lengths = self.lengths + 1
        self.shortest, self.longest = self.shortest + 1, self.longest + 1

    def select(self, rows: Tensor) -> KVCache:
        """A cache of only some rows (long indices or a bool mask): finished rows leave the work."""
        other = object.__new__(KVCache)
        other.k, other.v = _select(self.k, rows, 1), _select(self.v, rows, 1)
        other.set_lengths(self.lengths[rows])
        return other


def select_memory_kv(memory_kv: MemoryKV, rows: Tensor) -> MemoryKV:
    """Memory keys and values of only some rows, as :meth:`KVCache.select`."""
    return [(_select(k, rows, 0), _select(v, rows, 0)) for k, v in memory_kv]


def _select(x: Tensor, rows: Tensor, dim: int) -> Tensor:
    """Some rows of a dimension; transposed tensors stay transposed in memory."""
    if rows.dtype == torch.bool:
        rows = rows.nonzero().squeeze(-1)
    return x.index_select(dim, rows) if x.is_contiguous() else x.mT.index_select(dim, rows).mT
