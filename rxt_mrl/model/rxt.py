"""The whole model. Memory is a value: a tensor ``(layers, batch, slots, dim)`` that methods take and return.

Departures from the published libraries: no module holds the memory, and gradients run through a whole scan
of memory writes (:meth:`RxT.scan`), so that a write is credited for every later answer that it helped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..texts import Tokens, trim
from .checks import check_memory, check_tokens
from .compiling import compile_functions
from .components import COMPONENTS, by_component
from .config import RxTConfig
from .decoder import Decoder, DecoderOutput
from .encoder import Encoder
from .hub import HubModel
from .initial_memory import InitialMemory
from .memory_attention import MemoryAttention
from .scan import Flow, scanned

_PIECE = 1024
"""Slots or tokens of so many rows are written at once on a CPU: then what a layer makes stays in the cache."""
_PADDING = 4096
"""Tokens of padding behind the follow-ups of a longer first interaction that are worth an encoder call of its own."""


class RxT(nn.Module, HubModel):
    """A Reactive Transformer: encoder, memory attention and decoder around one embedding.

    Shapes: L layers, B batch, S slots, D dim, T tokens, N interactions, V vocabulary.

    Args:
        config: all sections must be there.
    """

    def __init__(self, config: RxTConfig) -> None:
        super().__init__()
        for section in ("encoder", "memory_attention", "decoder"):
            if getattr(config, section) is None:
                raise UserError(f"{section}: the configuration has no {section} section (None); an RxT needs all parts")
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embed_dim)
        self.encoder = Encoder(config, self.embedding)
        self.memory_attention = MemoryAttention(config)
        self.decoder = Decoder(config, self.embedding)
        self.initial = InitialMemory(config)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.embedding.weight.device

    def initial_memory(
        self, batch: int, *, seeds: Sequence[int] | None = None, system_ids: Tensor | None = None
    ) -> Tensor:
        """Memory ``(L, B, S, D)`` before the first interaction.

        Args:
            batch: episodes.
            seeds: one per episode; the same seed gives the same memory. None: torch's global generator.
            system_ids: token ids ``(T,)`` of a system text, written to the memory of every episode; None: the
                configuration's, if its initial memory is ``encoded``.
        """
        weight = self.embedding.weight
        memory = self.initial(batch, seeds=seeds, device=weight.device, dtype=weight.dtype)
        if system_ids is None and self.config.initial_memory.kind == "encoded":
            system_ids = torch.tensor(self.config.initial_memory.system_ids, device=self.device)
        if system_ids is None:
            return memory
        ids = system_ids.expand(batch, -1)
        return self.write(memory, ids, torch.ones_like(ids, dtype=torch.bool))

    def encode(self, ids: Tensor, mask: Tensor, memory: Tensor | None = None) -> Tensor:
        """Encoded data ``(L, B, T, D)`` of interactions ``(B, T)``; see :meth:`Encoder.forward`."""
        return self.encoder(ids, mask, memory)

    def update(self, memory: Tensor, encoded: Tensor, mask: Tensor) -> Tensor:
        """The memory after a write of encoded data ``(L, B, T, D)``; see :meth:`MemoryAttention.forward`."""
        return self.memory_attention(memory, encoded, mask)

    def write(self, memory: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """The memory ``(L, B, S, D)`` after the interactions ``(B, T)`` were encoded and written."""
        check_tokens(ids, mask, self.config)
        check_memory(memory, self.config, ids.shape[0], self.embedding.weight.dtype)
        ids, mask = trim(ids, mask)
        rows = max(1, _PIECE // max(ids.shape[1], self.config.slots))
        if memory.device.type != "cpu" or torch.is_grad_enabled() or len(ids) <= rows:
            return self.update(memory, self._encode(ids, mask, memory), mask)
        after = torch.empty_like(memory)
        for start in range(0, len(ids), rows):
            piece = slice(start, start + rows)
            before, words, valid = memory[:, piece], *trim(ids[piece], mask[piece])
            after[:, piece] = self.update(before, self._encode(words, valid, before), valid)
        return after

    def scan(self, memory: Tensor, ids: Tensor, mask: Tensor, flow: Flow | None = None) -> Tensor:
        """Write N interactions one after the other: one encoder call over all, then N small updates.

        An encoder that reads the memory has to run interaction by interaction.

        Args:
            memory: ``(L, B, S, D)``.
            ids: long ``(B, N, T)``.
            mask: bool ``(B, N, T)``, right padding.
            flow: bounds the gradient through the writes (:mod:`.scan`); None: it is whole.

        Returns:
            memories ``(N + 1, L, B, S, D)``: ``[0]`` is the given one, ``[n]`` that after n interactions.
        """
        check_tokens(ids, mask, self.config, rank=3)
        check_memory(memory, self.config, ids.shape[0], self.embedding.weight.dtype)
        ids, mask = trim(ids.transpose(0, 1), mask.transpose(0, 1))  # (N, B, T)
        if self.encoder.reads_memory:
            turns = (trim(turn, valid) for turn, valid in zip(ids, mask, strict=True))
            return torch.stack(scanned(memory, (partial(self._write, *turn) for turn in turns), flow))
        stretches = []
        for words, valid in _stretches(ids, mask):
            flat_ids, flat_mask = words.flatten(0, 1), valid.flatten(0, 1)
            stretches.append((self._encode(flat_ids, flat_mask, memory), flat_mask))
        return torch.stack(self.memory_attention.scan(memory, stretches, flow))

    def decode(self, ids: Tensor, memory: Tensor, mask: Tensor | None = None, keep: Tensor | None = None) -> Tensor:
        """Logits ``(B, T, V)``, causal; see :meth:`Decoder.forward`."""
        return self.decoder(ids, memory, mask, keep).logits

    def decode_output(
        self, ids: Tensor, memory: Tensor, mask: Tensor | None = None, keep: Tensor | None = None
    ) -> DecoderOutput:
        """Logits with the routers' balance loss and expert load."""
        return self.decoder(ids, memory, mask, keep)

    def compile_parts(self) -> None:
        """Compile what training computes (:mod:`.compiling`), on the device that the model is on.

        Raises:
            UserError: torch cannot compile on this machine.
        """
        compile_functions(
            (self.encoder, self.encoder.through_layers),
            (self.decoder, self.decoder.through_layers),
            (self.memory_attention, self.memory_attention.mixed),
        )

    def component_parameters(self, component: str) -> list[nn.Parameter]:
        """The parameters of one component (:mod:`.components`), without those of another.

        Raises:
            UserError: on an unknown component.
        """
        if component not in COMPONENTS:
            raise UserError(f"component: {component!r}; allowed: {', '.join(COMPONENTS)}")
        return by_component(self)[component]

    def _write(self, ids: Tensor, mask: Tensor, memory: Tensor) -> Tensor:
        return self.update(memory, self._encode(ids, mask, memory), mask)

    def _encode(self, ids: Tensor, mask: Tensor, memory: Tensor) -> Tensor:
        return self.encoder.encode(ids, mask, memory if self.encoder.reads_memory else None)


def _stretches(ids: Tensor, mask: Tensor) -> list[Tokens]:
    """Interactions ``(N, B, T)`` as they are encoded: all at once, or the first one, which tells most, by itself."""
    if len(ids) > 1:
        follow_ups = trim(ids[1:], mask[1:])
        if mask[1:].numel() - follow_ups.mask.numel() >= _PADDING:
            return [trim(ids[:1], mask[:1]), follow_ups]
    return [Tokens(ids, mask)]
