"""The generator: a causal transformer that reads the memory, whole sequences at once or token by token."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import UserError
from .cache import KVCache, MemoryKV
from .checks import check_memory, check_tokens
from .config import DecoderConfig, RxTConfig
from .device import attention_dtype, unrounded, use_kernels
from .hub import HubModel
from .layers import Stack, mean_stats
from .moe import RouterStats
from .norms import make_norm
from .stepping import DecoderSteps, TorchSteps


class DecoderOutput(NamedTuple):
    """What a decoder returns for whole sequences."""

    logits: Tensor
    """``(B, T, V)``, or ``(n, V)`` for n selected positions."""
    router_loss: Tensor | None
    """Mean balance loss of the expert layers (scalar), or None without experts."""
    expert_load: Tensor | None
    """Share of the selections of each expert ``(layers, experts)``, or None without experts."""


class Decoder(Stack, HubModel):
    """Causal self-attention, memory cross-attention, feed-forward or experts, language-model head.

    Usable alone on plain text with a frozen near-zero memory, as the published base decoders were trained.
    The head is not tied to the embedding.

    Args:
        config: sizes and the ``decoder`` section.
        embedding: shared embedding; None: an own one.
    """

    def __init__(self, config: RxTConfig, embedding: nn.Embedding | None = None) -> None:
        if config.decoder is None:
            raise UserError("decoder: the configuration has no decoder section (None); a Decoder needs one")
        super().__init__(config, config.decoder, embedding)
        self.section: DecoderConfig = config.decoder
        self.head_norm = (
            nn.Identity() if config.decoder.head_norm is None else make_norm(config.decoder.head_norm, config.embed_dim)
        )
        self.head = nn.Linear(config.embed_dim, config.vocab_size)

    def forward(
        self, ids: Tensor, memory: Tensor, mask: Tensor | None = None, keep: Tensor | None = None
    ) -> DecoderOutput:
        """Logits of whole sequences; position p predicts token p + 1.

        Args:
            ids: long ``(B, T)``, right-padded.
            memory: ``(L, B, S, D)``, or batch 1 for a memory that all rows share.
            mask: bool ``(B, T)``. Causal attention does not need it; with it, experts leave the padding out.
            keep: bool ``(B, T)``; only logits of these positions are computed, as ``(n, V)`` in row-major order.

        Raises:
            UserError: on wrong shapes, dtypes or ids.
        """
        hidden, router = self.hidden(ids, memory, mask, keep)
        if router is None:
            return DecoderOutput(self.logits(hidden), None, None)
        return DecoderOutput(self.logits(hidden), router.loss, router.load)

    def hidden(
        self,
        ids: Tensor,
        memory: Tensor,
        mask: Tensor | None = None,
        keep: Tensor | None = None,
        readers: Tensor | None = None,
    ) -> tuple[Tensor, RouterStats | None]:
        """What :meth:`logits` reads, as :meth:`forward`; and the routers' statistics.

        Args:
            ids: as in :meth:`forward`.
            memory: ``(L, M, S, D)``.
            mask: as in :meth:`forward`.
            keep: as in :meth:`forward`.
            readers: long ``(B,)``, which of the M memories each row reads; None: row b reads memory b. The keys and
                values of a memory that several rows read are computed once.
        """
        check_tokens(ids, mask, self.config)
        memory_kv = self.memory_kv(memory if readers is not None else self._checked(memory, ids.shape[0]))
        if readers is not None:
            memory_kv = [(k.index_select(0, readers), v.index_select(0, readers)) for k, v in memory_kv]
        outputs, stats = self.run(ids, memory_kv=memory_kv, causal=True, token_mask=mask)
        return (outputs[-1] if keep is None else outputs[-1][keep]), mean_stats(stats)

    def logits(self, hidden: Tensor) -> Tensor:
        """Head of the model: ``(..., D)`` to ``(..., V)``; without gradients not rounded under autocast either.

        What is drawn from them or compared by them would feel it: logits of 10 have steps of 1/16 in bfloat16.
        """
        if torch.is_grad_enabled():
            return self.head(self.head_norm(hidden))
        with unrounded(hidden.device):
            return self.head(self.head_norm(hidden.to(self.head.weight.dtype)))

    @torch.no_grad()
    def new_cache(self, batch: int, length: int) -> KVCache:
        """An empty cache of ``batch`` rows of up to ``length`` tokens.

        Raises:
            UserError: when length exceeds the model's ``max_tokens``.
        """
        if not 1 <= length <= self.config.max_tokens:
            raise UserError(f"cache length: {length}; allowed: 1..max_tokens = {self.config.max_tokens}")
        attention = self.blocks[0].attention
        weight = self.head.weight
        self.rope.reserve(length, weight.device)
        return KVCache(
            len(self.blocks),
            batch,
            attention.kv_heads,
            length,
            attention.head_dim,
            device=weight.device,
            dtype=attention_dtype(weight),
            transposed=use_kernels(weight),
        )

    @torch.no_grad()
    def memory_kv_for_steps(self, memory: Tensor) -> MemoryKV:
        """As :meth:`memory_kv`, laid out in memory as :meth:`step` reads it."""
        if not use_kernels(self.head.weight):
            return [(k.contiguous(), v.contiguous()) for k, v in self.memory_kv(memory)]
        cross = self.blocks[0].memory_cross_attention
        assert cross is not None
        # One block: pieces would come fresh from the system at every call, which costs more than to fill them.
        layers, batch, slots, _ = memory.shape
        block = memory.new_empty(layers, 2, batch, cross.kv_heads, cross.head_dim, slots)
        for layer, state, out in zip(self.blocks, memory, block, strict=True):
            layer.memory_kv_transposed(state, out)
        return [(kt.mT, vt.mT) for kt, vt in block]

    @torch.no_grad()
    def prefill(self, ids: Tensor, mask: Tensor, memory_kv: MemoryKV, cache: KVCache) -> Tensor:
        """Run prompts ``(B, T)`` and fill the cache with them.

        Returns:
            logits ``(B, V)`` of the last token of each row.

        Raises:
            UserError: on wrong ids, or prompts wider than the cache.
        """
        check_tokens(ids, mask, self.config)
        if ids.shape[1] > cache.capacity or ids.shape[0] != cache.batch:
            raise UserError(f"ids: shape {tuple(ids.shape)}; allowed: ({cache.batch}, at most {cache.capacity})")
        outputs, _ = self.run(ids, memory_kv=memory_kv, causal=True, cache=cache, token_mask=mask)
        cache.set_lengths(mask.sum(-1))
        last = (cache.lengths - 1).clamp(min=0)
        return self.logits(outputs[-1][torch.arange(len(last), device=last.device), last])

    @torch.no_grad()
    def step(self, ids: Tensor, memory_kv: MemoryKV, cache: KVCache, steps: DecoderSteps) -> Tensor:
        """Append one token per row ``(B, 1)`` and return the logits ``(B, V)`` that follow it; advances the cache.

        Args:
            ids: the tokens; not checked (they come from a sampler).
            memory_kv: from :meth:`memory_kv`.
            cache: from :meth:`new_cache`, filled by :meth:`prefill`.
            steps: from :meth:`prepare_steps`.

        Raises:
            UserError: when a row would exceed the cache.
        """
        if cache.longest >= cache.capacity:
            raise UserError(f"cache: a row of {cache.longest} tokens is full; allowed: {cache.capacity} tokens")
        hidden = steps(self.embedding(ids.squeeze(1)), memory_kv, cache)
        cache.advance()
        return self.logits(hidden)

    @torch.no_grad()
    def prepare_steps(self, capacity: int) -> DecoderSteps:
        """The layers prepared for :meth:`step` on caches of ``capacity`` tokens; made anew when the weights change."""
        if not use_kernels(self.head.weight):
            return TorchSteps(self.blocks, self.rope, capacity)
        from .kernel_steps import KernelSteps  # compiles at its first use: only generation on a CPU pays for it

        return KernelSteps(self.blocks, self.rope, capacity)

    def _checked(self, memory: Tensor, batch: int) -> Tensor:
        if isinstance(memory, Tensor) and memory.dim() == 4 and memory.shape[1] == 1 != batch:
            memory = memory.expand(-1, batch, -1, -1)
        check_memory(memory, self.config, batch, self.head.weight.dtype)
        return memory
