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

from ..errors import Terminated, UserError
from ..files import whole
from . import ranks


class NotFiniteError(UserError):
    """A tensor of an update holds NaN or infinity; the weights are still those of before.

    Attributes:
        name: which tensor.
        detail: what was found in it.
        path: where the batch was stored, or None.
    """

    def __init__(self, name: str, detail: str, path: Path | None = None) -> None:
        stored = "" if path is None else f"; the batch is in {path}"
        super().__init__(f"{name} is not finite ({detail}); training stopped before this step{stored}")
        self.name = name
        self.detail = detail
        self.path = path

    def dumped(self, path: Path, content: Mapping[str, Any]) -> NotFiniteError:
        """Store what led to the error with ``torch.save``; the error whose line says where."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            torch.save({**content, "tensor": self.name, "detail": self.detail}, part)
        return NotFiniteError(self.name, self.detail, path)


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


class Interruption:
    """Whether the training was asked to end, by Ctrl-C or by SIGTERM."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def interrupts_wait() -> Iterator[Interruption]:
    """Ctrl-C or SIGTERM inside take effect at the end, so that no update is left half done; a second one at once.

    The code inside may look at the :class:`Interruption` to come to its end early. Outside the main thread, where
    signals do not arrive, nothing changes.

    Raises:
        KeyboardInterrupt: at the end, when Ctrl-C was pressed; after SIGTERM it is a :class:`Terminated`.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    # What starts several processes ends all by SIGTERM when one is gone: there is nothing to wait for.
    waiting = (signal.SIGINT, signal.SIGTERM) if ranks.size() == 1 else (signal.SIGINT,)
    before = {number: signal.getsignal(number) for number in waiting}
    arrived: list[int] = []

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handler(number: int, frame: FrameType | None) -> None:
        interruption.requested = True
        arrived.append(number)
        restore()

    for number in before:
        signal.signal(number, handler)
    try:
        yield interruption
    finally:
        restore()
    if arrived:
        raise Terminated if arrived[0] == signal.SIGTERM else KeyboardInterrupt
