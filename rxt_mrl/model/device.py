"""Which form of a computation runs where, and in which precision."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]
"""Of a forward pass; weights, memories and log-probabilities are float32 in both."""


_rounding = False
"""Of the whole process; no object of a thread, which torch.compile would take for a constant."""


@contextmanager
def computing(precision: Precision, device: torch.device) -> Iterator[None]:
    """Matrix products in so many bits inside; in bfloat16 by autocast: memories and residual streams stay float32."""
    global _rounding
    if precision == "float32":
        yield
        return
    before, _rounding = _rounding, True
    try:
        with torch.autocast(device.type, torch.bfloat16):
            yield
    finally:
        _rounding = before


def rounding() -> bool:
    """Whether this is computed in bfloat16 by :func:`computing`, parts that :func:`unrounded` spares included.

    Then what a rollout and its replay compute in different ways has to agree to the last bit: a number halfway between
    two of bfloat16 is rounded to either, which changes every later number a little, and the rounding of many.
    """
    return _rounding


def unrounded(device: torch.device) -> AbstractContextManager[Any]:
    """Inside, products are not rounded to bfloat16, under autocast either."""
    return torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext()


def products_dtype(weight: Tensor) -> torch.dtype:
    """What factors of matrix products with a weight are rounded to: autocast's type, or the weight's own."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def attention_dtype(weight: Tensor) -> torch.dtype:
    """What attention computes in, over projections with a weight: as their products, but on a CPU never in bfloat16.

    There torch's attention in bfloat16 rounds inside, from shape to shape otherwise, and its backward pass takes ten
    times as long as in float32. Around a rollout and its replay (:func:`rounding`) even float32 is too little: the last
    bit of a sum depends on how many terms there are, and the one reads token by token what the other reads at once.
    From float64 both are rounded to the same number.
    """
    kind = products_dtype(weight)
    if weight.device.type != "cpu":
        return kind
    return torch.float64 if rounding() else torch.promote_types(kind, torch.float32)


def use_kernels(weight: Tensor) -> bool:
    """Whether inference with such weights may run on the compiled loops of :mod:`rxt_mrl.model.kernels`.

    They are for float32 on a CPU: not for autocast, gradients, or a graph that is being compiled.
    """
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def can_cache() -> bool:
    """Whether there is a place for compiled code: beside the package, in ``NUMBA_CACHE_DIR`` or in the user's cache."""
    from numba.core.caching import FunctionCache  # only generation on a CPU pays for it

    try:
        FunctionCache(can_cache)
    except RuntimeError:
        warnings.warn(
            "neither the package nor a cache folder can be written to, so the compiled loops are compiled anew in "
            "every process (about 20 s); set NUMBA_CACHE_DIR to a folder that can be",
            stacklevel=2,
        )
        return False
    return True
