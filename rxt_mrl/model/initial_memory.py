"""Initial memories: what the slots hold before the first interaction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError
from ..seeding import numpy_generator
from .config import RxTConfig


class InitialMemory(nn.Module):
    """Draws or holds initial memories ``(L, B, S, D)``.

    Args:
        config: sizes and the ``initial_memory`` section.
    """

    def __init__(self, config: RxTConfig) -> None:
        super().__init__()
        self.section = config.initial_memory
        self.shape = (config.num_layers, config.slots, config.embed_dim)
        if self.section.kind == "learned":
            self.slots = nn.Parameter(self.section.std * torch.randn(self.shape))

    def forward(self, batch: int, *, seeds: Sequence[int] | None, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Initial memories of ``batch`` episodes; before the system text, for the kind ``encoded``.

        Args:
            batch: episodes.
            seeds: one number per episode: the same seed gives the same memory, whatever the batch. None: torch's
                global generator.
            device: where to.
            dtype: of the result.

        Raises:
            UserError: when the number of seeds is not the batch.
        """
        if batch < 1:
            raise UserError(f"batch: {batch}; allowed: at least 1")
        if seeds is not None and len(seeds) != batch:
            raise UserError(f"seeds: {len(seeds)} numbers; allowed: one per episode, {batch}")
        layers, slots, dim = self.shape
        if self.section.kind == "learned":
            return self.slots.unsqueeze(1).expand(-1, batch, -1, -1).to(dtype)
        if self.section.kind == "zeros" or self.section.std == 0:
            return torch.zeros(layers, batch, slots, dim, device=device, dtype=dtype)
        if seeds is None:
            return self.section.std * torch.randn(layers, batch, slots, dim, device=device, dtype=dtype)
        rows = [numpy_generator(seed, "memory").standard_normal(self.shape, dtype=np.float32) for seed in seeds]
        return self.section.std * torch.from_numpy(np.stack(rows, axis=1)).to(device=device, dtype=dtype)
