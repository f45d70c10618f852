"""Heads on the encoder: masked language modelling, and the critic of MRL (RXT.md 1.9)."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import RxTConfig
from .encoder import Encoder
from .hub import HubModel

CriticActivation = Literal["sigmoid", "tanh", "linear"]


class MLMHead(nn.Module, HubModel):
    """Linear, GELU, LayerNorm, Linear: hidden states ``(..., D)`` to logits ``(..., V)``.

    Args:
        config: sizes.
    """

    def __init__(self, config: RxTConfig) -> None:
        super().__init__()
        self.config = config
        self.dense = nn.Linear(config.embed_dim, config.embed_dim)
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        self.decoder = nn.Linear(config.embed_dim, config.vocab_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits of hidden states, usually the encoder's last layer ``encoded[-1]``."""
        return self.decoder(self.layer_norm(F.gelu(self.dense(hidden))))


class Critic(nn.Module, HubModel):
    """Value of a state: masked mean of an encoder's last hidden states, GLU, LayerNorm, Linear, activation.

    ``value = activation(...) * scale + shift`` with learned scalars.

    Args:
        encoder: the critic's own encoder (a copy: it is trained apart from the model's).
        activation: bounds the value before scaling.
        scale: initial scale (published: 10, the maximal reward).
        shift: initial shift.
    """

    def __init__(
        self, encoder: Encoder, *, activation: CriticActivation = "sigmoid", scale: float = 10.0, shift: float = 0.0
    ) -> None:
        super().__init__()
        dim = encoder.config.embed_dim
        self.config = encoder.config
        self.encoder = encoder
        self.activation: CriticActivation = activation
        self.gated = nn.Linear(dim, 2 * dim)
        self.norm = nn.LayerNorm(dim)
        self.value = nn.Linear(dim, 1)
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.shift = nn.Parameter(torch.tensor(float(shift)))

    @classmethod
    def from_config(cls, config: RxTConfig, max_tokens: int | None = None, **options: Any) -> Critic:
        """A critic with a fresh encoder, for sequences of up to ``max_tokens`` (None: the model's)."""
        tokens = config.max_tokens if max_tokens is None else max_tokens
        return cls(Encoder(config.model_copy(update={"max_tokens": tokens})), **options)

    def _hub_arguments(self) -> dict[str, Any]:
        return {"activation": self.activation}  # scale and shift are parameters

    @classmethod
    def _hub_build(cls, config: RxTConfig, arguments: dict[str, Any]) -> Self:
        return cls(Encoder(config), **arguments)

    def forward(self, ids: Tensor, mask: Tensor, memory: Tensor | None = None) -> Tensor:
        """Values ``(B,)`` of sequences ``(B, T)``; ``memory`` only for encoders that read it."""
        hidden = self.encoder(ids, mask, memory)[-1]
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * weight).sum(1) / weight.sum(1).clamp(min=1))

    def head(self, pooled: Tensor) -> Tensor:
        """Values ``(B,)`` of pooled states ``(B, D)``."""
        linear, gate = self.gated(pooled).chunk(2, dim=-1)
        value = self.value(self.norm(linear * F.silu(gate))).squeeze(-1)
        bounded = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "linear": lambda x: x}[self.activation](value)
        return bounded * self.scale + self.shift
