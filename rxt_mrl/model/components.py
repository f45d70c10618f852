"""The components of an RxT, disjoint and complete: for freezing, gradual unfreezing and learning rates.

:data:`~rxt_mrl.contracts.Component` names them. ``decoder`` is without its reading of the memory, which is
``memory_cross_attention`` (with its norms); a learned initial memory goes with ``memory_attention``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from torch import nn

from ..contracts import Component, Unfreeze

COMPONENTS: tuple[Component, ...] = get_args(Component)
"""All of them, in the order of their parameter groups."""

WRITING: tuple[Component, ...] = ("embedding", "encoder", "memory_attention")
"""Those that determine what stands in memory."""

_READING = ("memory_cross_attention.", "memory_norm.", "norm2.")
"""Parts of the decoder's layers that read the memory."""


def component_of(name: str) -> str:
    """The component of a parameter of an RxT, by its name."""
    part = name.split(".", 1)[0]
    if part == "decoder" and any(key in name for key in _READING):
        return "memory_cross_attention"
    return "memory_attention" if part == "initial" else part


def by_component(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters of every component of an RxT; the shared embedding stands once, as itself."""
    found: dict[str, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        found[component_of(name)].append(parameter)
    return {component: found[component] for component in COMPONENTS}


def parameter_groups(
    parameters: Mapping[str, Sequence[nn.Parameter]], *, learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """AdamW groups: per component, matrices with weight decay and everything else without.

    Every group carries ``component``, ``decays`` and ``scale`` (1.0; multiplies the learning rate, see
    :func:`freeze_to`).
    """
    return [
        {
            "params": chosen,
            "lr": learning_rate,
            "weight_decay": weight_decay if decays else 0.0,
            "component": component,
            "decays": decays,
            "scale": 1.0,
        }
        for component, held in parameters.items()
        for decays in (True, False)
        if (chosen := [p for p in held if (p.dim() >= 2) == decays])
    ]


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
