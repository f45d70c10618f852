"""Parts with one set of weights per memory layer, run for all layers at once.

The layers of a memory are updated independently of each other (all read the state before the write), so the
L small operations of the published libraries become one batched operation here. This is what keeps the scan
over interactions, the only sequential part of training, short.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import grouped_attention
from .config import AttentionConfig, MemoryAttentionConfig, RopeLayout
from .device import attention_dtype, products_dtype
from .norms import inverse_rms
from .rope import rotate


class LayerLinear(nn.Module):
    """L linear maps; each starts as an ``nn.Linear`` would.

    Args:
        layers: L.
        inputs: input dimension.
        outputs: output dimension.
        bias: whether there is a bias.
    """

    def __init__(self, layers: int, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(layers, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(layers, outputs).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Tensor, norm: nn.Module | None = None) -> Tensor:
        """Map x ``(L, N, inputs)`` to ``(L, N, outputs)``; an x with one layer is given to all.

        Args:
            x: inputs.
            norm: an RMS norm to apply to the inputs. It is applied to weights and outputs, which is the same and
                saves two passes over the (wider) inputs; only for maps without bias.
        """
        weight: Tensor = self.weight
        if isinstance(norm, LayerRMSNorm):
            assert self.bias is None
            scale, weight = inverse_rms(x), weight * norm.weight.unsqueeze(1)
            return torch.bmm(x, weight.mT) * scale
        x = x.expand(weight.shape[0], -1, -1)
        if self.bias is None:
            return torch.bmm(x, weight.mT)
        return torch.baddbmm(self.bias.unsqueeze(1), x, weight.mT)


class LayerRMSNorm(nn.Module):
    """RMS norm with a weight per layer, of x ``(L, ..., D)``."""

    def __init__(self, layers: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(layers, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return x * inverse_rms(x) * self.weight.view(-1, *[1] * (x.dim() - 2), x.shape[-1])


class LayerAttention(nn.Module):
    """As :class:`~rxt_mrl.model.attention.Attention`, with weights per layer; sequences are ``(L, B, T, D)``.

    Keys and values are ``(L * B, kv heads, T, head dim)``.
    """

    def __init__(self, layers: int, dim: int, heads: int, config: AttentionConfig, layout: RopeLayout) -> None:
        super().__init__()
        self.head_dim = dim // (config.heads or heads)
        self.query_heads, self.kv_heads = config.head_counts(heads)
        self.layout: RopeLayout = layout
        self.dropout = config.dropout
        self.q_proj = LayerLinear(layers, dim, self.query_heads * self.head_dim, bias=False)
        self.kv_proj = LayerLinear(layers, dim, 2 * self.kv_heads * self.head_dim, bias=False)
        out_heads = max(self.query_heads, self.kv_heads)
        self.out_proj = LayerLinear(layers, out_heads * self.head_dim, dim, bias=config.output_bias)

    def project_kv(
        self, x: Tensor, rotation: Tensor | None = None, norm: nn.Module | None = None
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of x ``(L or 1, B, T, D)``, normed if a norm is given; keys rotated if a rotation is."""
        kv = _normed(self.kv_proj, x, norm).view(-1, x.shape[2], 2, self.kv_heads, self.head_dim)
        k, v = kv.unbind(2)
        if rotation is not None:
            k = rotate(k, rotation, self.layout)
        return k.transpose(1, 2), v.transpose(1, 2)

    def attend(
        self, x: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, norm: nn.Module | None = None
    ) -> Tensor:
        """Output ``(L, B, Tq, D)`` of the queries of x (without positions).

        Args:
            x: ``(L, B, Tq, D)``.
            k: keys.
            v: values.
            mask: over keys, bool ``(L * B, 1, 1, T)``.
            norm: applied to x first.
        """
        layers, batch, tokens, _ = x.shape
        q = _normed(self.q_proj, x, norm).view(layers * batch, tokens, self.query_heads, self.head_dim)
        out = grouped_attention(q.transpose(1, 2), k, v, mask=mask, dropout=self.dropout if self.training else 0.0)
        out = out.to(products_dtype(self.out_proj.weight)).transpose(1, 2).reshape(layers, batch * tokens, -1)
        out = self.out_proj(out)
        return out.view(layers, batch, tokens, -1)


def _normed(linear: LayerLinear, x: Tensor, norm: nn.Module | None) -> Tensor:
    """``linear(norm(x))`` of x ``(L, B, T, D)``, as ``(L, B * T, outputs)`` for an attention."""
    if norm is None or isinstance(norm, LayerRMSNorm):
        out = linear(x.flatten(1, 2), norm)
    else:
        out = linear(norm(x).flatten(1, 2))
    return out.to(attention_dtype(linear.weight))


class GatedMemoryNorm(nn.Module):
    """Memory norms that blend a normed and the raw state: ``sigmoid(gate) norm(x) + (1 - sigmoid(gate)) x``.

    ``layer``: LayerNorm times a scale. ``rms``: RMS. ``adaptive``: in training a running mean of the RMS.
    ``positional``: a running mean of each slot's RMS. The RMS kinds divide by the *square root of the RMS*, as the
    published libraries do (RXT.md 1.11). The running means are the only state; they are buffers.

    Args:
        layers: L (1 for the norm of the layers' mean).
        slots: slots S.
        dim: dimension D.
        config: kind, initial gate, decay.
    """

    ema: Tensor

    def __init__(self, layers: int, slots: int, dim: int, config: MemoryAttentionConfig) -> None:
        super().__init__()
        self.kind, self.decay = config.norm, config.norm_decay
        positional = self.kind == "positional"
        self.gate = nn.Parameter(torch.full((layers, slots if positional else 1, 1), config.norm_init_gate))
        if positional and not config.norm_per_dim:
            self.scale = nn.Parameter(1.0 + 0.1 * torch.randn(layers, slots, 1))
        else:
            self.scale = nn.Parameter(torch.ones(layers, 1, dim))
        if self.kind == "layer":
            self.weight = nn.Parameter(torch.ones(layers, 1, dim))
            self.bias = nn.Parameter(torch.zeros(layers, 1, dim))
        if self.kind in ("adaptive", "positional"):
            self.register_buffer("ema", torch.ones(layers, slots if positional else 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x ``(L, B, S, D)``."""
        if self.kind == "layer":
            normed = torch.addcmul(self.bias.unsqueeze(1), F.layer_norm(x, x.shape[-1:]), self.weight.unsqueeze(1))
        else:
            normed = x * torch.rsqrt(self._rms(x) + 1e-6)
        return torch.lerp(x, normed * self.scale.unsqueeze(1), torch.sigmoid(self.gate).unsqueeze(1))

    def _rms(self, x: Tensor) -> Tensor:
        rms = x.square().mean(-1, keepdim=True).sqrt()  # (L, B, S, 1)
        if self.kind == "rms" or (self.kind == "adaptive" and not self.training):
            return rms
        if self.training:
            mean = rms.detach().mean(1)  # (L, S, 1)
            if self.kind == "adaptive":
                mean = mean.mean(1, keepdim=True)
            self.ema = torch.lerp(mean, self.ema, self.decay)
        return self.ema.unsqueeze(1)


def make_memory_norm(layers: int, slots: int, dim: int, config: MemoryAttentionConfig) -> nn.Module:
    """The memory norm that the settings ask for."""
    if config.norm == "classic-rms":
        return LayerRMSNorm(layers, dim)
    return GatedMemoryNorm(layers, slots, dim, config)
