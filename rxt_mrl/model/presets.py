"""Named configurations."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ..errors import UserError
from .config import RxTConfig

PRESETS: dict[str, dict[str, Any]] = {
    "nano": {
        "num_layers": 2,
        "embed_dim": 64,
        "heads": 4,
        "slots": 8,
        "max_tokens": 64,
        "encoder": {"feed_forward": {"hidden": 192}},
        "decoder": {"feed_forward": {"hidden": 192}},
        "memory_attention": {"variant": "interlayer", "gate": {"type": "linear", "init": -3.0}},
        "initial_memory": {"kind": "learned", "std": 0.02},
    },
}


def preset(name: str, **overrides: Any) -> RxTConfig:
    """A named configuration, with overrides (nested sections as dicts are merged key by key).

    Raises:
        UserError: on an unknown name, or a key or value that is not allowed.
    """
    if name not in PRESETS:
        raise UserError(f"preset: {name!r}; allowed: {', '.join(PRESETS)}")
    return build(_merge(PRESETS[name], overrides))


def build(values: dict[str, Any]) -> RxTConfig:
    """A configuration from plain values, with one-line errors.

    Raises:
        UserError: names the first key that is wrong, its value and what is allowed.
    """
    try:
        return RxTConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "model"
        value = "" if isinstance(first["input"], dict) else f" {first['input']!r}"
        raise UserError(f"{where}:{value}: {first['msg']}") from None


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
