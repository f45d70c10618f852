"""Names and shapes of published weights in ours (RXT.md 1.12).

Each published tensor becomes a piece of one of ours: keys and values are fused, experts and memory layers stacked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import UserError


class Piece(NamedTuple):
    """Where a published tensor goes: a target's name, its place in it, and the tensor."""

    target: str
    place: tuple[int, ...]
    """Empty: the whole target. Otherwise indices to stack by; a trailing key/value index is concatenated."""
    fused: bool
    tensor: Tensor


_KV = {"k": 0, "v": 1}
_EXPERT_SIDES = {"1": "in", "2": "out"}
_MEMORY_PARTS = {
    "attention_layers": "attention",
    "mean_attention_layers": "inner_attention",
    "self_attention_layers": "inner_attention",
    "memory_norm_layers": "memory_norm",
    "mean_memory_norm_layers": "inner_norm",
    "self_memory_norm_layers": "inner_norm",
    "memory_input_norm_layers": "input_norm",
    "residual_gate_layers": "gate",
    "mean_residual_gate_layers": "inner_gate",
    "self_residual_gate_layers": "inner_gate",
    "interlayer_gate_layers": "interlayer_gate",
}


def unused_reason(key: str, *, encoder_reads_memory: bool = True) -> str | None:
    """Why a published tensor is not needed, or None."""
    if key.endswith("stm.memory"):
        return "the memory is a value here, not part of the model"
    if ".rope." in key:
        return "rotary angles are computed"
    if not encoder_reads_memory and re.search(r"\.(memory_cross_attention|norm2|stm_norm)\.", key):
        return "RxLM 0.3 never uses the encoder's memory cross-attention"
    return None


def stack_piece(key: str, tensor: Tensor) -> Piece | None:
    """The place of an encoder's or decoder's tensor (prefixes removed); None: unknown."""
    if match := re.fullmatch(r"(layers\.\d+\.(?:memory_cross_)?attention)\.([kv])_proj\.weight", key):
        return Piece(f"{match[1]}.kv_proj.weight", (_KV[match[2]],), True, tensor)
    if re.fullmatch(r"layers\.\d+\.(?:memory_cross_)?attention\.(q_proj\.weight|out_proj\.(weight|bias))", key):
        return Piece(key, (), False, tensor)
    if match := re.fullmatch(r"(layers\.\d+)\.(norm1|norm2|norm3|stm_norm)\.(weight|bias)", key):
        return Piece(f"{match[1]}.{match[2].replace('stm_norm', 'memory_norm')}.{match[3]}", (), False, tensor)
    if match := re.fullmatch(r"(layers\.\d+\.ff)\.(.+)", key):
        return _feed_forward_piece(match[1], match[2], tensor)
    if re.fullmatch(r"(embedding\.weight|head\.(weight|bias)|head_norm\.(weight|bias))", key):
        return Piece(key, (), False, tensor)
    return None


def _feed_forward_piece(ff: str, rest: str, tensor: Tensor) -> Piece | None:
    if match := re.fullmatch(r"(fc1|fc2)(?:\.linear)?\.(weight|bias)", rest):
        return Piece(f"{ff}.{match[1]}.{match[2]}", (), False, tensor)
    if rest == "router.gate.weight":
        return Piece(f"{ff}.router.weight", (), False, tensor)
    if match := re.fullmatch(r"experts\.(\d+)\.fc([12])(?:\.linear)?\.(weight|bias)", rest):
        letter, value = ("w", tensor.mT) if match[3] == "weight" else ("b", tensor)  # ours: (experts, inputs, outputs)
        return Piece(f"{ff}.{letter}_{_EXPERT_SIDES[match[2]]}", (int(match[1]),), False, value)
    if match := re.fullmatch(r"([wb])([12])", rest):
        return Piece(f"{ff}.{match[1]}_{_EXPERT_SIDES[match[2]]}", (), False, tensor)
    if rest == "global_bias":
        return Piece(f"{ff}.bias", (), False, tensor)
    if match := re.fullmatch(r"shared_experts?(?:\.0)?\.(fc1|fc2)(?:\.linear)?\.(weight|bias)", rest):
        return Piece(f"{ff}.shared.0.{match[1]}.{match[2]}", (), False, tensor)
    return None


