"""Norms of the encoder and decoder layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import NormType
from .device import rounding, unrounded, use_kernels


def inverse_rms(x: Tensor) -> Tensor:
    """One over the root mean square of the last dimension ``(..., 1)``; eps is the dtype's, as in ``nn.RMSNorm``."""
    # vector_norm reads x once and writes nothing of its size. With gradients vecdot is better: its backward pass
    # takes half the time of the other formulas', F.rms_norm on CPU included. Where products are rounded
    # there is one formula.
    if torch.is_grad_enabled() or rounding():
        with unrounded(x.device):  # autocast would round it on a CPU, and the whole state with it
            square = torch.linalg.vecdot(x, x).unsqueeze(-1)
    else:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square()
    return torch.rsqrt(square / x.shape[-1] + torch.finfo(x.dtype).eps)


class RMSNorm(nn.Module):
    """Root-mean-square norm with a weight per dimension (Zhang and Sennrich 2019)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension of x."""
        if use_kernels(x) and self.weight.dtype == x.dtype:
            return self._loop(x)
        return x * inverse_rms(x) * self.weight

    def _loop(self, x: Tensor) -> Tensor:
        """As :meth:`forward`, reading x once."""
        from . import kernels  # compiles at its first use: only inference on a CPU pays for it

        rows = x.reshape(-1, x.shape[-1]).contiguous()
        out = torch.empty_like(rows)
        kernels.rms_norm_step(rows.numpy(), self.weight.detach().numpy(), out.numpy())
        return out.view_as(x)


def make_norm(kind: NormType, dim: int) -> nn.Module:
    """The norm of a layer: ``rms`` or ``layer`` (eps 1e-5, with bias)."""
    return RMSNorm(dim) if kind == "rms" else nn.LayerNorm(dim)
