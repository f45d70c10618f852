"""Whether a recipe fits the machine: its device, its workers, its memory; asked before anything is made."""

from __future__ import annotations

import os

import torch

from ..errors import UserError
from ..model import RxT
from ..model.config import RxTConfig
from ..mrl.sharing import check_shards
from .recipe import Recipe

TRAINED = 16
"""Bytes of a trained parameter: the weight, its gradient and AdamW's two moments, float32."""
WORKERS_PER_CORE = 4
THREADS_PER_CORE = 16


def device_of(name: str) -> torch.device:
    """The device of a recipe.

    Raises:
        UserError: when torch does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device = {name!r}: torch cannot use it ({str(error).splitlines()[0]})") from error
    if device.type == "meta":
        raise UserError(f"device = {name!r}: holds no values; allowed: auto, cpu, cuda, cuda:1, mps")
    return device


def check_workers(recipe: Recipe) -> None:
    """Refuse far more workers or threads than this machine has cores, and more processes than shards to play.

    On a cluster of Ray's, Ray knows better how many workers there can be.

    Raises:
        UserError: names both numbers.
    """
    workers, cores = recipe.rollout.workers, os.cpu_count() or 1
    if recipe.threads is not None and recipe.threads > THREADS_PER_CORE * cores:
        raise UserError(
            f"threads = {recipe.threads}: this machine has {cores} cores; allowed: at most {THREADS_PER_CORE * cores}"
        )
    if workers > WORKERS_PER_CORE * cores and not (recipe.rollout.address or os.environ.get("RAY_ADDRESS")):
        raise UserError(
            f"rollout.workers = {workers}: each is a process with a model of its own; this machine has {cores} cores; "
            f"allowed: at most {WORKERS_PER_CORE * cores} (or rollout.address of a cluster)"
        )
    if recipe.curriculum:
        check_shards(recipe.rollout.episodes, recipe.rollout.shard)


def check_memory(recipe: Recipe, config: RxTConfig, device: torch.device) -> str:
    """What training takes in memory at least, in a line; computed, nothing is made.

    Raises:
        UserError: when the machine has less.
    """
    try:
        with torch.device("meta"):
            model = RxT(config)
    except RuntimeError as error:  # a size beyond 64 bits
        raise UserError(f"the model does not fit: {str(error).splitlines()[0]}") from error
    parameters = sum(parameter.numel() for parameter in model.parameters())
    steps = max((stage.most_steps for stage in recipe.curriculum), default=1)
    episodes = recipe.rollout.episodes if recipe.curriculum else 1
    state = 4 * config.num_layers * config.slots * config.embed_dim
    needed = TRAINED * parameters + state * episodes * (steps + 1)
    there = _memory(device)
    line = f"{parameters:,} parameters, {_size(state)} of memory an episode; training takes at least {_size(needed)}"
    if there is not None and needed > there:
        raise UserError(f"the model does not fit: {line}, and {device} has {_size(there)}")
    return line


def _memory(device: torch.device) -> int | None:
    """Bytes of memory in all; None where it cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}"
