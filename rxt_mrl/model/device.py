"""Which form of a computation runs where."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


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
