"""Configurations and layouts of published checkpoints (RXT.md 1.12, 1.16).

Sizes and attention types are read from the weights' shapes, which cannot be wrong. What shapes do not tell
(activation, top-k, gate form, variant) comes from the checkpoint's config.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from ...errors import UserError
from ..config import RxTConfig
from ..presets import build

Layout = Literal["rxnn-0.2", "rxlm-0.3"]
LAYOUTS: tuple[Layout, ...] = ("rxnn-0.2", "rxlm-0.3")
Sections = dict[str, dict[str, Any]]

_VARIANTS = {
    "simple": "simple",
    "self": "self",
    "interlayer": "interlayer",
    "self-interlayer": "self-interlayer",
    "grouped-self-interlayer": "self-interlayer",
}
_NEW_KEYS = (
    "stateless_layers_config",
    "use_vectorized_moe",
    "num_shared_experts",
    "moe_bias_mode",
    "moe_grouped_gemm",
    "head_norm_type",
    "use_attention_output_bias",
    "rope_base",
    "num_groups",
)
"""Constructor arguments that only RxLM 0.3 has."""


def sections(config: Mapping[str, Any]) -> Sections:
    """The constructor arguments of each component that a config.json describes.

    Whole models have ``encoder_config`` (or ``encoder``), ...; a component's own checkpoint has them at the top,
    and they are returned as ``""``.
    """
    found: Sections = {}
    for name in ("encoder", "decoder", "memory_attention"):
        section = config.get(f"{name}_config", config.get(name))
        if isinstance(section, Mapping):
            found[name] = dict(section)
    if not found:
        found[""] = dict(config)
    return found


def recognise(
    config: Mapping[str, Any], weights: Mapping[str, Tensor], stated: str | None, card: str = ""
) -> tuple[Layout, str]:
    """Which library wrote a checkpoint, and by what it was recognised.

    Args:
        config: its config.json.
        weights: its tensors.
        stated: what the user says, or None.
        card: text of its model card.

    Raises:
        UserError: when nothing tells the layouts apart, when the signs contradict each other, or the user.
    """
    if stated is not None and stated not in LAYOUTS:
        raise UserError(f"layout: {stated!r}; allowed: {', '.join(LAYOUTS)}")
    if "dense.weight" in weights:
        return (stated or "rxnn-0.2"), "an MLM head is the same in both libraries"
    signs = _signs(config, weights, card)
    layouts = {layout for layout, _ in signs}
    if len(layouts) > 1:
        told = "; ".join(f"{layout}: {reason}" for layout, reason in signs)
        raise UserError(f"layout: the checkpoint's signs contradict each other ({told}); nothing was converted")
    if stated is not None:
        if layouts and stated not in layouts:
            layout, reason = signs[0]
            raise UserError(f"layout: {stated!r} was given, but the checkpoint is {layout} ({reason})")
        return stated, signs[0][1] if signs else "given by the user"
    if not signs:
        raise UserError(
            "layout: config and keys fit both RxNN 0.2 and RxLM 0.3, whose numbers differ; "
            f"say which: {' or '.join(LAYOUTS)}"
        )
    return signs[0]


def _signs(config: Mapping[str, Any], weights: Mapping[str, Tensor], card: str) -> list[tuple[Layout, str]]:
    signs: list[tuple[Layout, str]] = []
    written = " ".join(str(config.get(key, "")) for key in ("reference", "library", "library_name"))
    named = re.search(r"^library_name:\s*(\S+)", card, re.MULTILINE)
    written = (written + " " + (named.group(1) if named else "")).lower()
    if "rxnn" in written:
        signs.append(("rxnn-0.2", "its description names RxNN"))
    if "rxlm" in written:
        signs.append(("rxlm-0.3", "its description names RxLM"))
    for key in weights:
        if re.search(r"\.ff\.(w1|shared_expert)|\.gate_proj\.|stateless_layers", key):
            signs.append(("rxlm-0.3", f"key {key}"))
            break
    everything = sections(config)
    for name, section in everything.items():
        if new := [key for key in _NEW_KEYS if key in section]:
            signs.append(("rxlm-0.3", f"config key {name + '.' if name else ''}{new[0]}"))
            continue
        prefix = f"{name}." if name else ""
        # RxNN stores a memory in every encoder, RxLM none in an encoder that does not read it.
        if section.get("skip_memory_cross_attention") and name in ("encoder", ""):
            stored = f"{prefix}model.stm.memory" in weights
            signs.append(
                ("rxnn-0.2", "the encoder stores a memory that it does not read")
                if stored
                else ("rxlm-0.3", "the encoder stores no memory")
            )
        if section.get("use_moe") and any(
            re.match(rf"{re.escape(prefix)}model\.layers\.\d+\.ff\.experts", k) for k in weights
        ):
            signs.append(("rxnn-0.2", "expert layers without shared experts or their settings"))
        signs += _cross_groups_sign(section, weights, prefix)
    return signs


def _cross_groups_sign(
    section: Mapping[str, Any], weights: Mapping[str, Tensor], prefix: str
) -> list[tuple[Layout, str]]:
    """RxNN 0.2 ignores ``cross_att_groups``: the shape of the cross-attention's keys tells."""
    wanted, own = section.get("cross_att_groups"), section.get("att_groups")
    keys = weights.get(f"{prefix}model.layers.0.memory_cross_attention.k_proj.weight")
    if keys is None or not wanted or not own or wanted == own or section.get("cross_att_type") not in ("gqa", "sqa"):
        return []
    built = keys.shape[0] * int(section["att_heads"]) // int(section["embed_dim"])
    if built == wanted:
        return [("rxlm-0.3", f"cross_att_groups = {wanted} is honoured")]
    return [("rxnn-0.2", f"cross_att_groups = {wanted} is ignored, keys have {built} groups")] if built == own else []


