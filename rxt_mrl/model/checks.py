"""Checks of what users hand to a model, and masks that mask nothing. Errors are one line; nothing is cut silently."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import UserError
from .config import RxTConfig


def check_tokens(ids: Tensor, mask: Tensor | None, config: RxTConfig, *, rank: int = 2) -> None:
    """Check token ids and their mask.

    Costs one small reduction over the ids and one over the mask.

    Raises:
        UserError: on a wrong dtype, rank, shape, width, id, or on padding that is not on the right.
    """
    names = "(batch, tokens)" if rank == 2 else "(batch, interactions, tokens)"
    if ids.dtype != torch.long:
        raise UserError(f"ids: dtype {ids.dtype}; allowed: torch.int64")
    if ids.dim() != rank:
        raise UserError(f"ids: shape {tuple(ids.shape)}; allowed: {names}")
    if ids.shape[-1] > config.max_tokens:
        raise UserError(f"ids: {ids.shape[-1]} tokens wide; allowed: at most max_tokens = {config.max_tokens}")
    if ids.numel() == 0:
        raise UserError(f"ids: shape {tuple(ids.shape)} is empty; allowed: at least one row and one token")
    if mask is not None:
        if mask.dtype != torch.bool:
            raise UserError(f"mask: dtype {mask.dtype}; allowed: torch.bool (True = token)")
        if mask.shape != ids.shape:
            raise UserError(f"mask: shape {tuple(mask.shape)}; allowed: the shape of ids, {tuple(ids.shape)}")
    if torch.compiler.is_compiling():
        return
    low, high = (int(bound) for bound in ids.aminmax())
    if low < 0 or high >= config.vocab_size:
        wrong = low if low < 0 else high
        raise UserError(f"ids: {wrong} is outside the vocabulary; allowed: 0..{config.vocab_size - 1}")
    if mask is not None and bool((mask[..., 1:] & ~mask[..., :-1]).any()):
        raise UserError("mask: a token follows padding; allowed: right padding only")


def check_memory(memory: Tensor, config: RxTConfig, batch: int | None = None, dtype: torch.dtype | None = None) -> None:
    """Check the shape and dtype of a memory.

    Args:
        memory: to be checked.
        config: sizes.
        batch: rows that it must have; None: any.
        dtype: the weights'; None, or under autocast: any floating one.

    Raises:
        UserError: when it is not floating ``(num_layers, batch, slots, embed_dim)``, or of another dtype.
    """
    if not isinstance(memory, Tensor) or not memory.is_floating_point():
        raise UserError(f"memory: {getattr(memory, 'dtype', type(memory).__name__)}; allowed: a floating point tensor")
    if dtype not in (None, memory.dtype) and not torch.is_autocast_enabled(memory.device.type):
        raise UserError(f"memory: dtype {memory.dtype}; allowed: the weights', {dtype}")
    rows = memory.shape[1] if batch is None and memory.dim() == 4 else batch
    expected = (config.num_layers, rows, config.slots, config.embed_dim)
    if tuple(memory.shape) != expected:
        raise UserError(f"memory: shape {tuple(memory.shape)}; allowed: (layers, batch, slots, dim) = {expected}")


def full_or_none(mask: Tensor) -> Tensor | None:
    """The mask, or None when it masks nothing: unmasked attention is cheaper."""
    if torch.compiler.is_compiling():
        return mask
    return None if bool(mask.all()) else mask
