"""Memory attention: writes an encoded interaction to the memory (RXT.md 1.11).

All layers read the memory before the write, and are computed at once (:mod:`rxt_mrl.model.stacked`).
Departure from the published libraries: the memory is an argument and a result, never a buffer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import UserError
from ..texts import longest
from .checks import check_memory, full_or_none
from .compiling import Compilable
from .config import RxTConfig
from .device import unrounded
from .gates import ResidualGate
from .hub import HubModel
from .rope import Rope
from .scan import Flow, scanned
from .stacked import LayerAttention, LayerRMSNorm, make_memory_norm


class Encoded(NamedTuple):
    """What a write needs of an encoded interaction: everything that does not depend on the memory."""

    k: Tensor
    """``(L * B, kv heads, T, head dim)``, rotated by position."""
    v: Tensor
    mask: Tensor | None
    """bool ``(L * B, 1, 1, T)``; None: no padding."""


class MemoryAttention(Compilable, HubModel):
    """Slots attend to each other or to the layers' mean (by variant), then to the encoded interaction.

    Args:
        config: sizes and the ``memory_attention`` section.
    """

    def __init__(self, config: RxTConfig) -> None:
        super().__init__()
        if config.memory_attention is None:
            raise UserError("memory_attention: the configuration has no such section (None)")
        self.config = config
        section = self.section = config.memory_attention
        layers, slots, dim = config.num_layers, config.slots, config.embed_dim
        self.rope = Rope(dim // (section.attention.heads or config.heads), base=config.rope_base)
        self.input_norm = LayerRMSNorm(layers, dim)
        self.memory_norm = make_memory_norm(layers, slots, dim, section)
        self.attention = LayerAttention(layers, dim, config.heads, section.attention, config.rope)
        self.gate = ResidualGate(layers, slots, dim, section.gate)
        if section.variant != "simple":
            inner_gate = section.inner_gate or section.gate
            self.inner_norm = make_memory_norm(layers, slots, dim, section)
            self.inner_attention = LayerAttention(layers, dim, config.heads, section.inner_attention, config.rope)
            self.inner_gate = ResidualGate(layers, slots, dim, inner_gate)
        if section.variant in ("interlayer", "self-interlayer"):
            self.mean_norm = make_memory_norm(1, slots, dim, section)
        if section.variant == "self-interlayer":
            self.interlayer_gate = ResidualGate(layers, slots, dim, inner_gate)

    def project(self, encoded: Tensor, mask: Tensor | None) -> Encoded:
        """Keys and values of encoded data ``(L, B, T, D)`` with token mask ``(B, T)``."""
        rotation = self.rope(encoded.shape[2], encoded.device)
        with self._precise(encoded):
            k, v = self.attention.project_kv(encoded, rotation, self.input_norm)
        if mask is not None:
            mask = mask.expand(encoded.shape[0], *mask.shape).reshape(-1, 1, 1, mask.shape[-1])
        return Encoded(k, v, mask)

    def write(self, memory: Tensor, encoded: Encoded) -> Tensor:
        """The memory ``(L, B, S, D)`` after one interaction."""
        with self._precise(memory):
            after: Tensor = self.computing(self.mixed)(memory, *encoded)
        return after

    def mixed(self, memory: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """As :meth:`write`, in one precision."""
        state = self._among_slots(memory)
        return self.gate(state, self.attention.attend(state, k, v, mask, norm=self.memory_norm))

    def forward(self, memory: Tensor, encoded: Tensor, mask: Tensor) -> Tensor:
        """The memory ``(L, B, S, D)`` after one interaction.

        Args:
            memory: ``(L, B, S, D)``; it is not changed.
            encoded: encoded data ``(L, B, T, D)``.
            mask: bool ``(B, T)``, right padding.

        Raises:
            UserError: on shapes that do not fit.
        """
        check_memory(memory, self.config, mask.shape[0])
        expected = (self.config.num_layers, *mask.shape, self.config.embed_dim)
        if tuple(encoded.shape) != expected or mask.dtype != torch.bool:
            raise UserError(
                f"encoded: shape {tuple(encoded.shape)}, mask {tuple(mask.shape)} {mask.dtype}; "
                f"allowed: (layers, batch, tokens, dim) = {expected}, bool (batch, tokens)"
            )
        width = longest(mask)
        return self.write(memory, self.project(encoded[:, :, :width], full_or_none(mask[:, :width])))

    def scan(
        self, memory: Tensor, stretches: Iterable[tuple[Tensor, Tensor]], flow: Flow | None = None
    ) -> list[Tensor]:
        """Memories after 0, 1, ..., N interactions; the graph of gradients runs through all of them.

        Args:
            memory: ``(L, B, S, D)``.
            stretches: interactions in their order, those of a stretch padded alike: encoded data ``(L, N * B, T, D)``,
                interaction by interaction, and their token mask, bool ``(N * B, T)``.
            flow: bounds the gradient through the writes; None: it is whole.
        """
        pieces = [piece for encoded, mask in stretches for piece in self._by_step(encoded, mask, memory.shape[1])]
        return scanned(memory, (partial(self._write, piece) for piece in pieces), flow)

    def _by_step(self, encoded: Tensor, mask: Tensor, batch: int) -> Iterator[Encoded]:
        """What each write of a stretch needs."""
        layers, steps = len(encoded), len(mask) // batch
        every = self.project(encoded, full_or_none(mask))

        def split(x: Tensor) -> tuple[Tensor, ...]:
            steps_first = x.unflatten(0, (layers, steps, batch)).transpose(0, 1)
            return steps_first.reshape(steps, layers * batch, *x.shape[1:]).unbind(0)

        masks = (None,) * steps if every.mask is None else split(every.mask)
        return (Encoded(k, v, keys) for k, v, keys in zip(split(every.k), split(every.v), masks, strict=True))

    def _write(self, encoded: Encoded, memory: Tensor) -> Tensor:
        return self.write(memory, encoded)

    def _precise(self, x: Tensor) -> AbstractContextManager[Any]:
        """In eval mode not rounded to bfloat16 by autocast: what is rounded at every write adds up.

        Most of the difference between the log-probabilities of a rollout and of its replay came from here.
        """
        return nullcontext() if self.training else unrounded(x.device)

    def _among_slots(self, memory: Tensor) -> Tensor:
        """What the slots learn from each other before they read the interaction."""
        variant = self.section.variant
        if variant == "simple":
            return memory
        if variant == "interlayer":
            k, v = self.inner_attention.project_kv(self._layers_mean(memory))
            return self.inner_gate(memory, self.inner_attention.attend(memory, k, v, norm=self.inner_norm))
        own = source = self.inner_norm(memory)
        if variant == "self-interlayer":
            source = self.interlayer_gate(own, self._layers_mean(memory).expand_as(own))
        k, v = self.inner_attention.project_kv(source)
        return self.inner_gate(memory, self.inner_attention.attend(own, k, v))

    def _layers_mean(self, memory: Tensor) -> Tensor:
        """Normed mean over the layers ``(1, B, S, D)``, or over each group of layers ``(L, B, S, D)``."""
        groups = self.section.layer_groups
        if groups == 1:
            return self.mean_norm(memory.mean(0, keepdim=True))
        mean = memory.unflatten(0, (groups, -1)).mean(1)
        return self.mean_norm(mean).repeat_interleave(memory.shape[0] // groups, dim=0)