def memory_piece(key: str, tensor: Tensor) -> Piece | None:
    """The place of a memory attention's tensor (prefixes removed); None: unknown."""
    if match := re.fullmatch(r"mean_stm_norm\.(.+)", key):
        name = _norm_name(match[1])
        return Piece(f"mean_norm.{name}", (0,), False, tensor) if name else None
    match = re.fullmatch(r"(\w+_layers)\.(\d+)\.(.+)", key)
    if match is None or match[1] not in _MEMORY_PARTS:
        return None
    part, layer, rest = _MEMORY_PARTS[match[1]], int(match[2]), match[3]
    if part.endswith("attention"):
        if projection := re.fullmatch(r"([kv])_proj\.weight", rest):
            return Piece(f"{part}.kv_proj.weight", (layer, _KV[projection[1]]), True, tensor)
        if re.fullmatch(r"q_proj\.weight|out_proj\.(weight|bias)", rest):
            return Piece(f"{part}.{rest}", (layer,), False, tensor)
        return None
    if part.endswith("norm"):
        name = _norm_name(rest)
        return Piece(f"{part}.{name}", (layer,), False, tensor) if name else None
    if rest == "gate":
        return Piece(f"{part}.gate_parameter", (layer,), False, tensor)
    if re.fullmatch(r"(gate|slot_status)\.(weight|bias)", rest):
        return Piece(f"{part}.{rest}", (layer,), False, tensor)
    return None


def _norm_name(rest: str) -> str | None:
    return {
        "weight": "weight",
        "gate": "gate",
        "scale": "scale",
        "norm.weight": "weight",
        "norm.bias": "bias",
        "ema_rms": "ema",
    }.get(rest)


_HEAD_NAMES = {"value_head.0.linear": "gated", "value_head.1": "norm", "value_head.2": "value"}


def mlm_piece(key: str, tensor: Tensor) -> Piece | None:
    """The place of an MLM head's tensor."""
    return Piece(key, (), False, tensor) if re.fullmatch(r"(dense|layer_norm|decoder)\.(weight|bias)", key) else None


def critic_piece(key: str, tensor: Tensor) -> Piece | None:
    """The place of a critic's tensor."""
    if key in ("scale", "shift"):
        return Piece(key, (), False, tensor)
    if match := re.fullmatch(r"(value_head\.\d(?:\.linear)?)\.(weight|bias)", key):
        name = _HEAD_NAMES.get(match[1])
        return Piece(f"{name}.{match[2]}", (), False, tensor) if name else None
    if key.startswith("encoder.model.") and (piece := stack_piece(key.removeprefix("encoder.model."), tensor)):
        return piece._replace(target=f"encoder.{piece.target}")
    return None


PIECES: Mapping[str, Callable[[str, Tensor], Piece | None]] = {
    "encoder": stack_piece,
    "decoder": stack_piece,
    "memory_attention": memory_piece,
    "mlm_head": mlm_piece,
    "critic": critic_piece,
}


def assemble(pieces: list[Piece]) -> dict[str, Tensor]:
    """Our tensors from all their pieces."""
    by_target: dict[str, list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_target[piece.target].append(piece)
    joined = {}
    for target, group in by_target.items():
        try:
            joined[target] = _join(sorted(group, key=lambda piece: piece.place))
        except (RuntimeError, ValueError) as error:
            shapes = sorted({tuple(piece.tensor.shape) for piece in group})
            raise UserError(f"{target}: {len(group)} published tensors of shapes {shapes} do not join") from error
    return joined


def _join(pieces: list[Piece]) -> Tensor:
    if not pieces[0].place:
        return pieces[0].tensor
    if not pieces[0].fused:
        return torch.stack([piece.tensor for piece in pieces])
    pairs = [torch.cat([k.tensor, v.tensor]) for k, v in zip(pieces[::2], pieces[1::2], strict=True)]
    return pairs[0] if len(pieces[0].place) == 1 else torch.stack(pairs)
