"""Which form of a computation runs where."""

from __future__ import annotations

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
