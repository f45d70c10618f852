"""``torch.compile`` for what training computes: the layers of encoder and decoder, and one write to the memory.

Compiled are functions with tensors as arguments, not modules: names of weights and checkpoints stay as they are, and
the scan calls one compiled write as often as there are interactions. Generation has compiled loops of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError


class Compilable(nn.Module):
    """A module that computes by a function that may be compiled. Copies of it are not compiled."""

    _compiled: Callable[..., Any] | None = None

    def computing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The compiled form of the function, where there is one."""
        return self._compiled or function

    def __getstate__(self) -> dict[str, Any]:
        # A compiled function is bound to the module that it was made from: a copy would compute with its weights.
        return {name: value for name, value in super().__getstate__().items() if name != "_compiled"}


def compile_functions(*parts: tuple[Compilable, Callable[..., Any]]) -> None:
    """Compile the function of each module, for shapes that change; does nothing where that was done before.

    Raises:
        UserError: torch cannot compile on this machine, with the reason.
    """
    new = [(module, function) for module, function in parts if module._compiled is None]
    for module, _ in new[:1]:
        check_compiler(next(module.parameters()).device)
    for module, function in new:
        module._compiled = torch.compile(function, dynamic=True)


def check_compiler(device: torch.device) -> None:
    """Compile a small function on a device.

    Raises:
        UserError: it fails.
    """

    def double(x: Tensor) -> Tensor:
        return x + x.sin()

    try:
        torch.compile(double)(torch.ones(8, device=device))
    except Exception as error:  # of torch, Triton, the compiler or the system
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"compile = true: torch.compile does not work here ({reason}); it needs a C++ compiler (g++ or clang), and "
            "Triton for a GPU"
        ) from error


__all__ = ["Compilable", "check_compiler", "compile_functions"]
