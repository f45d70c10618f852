"""The layer of encoder and decoder, and the stack of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from .attention import Attention
from .cache import KVCache, MemoryKV
from .compiling import Compilable
from .config import RopeLayout, RxTConfig, StackConfig
from .feedforward import FeedForward
from .moe import MoE, RouterStats
from .norms import make_norm
from .rope import Rope


class Layer(nn.Module):
    """Self-attention, memory cross-attention (optional), feed-forward or experts; residuals in sequence (RXT.md 1.3).

    Args:
        config: sizes of the model.
        stack: settings of this kind of layer.
    """

    def __init__(self, config: RxTConfig, stack: StackConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.pre_norm = stack.pre_norm
        self.norm1 = make_norm(stack.norm, dim)
        # The layouts differ only where one side is rotated; interleaved is the cheaper one.
        layout: RopeLayout = "interleaved" if stack.cross_attention is None else config.rope
        self.attention = Attention(dim, config.heads, stack.attention, layout)
        self.memory_cross_attention: Attention | None = None
        if stack.cross_attention is not None:
            self.norm2 = make_norm(stack.norm, dim)
            self.memory_norm = make_norm(stack.norm, dim)
            self.memory_cross_attention = Attention(dim, config.heads, stack.cross_attention, config.rope)
        self.norm3 = make_norm(stack.norm, dim)
        self.ff: FeedForward | MoE = (
            FeedForward(dim, stack.feed_forward) if stack.moe is None else MoE(dim, stack.feed_forward, stack.moe)
        )

    def memory_kv(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of this layer's memory ``(B, S, D)``; they carry no position."""
        assert self.memory_cross_attention is not None
        return self.memory_cross_attention.project_kv(self.memory_norm(memory))

    def memory_kv_transposed(self, memory: Tensor, out: Tensor) -> None:
        """As :meth:`memory_kv`, into ``out (2, B, kv heads, head dim, S)``; without gradients."""
        assert self.memory_cross_attention is not None
        self.memory_cross_attention.project_kv_transposed(self.memory_norm(memory), out)

    def forward(
        self,
        x: Tensor,
        self_attention: Callable[[Tensor], Tensor],
        *,
        rotation: Tensor,
        memory_kv: tuple[Tensor, Tensor] | None,
        token_mask: Tensor | None = None,
    ) -> tuple[Tensor, RouterStats | None]:
        """One layer on x ``(B, T, D)``.

        Args:
            x: hidden states.
            self_attention: maps normed hidden states to the attention's output (masked, causal or cached).
            rotation: rotates the queries of the memory cross-attention; its keys have no position.
            memory_kv: from :meth:`memory_kv`; None where the layer does not read the memory.
            token_mask: bool ``(B, T)``; only experts look at it, to leave padding out.
        """
        x = self._residual(x, self.norm1, self_attention)
        if (cross := self.memory_cross_attention) is not None:
            assert memory_kv is not None
            k, v = memory_kv
            x = self._residual(x, self.norm2, lambda h: cross.attend(h, k, v, rotation=rotation))
        if isinstance(self.ff, FeedForward):
            return self._residual(x, self.norm3, self.ff), None
        out, stats = self.ff(self.norm3(x) if self.pre_norm else x, token_mask)
        return (x + out if self.pre_norm else self.norm3(x + out)), stats

    def _residual(self, x: Tensor, norm: nn.Module, function: Callable[[Tensor], Tensor]) -> Tensor:
        return x + function(norm(x)) if self.pre_norm else norm(x + function(x))


class Stack(Compilable):
    """Embedding and layers: what encoder and decoder share.

    Args:
        config: sizes of the model.
        stack: settings of the layers.
        embedding: the model's embedding; None: an own one is made.
    """

    def __init__(self, config: RxTConfig, stack: StackConfig, embedding: nn.Embedding | None = None) -> None:
        super().__init__()
        self.config = config
        self.embedding = embedding if embedding is not None else nn.Embedding(config.vocab_size, config.embed_dim)
        self.layers = nn.ModuleList(Layer(config, stack) for _ in range(config.num_layers))
        heads = stack.attention.heads or config.heads
        self.rope = Rope(config.embed_dim // heads, base=config.rope_base)

    @property
    def blocks(self) -> list[Layer]:
        """The layers, typed."""
        return cast("list[Layer]", list(self.layers))

    @property
    def reads_memory(self) -> bool:
        """Whether the layers have memory cross-attention."""
        return self.blocks[0].memory_cross_attention is not None

    def memory_kv(self, memory: Tensor) -> MemoryKV:
        """Per layer, keys and values of ``memory (L, B, S, D)``: computed once, while the memory does not change."""
        return [layer.memory_kv(slots) for layer, slots in zip(self.blocks, memory, strict=True)]

    def run(
        self,
        ids: Tensor,
        *,
        memory_kv: MemoryKV | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: KVCache | None = None,
        token_mask: Tensor | None = None,
    ) -> tuple[list[Tensor], list[RouterStats]]:
        """All layers on ids ``(B, T)``: the output of each, and the statistics of the routers that there are.

        Args:
            ids: token ids.
            memory_kv: from :meth:`memory_kv`.
            mask: attention mask of the self-attention.
            causal: causal self-attention.
            cache: is filled with the keys and values of the tokens.
            token_mask: bool ``(B, T)``, for experts.
        """
        rotation = self.rope(ids.shape[1], ids.device)
        through = self.through_layers if cache is not None else self.computing(self.through_layers)
        outputs, stats = through(self.embedding(ids), rotation, memory_kv, mask, causal, cache, token_mask)
        return outputs, stats

    def through_layers(
        self,
        x: Tensor,
        rotation: Tensor,
        memory_kv: MemoryKV | None,
        mask: Tensor | None,
        causal: bool,
        cache: KVCache | None,
        token_mask: Tensor | None,
    ) -> tuple[list[Tensor], list[RouterStats]]:
        """All layers on embedded tokens x ``(B, T, D)``; the rest as :meth:`run`."""
        outputs, stats = [], []
        for i, layer in enumerate(self.blocks):

            def self_attention(h: Tensor, i: int = i, attention: Attention = layer.attention) -> Tensor:
                k, v = attention.project_kv(h, rotation)
                if cache is not None:
                    cache.fill(i, k, v)
                return attention.attend(h, k, v, mask=mask, rotation=rotation, causal=causal)

            x, router = layer(
                x,
                self_attention,
                rotation=rotation,
                memory_kv=None if memory_kv is None else memory_kv[i],
                token_mask=token_mask,
            )
            outputs.append(x)
            if router is not None:
                stats.append(router)
        return outputs, stats


def mean_stats(stats: list[RouterStats]) -> RouterStats | None:
    """Mean loss over the layers and the load per layer ``(layers, experts)``; None without experts."""
    if not stats:
        return None
    return RouterStats(torch.stack([s.loss for s in stats]).mean(), torch.stack([s.load for s in stats]))