def read_config(
    parts: Sections, weights: Mapping[str, Mapping[str, Tensor]], layout: Layout, variant: str | None
) -> RxTConfig:
    """Our configuration of published components.

    Args:
        parts: constructor arguments by component (encoder, decoder, memory_attention).
        weights: tensors by component, prefixes removed.
        layout: which library.
        variant: memory attention variant, if there is a memory attention.

    Raises:
        UserError: when settings are missing, contradict each other or are not supported.
    """
    for name, section in parts.items():
        _refuse_unsupported(name, section)
    values: dict[str, Any] = {"rope": "split" if layout == "rxnn-0.2" else "interleaved"}
    shared = {"num_layers": "num_layers", "embed_dim": "embed_dim", "heads": "att_heads", "slots": "stm_size"}
    for ours, theirs in {**shared, "vocab_size": "vocab_size"}.items():
        found = {name: section[theirs] for name, section in parts.items() if theirs in section}
        if len(set(found.values())) > 1 and ours != "heads":
            raise UserError(f"{theirs}: the components disagree, {found}")
        if found:
            values[ours] = next(iter(found.values()))
        elif ours not in ("vocab_size", "slots"):
            raise UserError(f"{theirs}: missing in the checkpoint's config.json")
    values["max_tokens"] = max([int(section["seq_len"]) for section in parts.values() if "seq_len" in section] or [256])
    if bases := {section["rope_base"] for section in parts.values() if section.get("rope_base")}:
        if len(bases) > 1:
            raise UserError(f"rope_base: the components disagree, {sorted(bases)}")
        values["rope_base"] = bases.pop()
    values["encoder"] = values["decoder"] = values["memory_attention"] = None
    for name in ("encoder", "decoder"):
        if name in parts:
            values[name] = _stack(name, parts[name], weights[name], layout)
    if "memory_attention" in parts:
        values["memory_attention"] = _memory(parts["memory_attention"], weights["memory_attention"], variant)
    # Runtime memories of both libraries are N(0, 1): batch and single mode re-draw them so (RXT.md 1.10).
    values["initial_memory"] = {"kind": "normal", "std": 1.0}
    return build(values)


def _refuse_unsupported(name: str, section: Mapping[str, Any]) -> None:
    for key in ("stateless_layers_config", "use_nope", "use_gated_attention", "use_qk_norm", "use_flash_attention"):
        if section.get(key):
            raise UserError(f"{name}.{key}: {section[key]!r} is not supported; it changes the numbers")
    for key in ("self_att_type", "cross_att_type", "att_type", "interlayer_att_type"):
        if section.get(key) not in (None, "mha", "gqa", "mqa", "sqa"):
            raise UserError(f"{name}.{key}: {section[key]!r} is not supported; allowed: mha, gqa, mqa, sqa")


