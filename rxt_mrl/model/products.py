"""Which library computes matrix products on a CPU: torch's own choice (MKL or OpenBLAS), or oneDNN.

On some processors oneDNN's float32 products take half of the time of MKL's, on others they are no faster, and small
ones are slower. torch only goes that way when it may round factors to bfloat16; whether it then does depends on the
processor (with AMX it may, without it the results are those of float32). So :func:`choose` measures both, error and
time, at the sizes of a model. Results differ in the last bits: a run keeps to one choice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from .config import RxTConfig

Products = Literal["torch", "onednn"]

_setting: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]

_ROWS, _REPEATS = 1024, 9
_WORSE = 4.0
"""The error of oneDNN may be so many times that of torch's choice; with bfloat16 factors it is thousands of times."""
_FASTER = 1.3
"""oneDNN is taken when torch's choice takes so many times as long: less is lost again on small products."""


def current() -> Products:
    """What computes the products now."""
    return "onednn" if _setting.fp32_precision == "bf16" else "torch"


@contextmanager
def using(products: Products) -> Iterator[None]:
    """Compute products so, in the whole process, as long as this is open."""
    before = _setting.fp32_precision
    _switch(products)
    try:
        yield
    finally:
        _setting.fp32_precision = before


def choose(config: RxTConfig) -> Products:
    """oneDNN where its products are those of float32 and faster, at the sizes of a model; takes some milliseconds."""
    if not torch.backends.mkldnn.is_available():
        return "torch"
    stack = config.encoder or config.decoder
    hidden = config.embed_dim if stack is None else stack.feed_forward.hidden
    generator = torch.Generator().manual_seed(0)
    cases = [
        (torch.randn(_ROWS, inner, generator=generator), torch.randn(inner, outer, generator=generator))
        for inner, outer in ((config.embed_dim, 2 * hidden), (hidden, config.embed_dim), (config.embed_dim,) * 2)
    ]
    seconds: dict[str, float] = {"torch": 0.0, "onednn": 0.0}
    for left, right in cases:
        exact = left.double() @ right.double()
        error, best = {}, dict.fromkeys(seconds, float("inf"))
        for _ in range(_REPEATS):  # in turn: both meet the same machine
            for products in ("torch", "onednn"):
                with using(products):
                    start = time.process_time()
                    out = left @ right
                    best[products] = min(best[products], time.process_time() - start)
                error[products] = (out - exact).abs().max().item()
        if error["onednn"] > _WORSE * error["torch"]:
            return "torch"
        seconds = {products: seconds[products] + best[products] for products in seconds}
    return "onednn" if seconds["torch"] > _FASTER * seconds["onednn"] else "torch"


def aside(function: Callable[..., Tensor], *inputs: Tensor, **options: Any) -> Tensor:
    """``function(*inputs)`` with torch's own products, in its backward pass too.

    For attention, whose many tiny products take twice the time on oneDNN.
    """
    if current() == "torch":
        return function(*inputs, **options)
    with using("torch"):
        if not torch.is_grad_enabled():
            return function(*inputs, **options)
        before: list[Products] = []
        marked = [_Restore.apply(each, before) for each in inputs]
        return _Leave.apply(function(*marked, **options), before)


def _switch(products: Products) -> None:
    _setting.fp32_precision = "bf16" if products == "onednn" else "none"


class _Leave(torch.autograd.Function):
    """Behind a function: its backward pass comes before that of the function, and goes to torch's own products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, before: list[Products]) -> Tensor:
        ctx.before = before
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        ctx.before.append(current())
        _switch("torch")
        return gradients[0], None


class _Restore(torch.autograd.Function):
    """In front of a function: goes back to the products that there were."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, before: list[Products]) -> Tensor:
        ctx.before = before
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        _switch(ctx.before[-1])
        return gradients[0], None
