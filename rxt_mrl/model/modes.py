"""The mode that a model computes in, for as long as it takes: eval mode, with or without gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside (no dropout); the mode of before afterwards. Gradients are as they were."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        if training:
            model.train()


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradient inside; what is computed are ordinary tensors, which may enter a loss later."""
    with eval_mode(model), torch.no_grad():
        yield
