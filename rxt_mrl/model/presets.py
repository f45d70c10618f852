"""Named configurations: the published ones (RXT.md section 2) and our small ones.

``docs/model.md`` shows the table with parameter counts and sources; a test holds it to the models.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ..errors import UserError
from ..settings import explain, merge
from .config import RxTConfig

Values = dict[str, Any]


def _sqa(queries: int, groups: int) -> Values:
    return {"type": "sqa", "query_groups": queries, "groups": groups}


def _whole(sizes: Values, half: int, encoder_hidden: int, experts: int, expert_hidden: int, variant: str) -> Values:
    """A published whole model: SQA with half of the heads, top-2 experts, linear sigmoid gates per slot."""
    return {
        **sizes,
        "rope": "split",
        "encoder": {"attention": _sqa(half, half), "feed_forward": {"hidden": encoder_hidden}},
        "decoder": {
            "attention": _sqa(half, half),
            "cross_attention": _sqa(half, half),
            "feed_forward": {"hidden": expert_hidden},
            "moe": {"experts": experts, "top_k": 2},
        },
        "memory_attention": {
            "variant": variant,
            "attention": _sqa(half, half),
            "inner_attention": _sqa(half, half),
            "gate": {"type": "linear", "activation": "sigmoid"},
        },
        "initial_memory": {"kind": "normal", "std": 1.0},
    }


def _small(sizes: Values, half: int, hidden: int) -> Values:
    """Ours: symmetric SQA, interlayer memory attention, a gate that starts nearly closed, learned initial slots."""
    return {
        **sizes,
        "encoder": {"attention": _sqa(half, half), "feed_forward": {"hidden": hidden}},
        "decoder": {
            "attention": _sqa(half, half),
            "cross_attention": _sqa(half, half),
            "feed_forward": {"hidden": hidden},
        },
        "memory_attention": {
            "variant": "interlayer",
            "attention": _sqa(half, half),
            "inner_attention": _sqa(half, half),
            "gate": {"type": "linear", "activation": "sigmoid", "init": -3.0},
        },
        "initial_memory": {"kind": "learned", "std": 0.02},
    }


_MICRO = {"num_layers": 6, "embed_dim": 128, "heads": 8, "slots": 256, "max_tokens": 256}
_MINI = {"num_layers": 8, "embed_dim": 256, "heads": 16, "slots": 1024, "max_tokens": 1024, "vocab_size": 10_000}
_SUPERVISED = {"num_layers": 12, "embed_dim": 256, "heads": 16, "slots": 256, "max_tokens": 256, "vocab_size": 20_000}
_MINI_ENCODER = {
    "attention": _sqa(8, 8),
    "cross_attention": _sqa(8, 4),
    "feed_forward": {"hidden": 768},
}

PRESETS: dict[str, Values] = {
    # Ours. nano learns on a CPU in minutes; tiny and small are steps up from it.
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
    "tiny": _small({"num_layers": 4, "embed_dim": 96, "heads": 6, "slots": 16, "max_tokens": 128}, 3, 256),
    "small": _small({"num_layers": 6, "embed_dim": 128, "heads": 8, "slots": 32, "max_tokens": 256}, 4, 384),
    # Published base models: single parts. Their encoders still have memory cross-attention.
    "alpha-micro-encoder": {
        **_MICRO,
        "vocab_size": 5000,
        "rope": "split",
        "encoder": {
            "attention": _sqa(4, 4),
            "cross_attention": _sqa(4, 2),
            "feed_forward": {"hidden": 384},
        },
        "decoder": None,
        "memory_attention": None,
    },
    "alpha-micro-moe-decoder": {
        **_MICRO,
        "vocab_size": 5000,
        "rope": "split",
        "encoder": None,
        "decoder": {
            "attention": {"type": "gqa", "groups": 2},
            "cross_attention": {"type": "mqa"},
            "feed_forward": {"hidden": 384},
            "moe": {"experts": 4, "top_k": 2},
        },
        "memory_attention": None,
    },
    "alpha-mini-encoder": {
        **_MINI,
        "rope": "split",
        "encoder": _MINI_ENCODER,
        "decoder": None,
        "memory_attention": None,
    },
    # Published whole models.
    "alpha-micro": _whole({**_MICRO, "vocab_size": 7500}, 4, 384, 12, 256, "interlayer"),
    "alpha-mini": _whole(_MINI, 8, 768, 16, 512, "interlayer"),
    "alpha-supervised": _whole(_SUPERVISED, 8, 768, 28, 512, "self-interlayer"),
}


def preset(name: str, **overrides: Any) -> RxTConfig:
    """A named configuration, with overrides (nested sections as dicts are merged key by key).

    Raises:
        UserError: on an unknown name, or a key or value that is not allowed.
    """
    if name not in PRESETS:
        raise UserError(f"preset: {name!r}; allowed: {', '.join(PRESETS)}")
    return build(merge(PRESETS[name], overrides))


def build(values: Values) -> RxTConfig:
    """A configuration from plain values, with one-line errors.

    Raises:
        UserError: names the first key that is wrong, its value and what is allowed.
    """
    try:
        return RxTConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(RxTConfig, error)) from error
