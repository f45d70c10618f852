"""Stage 3: memory attention learns, without any answer, to blend new encoded data into the memory.

As published (RXT 3.3): after writing interaction t, the memory should point where a weighted mean of the memory
before and of the encoded data points; the weight of the new data is high for the first interaction and falls with t.
The encoder is frozen, only memory attention learns.

Departures: the target's new part is the encoder's output (published code: the network's own output, which is no
target at all); its old part is detached; encoded tokens are averaged to the number of slots, so that texts need not
be exactly as long as the memory; gradients may run through the whole scan; padding neither enters the memory nor
the target; one optimizer step per batch of dialogues, not per interaction.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model import RxT
from .config import MemoryAttentionSettings
from .losses import pool_to_slots
from .objectives import StageModel, StageOutput, generator_for, ratio


class MemoryAttentionModel(StageModel):
    """Memory attention with the loss of stage 3.

    Args:
        rxt: the model; its encoder is only read.
        settings: of the stage.
    """

    def __init__(self, rxt: RxT, settings: MemoryAttentionSettings) -> None:
        super().__init__(rxt)
        self.settings = settings

    def trained(self) -> dict[str, float] | None:
        """Memory attention alone."""
        return {"memory_attention": 1.0}

    def forward(self, ids: Tensor, mask: Tensor, answer_mask: Tensor, row_seeds: Tensor, draw: Tensor) -> StageOutput:
        """Loss of a batch of dialogues, ``(rows, interactions, tokens)``."""
        settings = self.settings
        generator = generator_for(draw)
        rows, interactions, _ = ids.shape
        with torch.no_grad():
            flat = self.rxt.encode(ids.flatten(0, 1), mask.flatten(0, 1))
            pooled = pool_to_slots(flat, mask.flatten(0, 1), self.rxt.config.slots)
            flat = flat + settings.encoded_noise * self._noise(flat, generator, settings.encoded_noise)
        encoded = flat.unflatten(1, (rows, interactions))
        new_data = pooled.unflatten(1, (rows, interactions))
        memory = self.rxt.initial_memory(rows, seeds=row_seeds.tolist())
        loss = torch.zeros((), device=ids.device)
        change = torch.zeros((), device=ids.device)
        cosine = torch.zeros((), device=ids.device)
        for t in range(interactions):
            old = memory if settings.scan_gradient else memory.detach()
            memory = self.rxt.update(old, encoded[:, :, t], mask[:, t])
            shift = 2 * torch.rand((), generator=generator).item() - 1
            share = settings.weights.at(t) + settings.weights.jitter * shift
            target = (1 - share) * old.detach() + share * new_data[:, :, t]
            target = target + settings.label_noise * self._noise(target, generator, settings.label_noise)
            similarity = F.cosine_similarity(memory.float(), target.float(), dim=-1).mean()
            moved = (memory - old).float().square().mean()
            loss = loss - similarity + settings.change_penalty * math.sqrt(t + 1) * moved
            cosine, change = cosine + similarity.detach(), change + moved.detach().sqrt()
        sums = {"cosine": ratio(cosine, interactions), "memory_change": ratio(change, interactions)}
        loss = loss / interactions
        sums["loss"] = ratio(loss, 1)
        return {"loss": loss, "sums": sums}

    @staticmethod
    def _noise(like: Tensor, generator: torch.Generator, level: float) -> Tensor | float:
        if not level:
            return 0.0
        return torch.randn(like.shape, generator=generator).to(like.device, like.dtype)
