"""Randomness keyed by what it is for, never by who draws it.

A rollout worker, a resumed run and a test that ask for the numbers of (seed, update, episode)
all get the same ones, whatever was drawn before and by whom.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch


def key(*parts: int | str) -> int:
    """Hash the parts of a key, for example ``(seed, "rollout", update, episode)``, to 63 bits."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def torch_generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator seeded with :func:`key`."""
    return torch.Generator(device=device).manual_seed(key(*parts))


def numpy_generator(*parts: int | str) -> np.random.Generator:
    """A numpy generator seeded with :func:`key` (Philox: cheap to create, one per episode)."""
    return np.random.Generator(np.random.Philox(key=key(*parts)))


def uniforms(seeds: Sequence[int], count: int, purpose: str) -> torch.Tensor:
    """One row of uniform numbers in [0, 1) per seed, float32 ``(len(seeds), count)``."""
    rows = [numpy_generator(seed, purpose).random(count, dtype=np.float32) for seed in seeds]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, count)
