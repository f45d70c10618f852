"""Rotary position embedding (Su et al. 2021) in the two published output layouts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import RopeLayout


class Rope(nn.Module):
    """Angles ``position * base^(-2j/dim)``, as unit complex numbers.

    The table is neither a parameter nor a buffer: casting a model to bfloat16 must not round it, and
    checkpoints need not carry it.

    Args:
        dim: dimension of one head (even).
        base: base of the frequencies.
        layout: see :func:`rotate`.
    """

    def __init__(self, dim: int, *, base: float = 10_000.0, layout: RopeLayout = "interleaved") -> None:
        super().__init__()
        self.dim, self.base, self.layout = dim, base, layout
        self._table = torch.empty(0, dim // 2, dtype=torch.complex64)

    def forward(self, positions: int | Tensor, device: torch.device) -> Tensor:
        """Rotations of the positions ``0 .. n-1`` (an int), or of given ones (long ``(batch, tokens)``).

        Returns:
            complex64 ``(n, 1, dim/2)`` or ``(batch, tokens, 1, dim/2)``: one rotation per token for all heads.
        """
        if isinstance(positions, int):
            return self._rows(positions, device)[:positions].unsqueeze(1)
        # Positions are below the cache's length, which the caller keeps inside the table.
        return self._table[positions].unsqueeze(2)

    def reserve(self, count: int, device: torch.device) -> None:
        """Compute the table for positions below ``count``, so that given positions can be looked up."""
        self._rows(count, device)

    def _rows(self, count: int, device: torch.device) -> Tensor:
        if self._table.shape[0] < count or self._table.device != device:
            # The table outlives this call: made in inference mode (generation), it could not enter a loss later.
            with torch.inference_mode(False):
                steps = torch.arange(0, self.dim, 2, device=device, dtype=torch.float32)
                frequency = 1.0 / self.base ** (steps / self.dim)
                angle = torch.arange(count, device=device, dtype=torch.float32)[:, None] * frequency
                self._table = torch.polar(torch.ones_like(angle), angle)
        return self._table


def rotate(x: Tensor, rotation: Tensor, layout: RopeLayout) -> Tensor:
    """Rotate the pairs ``(x[2j], x[2j+1])`` of each head.

    ``interleaved`` writes the pairs back in place (RxLM 0.3). ``split`` writes all first elements, then all second
    ones (RxNN 0.2), which also permutes the head's dimensions: this cancels where queries and keys are both rotated,
    and matters where only one side is (memory cross-attention, memory attention; RXT.md 1.6).

    Args:
        x: ``(..., tokens, heads, dim)``.
        rotation: complex, broadcastable to ``(..., tokens, heads, dim/2)``, from :class:`Rope`.
        layout: how the rotated pairs are written.
    """
    wide = x if x.dtype == torch.float64 else x.float()
    pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2)))
    rotated = torch.view_as_real(pairs * rotation)
    if layout == "split":
        rotated = rotated.mT
    return rotated.flatten(-2).to(x.dtype)
