"""The attention family of one layer: MHA, GQA, MQA and SQA over ``scaled_dot_product_attention``.

Sources: Vaswani et al. 2017; Shazeer 2019 (MQA); Ainslie et al. 2023 (GQA); Filipek 2025 (SQA, arXiv 2510.01817);
head grouping as in RXT.md 1.5: query head j reads key/value head ``j // (query heads / key-value heads)``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import products
from .config import AttentionConfig, RopeLayout
from .device import attention_dtype, products_dtype, unrounded
from .rope import rotate


class Attention(nn.Module):
    """Queries from one sequence, keys and values from another (or the same).

    Keys and values have one fused projection, and can be computed apart from the attention
    (:meth:`project_kv`, :meth:`attend`): caches and memory keys are built on that.

    Args:
        dim: model dimension D.
        heads: heads of the model; they define the head dimension.
        config: which heads exist.
        layout: how rotated pairs are written (:func:`rxt_mrl.model.rope.rotate`).
    """

    def __init__(self, dim: int, heads: int, config: AttentionConfig, layout: RopeLayout) -> None:
        super().__init__()
        self.head_dim = dim // (config.heads or heads)
        self.query_heads, self.kv_heads = config.head_counts(heads)
        self.layout: RopeLayout = layout
        self.dropout = config.dropout
        self.q_proj = nn.Linear(dim, self.query_heads * self.head_dim, bias=False)
        self.kv_proj = nn.Linear(dim, 2 * self.kv_heads * self.head_dim, bias=False)
        out_heads = max(self.query_heads, self.kv_heads)
        self.out_proj = nn.Linear(out_heads * self.head_dim, dim, bias=config.output_bias)

    def project_kv(self, x: Tensor, rotation: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values ``(B, kv heads, T, head dim)`` of x ``(B, T, D)``; keys rotated if a rotation is given."""
        kv = self.kv_proj(x).to(attention_dtype(self.kv_proj.weight))
        k, v = kv.unflatten(-1, (2, self.kv_heads, self.head_dim)).unbind(-3)
        if rotation is not None:
            k = rotate(k, rotation, self.layout)
        return k.transpose(1, 2), v.transpose(1, 2)

    def project_kv_transposed(self, x: Tensor, out: Tensor) -> None:
        """As :meth:`project_kv`, into ``out (2, B, kv heads, head dim, T)``; without gradients."""
        for weight, target in zip(self.kv_proj.weight.chunk(2), out, strict=True):
            torch.bmm(weight.expand(len(x), -1, -1), x.mT, out=target.flatten(1, 2))

    def attend(
        self,
        x: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        mask: Tensor | None = None,
        rotation: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Attention output ``(B, Tq, D)`` of the queries of x ``(B, Tq, D)`` over given keys and values.

        Args:
            x: what queries are projected from.
            k: ``(B, kv heads, Tk, head dim)``.
            v: as k.
            mask: bool, True = may be read, broadcastable to ``(B, heads, Tq, Tk)``; not together with ``causal``.
            rotation: rotates the queries, if given.
            causal: query i reads keys 0..i.
        """
        q = self.q_proj(x).to(attention_dtype(self.q_proj.weight)).unflatten(-1, (self.query_heads, self.head_dim))
        if rotation is not None:
            q = rotate(q, rotation, self.layout)
        out = grouped_attention(
            q.transpose(1, 2), k, v, mask=mask, causal=causal, dropout=self.dropout if self.training else 0.0
        )
        return self.out_proj(out.transpose(1, 2).flatten(-2).to(products_dtype(self.out_proj.weight)))

    def forward(
        self,
        x: Tensor,
        source: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        rotation: Tensor | None = None,
        key_rotation: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """Attention of x ``(B, Tq, D)`` over ``source`` (default: x itself, whose keys take ``rotation`` too)."""
        if source is None:
            source, key_rotation = x, rotation
        k, v = self.project_kv(source, key_rotation)
        return self.attend(x, k, v, mask=mask, rotation=rotation, causal=causal)


def grouped_attention(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, causal: bool = False, dropout: float = 0.0
) -> Tensor:
    """``scaled_dot_product_attention`` for any numbers of query and key/value heads that divide each other.

    Computed in the inputs' precision, under autocast too. With fewer query than key/value heads ("reversed" SQA) the
    queries are tiled: 0..Q-1, 0..Q-1, ...
    """
    query_heads, kv_heads = q.shape[1], k.shape[1]
    if query_heads < kv_heads:
        q = q.repeat(1, kv_heads // query_heads, 1, 1)
    if not k.is_contiguous() and k.mT.is_contiguous() and mask is None and not causal and not dropout:
        return _products(q, k, v)
    options = {"attn_mask": mask, "is_causal": causal, "dropout_p": dropout, "enable_gqa": query_heads > kv_heads}
    with unrounded(q.device):
        return products.aside(F.scaled_dot_product_attention, q, k, v, **options)


def _products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention over keys and values whose tokens are the last dimension in memory: plain products read them as is."""
    batch, kv_heads, _, dim = k.shape
    queries = q.reshape(batch, kv_heads, -1, dim)
    return (((queries * dim**-0.5) @ k.mT).softmax(-1) @ v).view(*q.shape[:3], dim)


def key_mask(mask: Tensor | None) -> Tensor | None:
    """A token mask ``(B, T)`` as an attention mask over keys ``(B, 1, 1, T)``."""
    return None if mask is None else mask[:, None, None, :]


__all__ = ["Attention", "grouped_attention", "key_mask"]