def _attention(weights: Mapping[str, Tensor], prefix: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """Attention settings by the shapes of its projections."""
    heads, dim = int(section["att_heads"]), int(section["embed_dim"])
    try:
        queries = weights[f"{prefix}.q_proj.weight"].shape[0] * heads // dim
        groups = weights[f"{prefix}.k_proj.weight"].shape[0] * heads // dim
    except KeyError as error:
        raise UserError(f"{error.args[0]}: missing in the checkpoint") from None
    kind = "sqa"
    if queries == heads:
        kind = "mha" if groups == heads else "mqa" if groups == 1 else "gqa"
    values = {"type": kind, "heads": heads, "output_bias": f"{prefix}.out_proj.bias" in weights}
    if kind in ("gqa", "sqa"):
        values["groups"] = groups
    if kind == "sqa":
        values["query_groups"] = queries
    return values


def _stack(name: str, section: Mapping[str, Any], weights: Mapping[str, Tensor], layout: Layout) -> dict[str, Any]:
    layer = "layers.0"
    values: dict[str, Any] = {
        "attention": _attention(weights, f"{layer}.attention", section),
        "norm": "layer" if f"{layer}.norm1.bias" in weights else "rms",
        "pre_norm": not section.get("use_post_norm", False),
        "cross_attention": None,
    }
    # RxLM 0.3 gives its encoder layers no memory: their cross-attention exists and is never used.
    if f"{layer}.memory_cross_attention.q_proj.weight" in weights and not (name == "encoder" and layout == "rxlm-0.3"):
        values["cross_attention"] = _attention(weights, f"{layer}.memory_cross_attention", section)
    activation = section.get("ff_activation", "swish")
    gated = bool(section.get("use_gated", True))
    if f"{layer}.ff.router.gate.weight" in weights:
        values["moe"], hidden = _experts(section, weights, f"{layer}.ff", gated)
    else:
        first = f"{layer}.ff.fc1.linear.weight" if gated else f"{layer}.ff.fc1.weight"
        if first not in weights:
            raise UserError(f"{name}.use_gated: {gated}, but the checkpoint has no {first}")
        hidden = weights[first].shape[0] // (2 if gated else 1)
    values["feed_forward"] = {"hidden": hidden, "gated": gated, "activation": activation}
    if name == "decoder":
        values["head_norm"] = None
        if "head_norm.weight" in weights:
            values["head_norm"] = "layer" if "head_norm.bias" in weights else "rms"
    return values


def _experts(
    section: Mapping[str, Any], weights: Mapping[str, Tensor], ff: str, gated: bool
) -> tuple[dict[str, Any], int]:
    """Mixture settings, and the hidden size of an expert."""
    if "moe_top_k" not in section:
        raise UserError("decoder.moe_top_k: missing in the checkpoint's config.json; the weights do not tell it")
    values: dict[str, Any] = {
        "experts": weights[f"{ff}.router.gate.weight"].shape[0],
        "top_k": int(section["moe_top_k"]),
        "balance_loss": "published",
    }
    if f"{ff}.w1" in weights:
        hidden = weights[f"{ff}.w2"].shape[1]
        values["bias"] = "global" if f"{ff}.global_bias" in weights else "local" if f"{ff}.b1" in weights else "off"
    else:
        fc1 = f"{ff}.experts.0.fc1.linear" if gated else f"{ff}.experts.0.fc1"
        if f"{fc1}.weight" not in weights:
            raise UserError(f"decoder.use_gated: {gated}, but the checkpoint has no {fc1}.weight")
        hidden = weights[f"{fc1}.weight"].shape[0] // (2 if gated else 1)
        values["bias"] = "local" if f"{fc1}.bias" in weights else "off"
    shared = {m.group(1) for key in weights if (m := re.match(rf"{re.escape(ff)}\.(shared_expert(?:s\.\d+)?)\.", key))}
    values["shared_experts"] = len(shared)
    if len(shared) > 1:
        raise UserError(f"decoder.num_shared_experts: {len(shared)} is not supported; allowed: 0 or 1")
    if shared and f"{ff}.{next(iter(shared))}.fc2.bias" not in weights:
        values["shared_bias"] = "off"
    return values, hidden


def _memory(section: Mapping[str, Any], weights: Mapping[str, Tensor], variant: str | None) -> dict[str, Any]:
    if variant not in _VARIANTS:
        raise UserError(f"memory_attention_variant: {variant!r}; allowed: {', '.join(_VARIANTS)}")
    inner = "self" if variant == "self" else "mean"
    values: dict[str, Any] = {
        "variant": _VARIANTS[variant],
        "attention": _attention(weights, "attention_layers.0", section),
        "norm": section.get("norm_type", "classic-rms"),
        "norm_decay": section.get("norm_decay", 0.9),
        "gate": _gate(section, weights, "residual_gate_layers.0"),
    }
    if variant == "grouped-self-interlayer":
        values["layer_groups"] = int(section.get("num_groups", 1))
    if variant != "simple":
        values["inner_attention"] = _attention(weights, f"{inner}_attention_layers.0", section)
        values["inner_gate"] = _gate(section, weights, f"{inner}_residual_gate_layers.0")
        if variant == "self" and not section.get("use_gate_for_self_attention", False):
            values["inner_gate"] = {"type": "add"}
    if section.get("disable_residual") and variant == "simple":
        values["gate"] = {"type": "replace"}
    scale = weights.get("memory_norm_layers.0.scale")
    values["norm_per_dim"] = scale is None or scale.shape[-1] == section["embed_dim"]
    return values


def _gate(section: Mapping[str, Any], weights: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    if not section.get("use_gated_residual", False):
        return {"type": "add"}
    kind = section.get("residual_gate_type")
    if kind not in ("static", "elementwise", "linear"):
        raise UserError(f"memory_attention.residual_gate_type: {kind!r}; allowed: static, elementwise, linear")
    gate = weights.get(f"{prefix}.gate.weight" if kind == "linear" else f"{prefix}.gate")
    if gate is None:
        raise UserError(f"memory_attention.residual_gate_type: {kind!r} does not fit the keys of {prefix}")
    slots = int(section["stm_size"])
    return {
        "type": kind,
        "activation": "tanh" if section.get("use_tanh_residual_gate", True) else "sigmoid",
        "per_slot": gate.shape[0] == slots if slots > 1 else bool(section.get("per_slot_gate", True)),
        "slot_status": "linear" if f"{prefix}.slot_status.weight" in weights else "mean",
    }
