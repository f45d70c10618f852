"""Several processes that train one model: who is who, what is the same everywhere, and one line when one is gone.

``torchrun`` or ``accelerate launch`` start the processes and number them (``RANK``, ``WORLD_SIZE``). Without them there
is one process, and nothing here does anything. What writes files asks :func:`is_main`: each is written once, to a
folder that all processes see.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ..errors import UserError

T = TypeVar("T")

PATIENCE = timedelta(hours=12)
"""How long a process waits for the others; one that has died is noticed at once."""

_GONE = ("Connection", "Broken pipe", "Socket", "peer", "NCCL", "gloo", "recv")


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this one, from 0."""
    return dist.get_rank() if size() > 1 else 0


def is_main() -> bool:
    """Whether this is the process that writes files and prints."""
    return rank() == 0


@contextmanager
def joined(device: str = "auto") -> Iterator[None]:
    """Join the processes that ``torchrun`` has started, for as long as it takes.

    Args:
        device: of the recipe: on GPUs each process takes that of its ``LOCAL_RANK``.

    Raises:
        UserError: another process of the group has ended.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    before = signal.signal(signal.SIGTERM, _told_to_end)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    number = dist.get_rank()
    try:
        yield
        dist.barrier()
    except (RuntimeError, dist.DistBackendError) as error:
        if isinstance(error, UserError) or not any(word in str(error) for word in _GONE):
            raise
        raise UserError(_gone(number)) from error
    finally:
        signal.signal(signal.SIGTERM, before)
        if dist.is_initialized():
            dist.destroy_process_group()


def _told_to_end(number: int, frame: FrameType | None) -> None:
    raise UserError(_gone(int(os.environ.get("RANK", "0"))))


def _gone(number: int) -> str:
    return (
        f"process {number}: another process of this training has ended, so it ends here; the last checkpoint is kept, "
        "--resume goes on from it"
    )


# --- the same everywhere ---------------------------------------------------------------------------------------------


def of_main(compute: Callable[[], T]) -> T:
    """What the main process computes, in all of them; a :class:`UserError` of it as well."""
    if size() == 1:
        return compute()
    box: list[Any] = [None, None]
    if is_main():
        try:
            box[0] = compute()
        except UserError as error:
            box[1] = str(error)
    dist.broadcast_object_list(box)
    if box[1] is not None:
        raise UserError(box[1])
    return box[0]


def gather(value: T) -> list[T]:
    """The value of each process, by number, in all of them."""
    if size() == 1:
        return [value]
    found: list[Any] = [None] * size()
    dist.all_gather_object(found, value)
    return found


def wait() -> None:
    """Until all processes are here."""
    if size() > 1:
        dist.barrier()


def total(value: float) -> float:
    """The sum over the processes."""
    return value if size() == 1 else sum(gather(value))


def any_of(value: bool) -> bool:
    """Whether it holds for any process."""
    return value if size() == 1 else any(gather(value))


def add_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Sum the gradients of the processes, in place; a parameter that none has a gradient of stays without."""
    if size() == 1:
        return
    known = torch.tensor([float(p.grad is not None) for p in parameters])
    flat = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters]
    vector = torch.cat([*flat, known.to(flat[0])])
    dist.all_reduce(vector)
    parts = vector.split([p.numel() for p in parameters] + [len(parameters)])
    for parameter, part, count in zip(parameters, parts[:-1], parts[-1].tolist(), strict=True):
        parameter.grad = part.view_as(parameter).clone() if count else None


def alone(what: str) -> None:
    """Refuse what several processes cannot do together.

    Raises:
        UserError: there are several.
    """
    if size() > 1:
        raise UserError(f"{what}: {size()} processes do not agree on it; allowed with one process")
