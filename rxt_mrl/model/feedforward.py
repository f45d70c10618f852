"""Feed-forward blocks: gated (GLU, Shazeer 2020) and plain."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Activation, FeedForwardConfig

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "swish": F.silu,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "linear": lambda x: x,
}


def activate(hidden: Tensor, activation: Activation, gated: bool) -> Tensor:
    """Activation of the first projection; gated: its first half is linear, its second half gates it.

    Without gradients ``hidden`` may be overwritten.
    """
    function = ACTIVATIONS[activation]
    if not gated:
        return function(hidden)
    linear, gate = hidden.chunk(2, dim=-1)
    # In place where nothing is kept for gradients: the widest tensors of the model are here. But in few bits a product
    # with what is no block in memory rounds once more, before its bias is added.
    if torch.is_grad_enabled() or hidden.dtype.itemsize < 4:
        return linear * function(gate)
    return linear.mul_(function(gate))


class FeedForward(nn.Module):
    """``W2 (l * act(g)) + b2`` with ``(l, g) = W1 x + b1``, or ``W2 act(W1 x + b1) + b2``.

    Args:
        dim: model dimension.
        config: hidden size, activation, gating.
        bias: whether both projections have a bias.
    """

    def __init__(self, dim: int, config: FeedForwardConfig, *, bias: bool = True) -> None:
        super().__init__()
        self.config = config
        self.fc1 = nn.Linear(dim, config.hidden * (2 if config.gated else 1), bias=bias)
        self.fc2 = nn.Linear(config.hidden, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D)`` to ``(..., D)``."""
        hidden = activate(self.fc1(x), self.config.activation, self.config.gated)
        if self.training and self.config.dropout:
            hidden = F.dropout(hidden, self.config.dropout)
        return self.fc2(hidden)
