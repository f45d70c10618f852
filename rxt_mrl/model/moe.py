"""Mixture of experts: top-k routing, sorted dispatch, balance losses and load metrics (RXT.md 1.8).

Departure from the published libraries: the balance loss is the Switch one (Fedus et al. 2021, eq. 4) by default.
The published loss only pushes the selected probabilities down; it stays as an option.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import FeedForwardConfig, MoEConfig
from .device import attention_dtype, unrounded, use_kernels
from .feedforward import FeedForward, activate

_FEW_PER_EXPERT = 32
"""With more rows per expert than this, on average, products of a matrix library are faster than compiled loops."""


class RouterStats(NamedTuple):
    """What a router did with a batch."""

    loss: Tensor
    """Balance loss, a scalar; about 1 when the load is uniform."""
    load: Tensor
    """Share of the selections that each expert got ``(experts,)``; sums to 1. Carries no gradient."""


class MoE(nn.Module):
    """``sum_k w_k Expert_k(x)`` over the top k experts, with renormalized softmax weights.

    Tokens are sorted by expert and every expert runs once on its own contiguous slice: no capacity limit,
    no dropped tokens, no loop over tokens. Padding is not dispatched at all where a mask is given.

    Args:
        dim: model dimension D.
        expert: settings of one expert.
        config: how many experts, how many per token, shared ones, biases.
    """

    def __init__(self, dim: int, expert: FeedForwardConfig, config: MoEConfig) -> None:
        super().__init__()
        self.config, self.expert = config, expert
        inner = expert.hidden * (2 if expert.gated else 1)
        self.router = nn.Linear(dim, config.experts, bias=False)
        # Inputs before outputs: a product of a few rows with such a weight takes half the time.
        self.w_in = nn.Parameter(torch.empty(config.experts, dim, inner))
        self.w_out = nn.Parameter(torch.empty(config.experts, expert.hidden, dim))
        self.b_in = nn.Parameter(torch.empty(config.experts, inner)) if config.bias == "local" else None
        self.b_out = nn.Parameter(torch.empty(config.experts, dim)) if config.bias == "local" else None
        self.bias = nn.Parameter(torch.zeros(dim)) if config.bias == "global" else None
        self.shared = nn.ModuleList(
            FeedForward(dim, expert, bias=config.shared_bias == "local") for _ in range(config.shared_experts)
        )
        self.shared_gate = nn.Linear(dim, config.shared_experts, bias=False) if config.shared_experts > 1 else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every expert starts as an ``nn.Linear`` pair would."""
        for weight, bias in ((self.w_in, self.b_in), (self.w_out, self.b_out)):
            bound = weight.shape[1] ** -0.5
            nn.init.uniform_(weight, -bound, bound)
            if bias is not None:
                nn.init.uniform_(bias, -bound, bound)

    def route(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities ``(N, experts)``, and weights and indices ``(N, k)`` of the chosen experts, of x ``(N, D)``."""
        weight = self.router.weight
        kind = torch.promote_types(weight.dtype, attention_dtype(weight))
        with unrounded(x.device):  # rounded, two passes over the same tokens may choose other experts
            probabilities = F.linear(x.to(kind), weight.to(kind)).softmax(-1).to(weight.dtype)
        top, index = probabilities.topk(self.config.top_k, dim=-1)
        return probabilities, top / (top.sum(-1, keepdim=True) + 1e-9), index

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, RouterStats | None]:
        """Output of x ``(..., D)`` and, in training mode or with gradients, the router's statistics.

        Args:
            x: tokens.
            mask: bool ``(...)``; tokens where it is False get a zero output and do not count in the statistics.
        """
        tokens = x.reshape(-1, x.shape[-1])
        keep = None if mask is None else mask.reshape(-1)
        stats = None
        if use_kernels(self.w_in) and not self.training and self.few(len(tokens)):
            out = self._loops(tokens, keep)
        else:
            probabilities, weights, index = self.route(tokens)
            out = self._dispatch(tokens, weights, index, keep)
            if torch.is_grad_enabled() or self.training:
                stats = self._stats(probabilities, index, keep)
        if self.bias is not None:
            out = out + self.bias
        if self.shared:
            out = out + self.shared_output(tokens)
        return out.view_as(x), stats

    def few(self, rows: int) -> bool:
        """Whether so many rows are few enough for the compiled loops."""
        return rows * self.config.top_k <= _FEW_PER_EXPERT * self.config.experts

    def local_weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights and biases of the experts' two projections; biases that do not exist are zeros."""
        b_in = self.w_in.new_zeros(len(self.w_in), self.w_in.shape[2]) if self.b_in is None else self.b_in
        b_out = self.w_out.new_zeros(len(self.w_out), self.w_out.shape[2]) if self.b_out is None else self.b_out
        return self.w_in, b_in, self.w_out, b_out

    def _loops(self, tokens: Tensor, keep: Tensor | None) -> Tensor:
        """As :meth:`_dispatch`, routing included, on the compiled loops."""
        from . import kernels  # compiles at its first use: only inference on a CPU pays for it

        out = torch.zeros_like(tokens)
        some = tokens if keep is None else tokens[keep]
        routed = out if keep is None else torch.zeros_like(some)
        kernels.experts_step(
            some.numpy(),
            self.router(some).numpy(),
            self.config.top_k,
            *(weight.detach().numpy() for weight in self.local_weights()),
            kernels.ACTIVATIONS[self.expert.activation],
            self.expert.gated,
            routed.numpy(),
        )
        if keep is not None:
            out[keep] = routed
        return out

    def _dispatch(self, tokens: Tensor, weights: Tensor, index: Tensor, keep: Tensor | None) -> Tensor:
        experts, k = self.config.experts, self.config.top_k
        chosen = index.reshape(-1)
        if keep is not None:  # padding goes to an expert that does not exist, behind all others
            chosen = chosen.masked_fill(~keep.repeat_interleave(k), experts)
        order = chosen.argsort(stable=True)
        counts = torch.bincount(chosen, minlength=experts + 1)[: experts + 1].tolist()
        pieces = tokens.index_select(0, order // k).split(counts)
        results = [self._expert(e, piece) if len(piece) else piece for e, piece in enumerate(pieces[:experts])]
        results.append(torch.zeros_like(pieces[experts]))
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        routed = torch.cat([r.to(tokens.dtype) for r in results]).index_select(0, back).unflatten(0, (-1, k))
        return (routed * weights.to(routed.dtype).unsqueeze(-1)).sum(1)

    def _expert(self, e: int, x: Tensor) -> Tensor:
        hidden = x @ self.w_in[e] if self.b_in is None else torch.addmm(self.b_in[e], x, self.w_in[e])
        hidden = activate(hidden, self.expert.activation, self.expert.gated)
        if self.training and self.expert.dropout:
            hidden = F.dropout(hidden, self.expert.dropout)
        return hidden @ self.w_out[e] if self.b_out is None else torch.addmm(self.b_out[e], hidden, self.w_out[e])

    def shared_output(self, tokens: Tensor) -> Tensor:
        """What the shared experts add to tokens ``(N, D)``."""
        if self.shared_gate is None:
            return self.shared[0](tokens)
        outputs = torch.stack([expert(tokens) for expert in self.shared], dim=1)
        return torch.bmm(self.shared_gate(tokens).softmax(-1).unsqueeze(1), outputs).squeeze(1)

    def _stats(self, probabilities: Tensor, index: Tensor, keep: Tensor | None) -> RouterStats:
        if keep is not None:
            probabilities, index = probabilities[keep], index[keep]
        return router_stats(probabilities, index, self.config.balance_loss)


def router_stats(probabilities: Tensor, index: Tensor, loss: str = "switch") -> RouterStats:
    """Balance loss and load of a routing.

    ``switch``: ``E sum_e f_e P_e`` with f_e the share of selections and P_e the mean probability of expert e.
    ``published``: ``E sum_e f_e a_e`` with a_e the mean probability over only the tokens that selected e.

    Args:
        probabilities: ``(tokens, experts)``.
        index: chosen experts, long ``(tokens, k)``.
        loss: which of the two.
    """
    experts = probabilities.shape[-1]
    counts = torch.bincount(index.reshape(-1), minlength=experts).to(probabilities.dtype)
    load = counts / max(1, index.numel())
    if loss == "switch":
        mean = probabilities.sum(0) / max(1, len(probabilities))
        return RouterStats(experts * (load * mean).sum(), load)
    selected = torch.zeros_like(probabilities).scatter(1, index, probabilities.gather(1, index)).sum(0)
    share = counts / (index.numel() + 1e-6)
    return RouterStats(experts * (share * selected / counts.clamp(min=1)).sum(), load)
