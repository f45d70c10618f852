"""Stop before damage is done: values that are not finite, and interrupts in the middle of an update."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from rxt_mrl.errors import UserError

from .trajectories import Trajectories


class NotFiniteError(UserError):
    """A tensor of an update holds NaN or infinity; the weights are still those of before.

    Attributes:
        name: which tensor.
        path: where the batch was stored, or None.
    """

    def __init__(self, name: str, detail: str, path: Path | None = None) -> None:
        stored = "" if path is None else f"; the batch is in {path}"
        super().__init__(f"{name} is not finite ({detail}); training stopped before this step{stored}")
        self.name = name
        self.detail = detail
        self.path = path


def check_finite(tensors: Mapping[str, Tensor | None]) -> None:
    """Look at tensors in order.

    Raises:
        NotFiniteError: names the first that holds NaN or infinity, and how many of them.
    """
    for name, tensor in tensors.items():
        if tensor is None or bool(tensor.isfinite().all()):
            continue
        bad = int((~tensor.isfinite()).sum())
        raise NotFiniteError(name, f"{bad} of {tensor.numel()} values")


def check_gradients(norm: Tensor, parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
    """Look at the norm of all gradients, and only if it is not finite at each of them.

    Raises:
        NotFiniteError: names the first parameter with such a gradient.
    """
    if bool(norm.isfinite()):
        return
    check_finite({f"gradient of {name}": parameter.grad for name, parameter in parameters})
    raise NotFiniteError("norm of the gradients", f"{norm.item()}")


def dump(path: Path, batch: Trajectories, error: NotFiniteError, context: Mapping[str, Any]) -> NotFiniteError:
    """Store the batch of a stopped update with ``torch.save``; returns the error with the path in its line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {field: getattr(batch, field) for field in batch.__dataclass_fields__ if field != "asks"}
    torch.save({"trajectories": content, "tensor": error.name, "detail": error.detail, **context}, path)
    return NotFiniteError(error.name, error.detail, path)


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Ctrl-C inside takes effect at the end, so that no update is left half done; a second one takes effect at once.

    Outside the main thread, where signals do not arrive, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    asked = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt
