"""Residual gates of memory writes, for all layers at once (RXT.md 1.11)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import GateConfig
from .stacked import LayerLinear


class ResidualGate(nn.Module):
    """Mixes old slots and new ones ``(L, B, S, D)``; see :class:`~rxt_mrl.model.config.GateConfig`.

    Args:
        layers: memory layers L.
        slots: slots S.
        dim: dimension D.
        config: which gate.
    """

    def __init__(self, layers: int, slots: int, dim: int, config: GateConfig) -> None:
        super().__init__()
        self.config = config
        width = slots if config.per_slot else 1
        self.slot_status: LayerLinear | None = None
        if config.type in ("elementwise", "linear") and config.slot_status == "linear":
            self.slot_status = LayerLinear(layers, dim, 1, bias=True)
        if config.type == "linear":
            self.gate = LayerLinear(layers, slots, width, bias=True)
            if config.init is not None and self.gate.bias is not None:
                nn.init.constant_(self.gate.bias, config.init)
        elif config.type in ("static", "elementwise"):
            value = 3.0 if config.init is None else config.init
            self.gate_parameter = nn.Parameter(torch.full((layers, width, 1), value))

    def forward(self, old: Tensor, new: Tensor) -> Tensor:
        """The memory after the write, of the dtype of the old one (under autocast ``new`` may have a lower one)."""
        new = new.to(old.dtype)
        match self.config.type:
            case "add":
                return old + new
            case "replace":
                return new
        z = self._logit(old, new).to(old.dtype)
        if self.config.activation == "tanh":
            return old + new + torch.tanh(z) * (new - old)
        return torch.lerp(old, new, torch.sigmoid(z))

    def openness(self, old: Tensor, new: Tensor) -> Tensor | None:
        """The share of the new in each slot after the write, ``(L, B, S)``; None where the gate only adds."""
        match self.config.type:
            case "add":
                return None
            case "replace":
                return old.new_ones(old.shape[:-1])
        z = self._logit(old, new).squeeze(-1)
        share = (1 + torch.tanh(z)) / 2 if self.config.activation == "tanh" else torch.sigmoid(z)
        return share.expand(old.shape[:-1])

    def _logit(self, old: Tensor, new: Tensor) -> Tensor:
        """z, broadcastable to ``(L, B, S, D)``."""
        if self.config.type == "static":
            return self.gate_parameter.unsqueeze(1)
        status = self._status(old, new)  # (L, B, S)
        if self.config.type == "linear":
            return self.gate(status).unsqueeze(-1)
        if not self.config.per_slot:
            status = status.mean(-1, keepdim=True)
        return self.gate_parameter.unsqueeze(1) * status.unsqueeze(-1)

    def _status(self, old: Tensor, new: Tensor) -> Tensor:
        if self.slot_status is None:
            return old.mean(-1) + new.mean(-1)  # two reductions: cheaper than writing old + new
        return self.slot_status((old + new).flatten(1, 2)).view(old.shape[:-1])
