"""Which parameter belongs to which component, for freezing, gradual unfreezing and learning rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from ..contracts import Unfreeze
from . import COMPONENTS as MODEL_COMPONENTS
from . import RxT

_GOES_WITH = {"initial_memory": "memory_attention"}
"""Parts of the model that are no components of their own: a learnt initial memory goes with memory attention."""


def component_of(model: RxT) -> dict[nn.Parameter, str]:
    """The component of every parameter of an RxT (see :meth:`RxT.component_parameters`)."""
    result: dict[nn.Parameter, str] = {}
    for part in MODEL_COMPONENTS:
        for parameter in model.component_parameters(part):
            result[parameter] = _GOES_WITH.get(part, part)
    return result


def parameter_groups(
    modules: Mapping[str, Iterable[nn.Parameter]], *, learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """AdamW groups: per component, matrices with weight decay and everything else without.

    Every group carries ``component`` and ``scale`` (1.0; multiplies the learning rate, see :func:`apply_unfreeze`).
    """
    groups = []
    for component, parameters in modules.items():
        held = list(parameters)
        for decay in (True, False):
            chosen = [p for p in held if (p.dim() >= 2) == decay]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "lr": learning_rate,
                        "weight_decay": weight_decay if decay else 0.0,
                        "component": component,
                        "scale": 1.0,
                    }
                )
    return groups


def trained_components(unfreeze: Sequence[Unfreeze], update: int) -> dict[str, float] | None:
    """Components that are trained at an update, with the scale of their learning rate; None: all of them."""
    if not unfreeze:
        return None
    trained: dict[str, float] = {}
    for entry in sorted(unfreeze, key=lambda entry: entry.at):
        if update >= entry.at:
            trained.update(dict.fromkeys(entry.components, 1.0))
            trained.update({name: scale for name, scale in entry.lr_scale.items() if name in trained})
    return trained


def freeze_to(groups: Iterable[dict[str, Any]], trained: Mapping[str, float] | None) -> None:
    """Set ``requires_grad`` and the rates' scales so that only ``trained`` components learn (None: all do)."""
    for group in groups:
        scale = 1.0 if trained is None else trained.get(group["component"], 0.0)
        group["scale"] = scale
        for parameter in group["params"]:
            parameter.requires_grad_(scale > 0)
            if scale <= 0:
                parameter.grad = None
