"""Published RxNN 0.2 and RxLM 0.3 checkpoints as models of this library (``rxt-mrl convert``).

The two libraries write the same keys and mean different numbers (RXT.md 1.16), so the layout is recognised first,
and a checkpoint whose layout is unclear or contradicts what the user says is refused. So is one with tensors that
are not understood, or without some that are needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...errors import UserError
from ..decoder import Decoder
from ..encoder import Encoder
from ..heads import Critic, MLMHead
from ..hub import HubModel, fetch, unique_tensors
from ..memory_attention import MemoryAttention
from ..presets import build
from ..rxt import RxT
from .config import Layout, Sections, read_config, recognise, sections
from .weights import PIECES, Piece, assemble, unused_reason

PARTS = ("encoder", "decoder", "memory_attention")
PUBLISHED_COMPONENTS = (*PARTS, "mlm_head", "critic")
NOT_UNDERSTOOD = "not understood"
NOT_BUILT = {
    ".gate_proj.": "gated attention",
    "stateless_layers.": "layers that read no memory beside those that do",
    ".shared_experts.1.": "several shared experts mixed by a gate (num_shared_experts; allowed: 0 or 1)",
}
"""Parts of RxLM 0.3 that are refused, by what the keys of their weights contain."""


@dataclass
class ConversionReport:
    """What became of every tensor of a published checkpoint."""

    source: str
    layout: Layout
    recognised_by: str
    component: str
    """``model``, or the one part that was converted."""
    parameters: int = 0
    mapped: dict[str, str] = field(default_factory=dict)
    """Published key: our name."""
    unused: dict[str, str] = field(default_factory=dict)
    """Published key: why it is not needed."""
    missing: list[str] = field(default_factory=list)
    """Our tensors that the checkpoint does not fill (empty, unless asked for with ``strict=False``)."""

    def __str__(self) -> str:
        lines = [
            f"{self.source}: {self.component} of layout {self.layout} ({self.recognised_by})",
            f"{self.parameters:,} parameters; {len(self.mapped)} tensors mapped, {len(self.unused)} unused, "
            f"{len(self.missing)} missing",
        ]
        reasons = sorted(set(self.unused.values()))
        lines += [f"  unused ({sum(r == reason for r in self.unused.values())}): {reason}" for reason in reasons]
        return "\n".join(lines + [f"  missing: {name}" for name in self.missing])


def convert_published(
    source: str | Path, component: str | None = None, *, layout: str | None = None, strict: bool = True, **hub: Any
) -> tuple[HubModel, ConversionReport]:
    """Read a published checkpoint.

    Args:
        source: a folder with ``config.json`` and safetensors weights, or a Hub id.
        component: one of ``PUBLISHED_COMPONENTS`` to take that part; None: the whole model, or the only part
            that the checkpoint holds.
        layout: ``rxnn-0.2`` or ``rxlm-0.3``, where the checkpoint itself does not tell.
        strict: refuse tensors that are not understood or missing; otherwise they are listed in the report.
        hub: options of ``hf_hub_download`` (revision, token, ...).

    Returns:
        the model, in eval mode, and the report.

    Raises:
        UserError: with the reason, when the checkpoint is not understood completely.
    """
    if component is not None and component not in PUBLISHED_COMPONENTS:
        raise UserError(f"component: {component!r}; allowed: {', '.join(PUBLISHED_COMPONENTS)}")
    config, weights, card = _read(source, hub)
    for key in weights:
        for part, what in NOT_BUILT.items():
            if part in key:
                raise UserError(f"{source}: {key} is not understood: {what}, which models of this library lack")
    found, why = recognise(config, weights, layout, card)
    parts, own, names = _split(config, weights)
    if component is None:
        component = next(iter(parts)) if len(parts) == 1 else None
    if component is None and (absent := [name for name in PARTS if name not in parts]):
        raise UserError(f"{source}: no {absent[0]} in the checkpoint; name one component: {', '.join(parts)}")
    if component is not None and component not in parts:
        raise UserError(f"{source}: no {component} in the checkpoint; it holds: {', '.join(parts) or 'nothing known'}")
    report = ConversionReport(str(source), found, why, component or "model")
    model = _build(component, own, parts, found, config)
    _fill(model, component, parts, names, report, strict)
    report.parameters = sum(parameter.numel() for parameter in model.parameters())
    model.eval()
    return model, report  # type: ignore[return-value]


def _read(source: str | Path, hub: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    try:
        config = json.loads(fetch(source, "config.json", **hub).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{source}: config.json is no JSON ({str(error).splitlines()[0]})") from error
    if not isinstance(config, dict):
        raise UserError(f"{source}: config.json holds a {type(config).__name__}, not an object")
    if config.get("format") == "rxt-mrl":
        name = config.get("class", "RxT")
        raise UserError(
            f"{source}: already a checkpoint of this library; use {name}.from_pretrained, or name it as it is"
        )
    folder = Path(source)
    names = ["model.safetensors"]
    if folder.is_dir():
        names = sorted(path.name for path in folder.glob("*.safetensors") if path.stem not in ("inputs", "outputs"))
        if len(names) != 1:
            raise UserError(f"{source}: {len(names)} safetensors files {names}; allowed: exactly one with the weights")
    try:
        weights = load_file(fetch(source, names[0], **hub))
    except SafetensorError as error:
        raise UserError(f"{source}: {names[0]} cannot be read: truncated, or not safetensors ({error})") from error
    try:
        card = fetch(source, "README.md", **hub).read_text()
    except UserError:
        card = ""  # a model card is only one more sign of the layout
    return config, weights, card


def _split(
    config: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> tuple[dict[str, dict[str, Tensor]], Sections, dict[tuple[str, str], str]]:
    """Tensors by component with prefixes removed, constructor arguments by component, and the published names."""
    own = sections(config)
    whole = False
    if "value_head.2.weight" in weights:
        name, prefix = "critic", ""
        critic = config.get("critic", config)
        own = {"critic": dict(critic.get("encoder_config") or critic.get("encoder") or critic)}
    elif "dense.weight" in weights:
        name, prefix = "mlm_head", ""
    elif any(key.startswith("model.") for key in weights):
        name, prefix = "memory_attention" if any("attention_layers." in key for key in weights) else "encoder", "model."
        name = "decoder" if "model.head.weight" in weights else name
        own = {name: own.get("", own.get(name, {}))}
    else:
        whole = True
    parts: dict[str, dict[str, Tensor]] = {}
    names: dict[tuple[str, str], str] = {}
    for key, tensor in weights.items():
        rest = key
        if whole:
            name, _, rest = key.partition(".")
            prefix = "model."
            if name not in (*PARTS, "mlm_head"):
                raise UserError(f"{key}: a tensor of no known component; allowed: {', '.join(PUBLISHED_COMPONENTS)}")
        short = rest.removeprefix(prefix)
        parts.setdefault(name, {})[short] = tensor
        names[name, short] = key
    return parts, own, names


def _build(
    component: str | None,
    own: Sections,
    parts: Mapping[str, Mapping[str, Tensor]],
    layout: Layout,
    config: Mapping[str, Any],
) -> nn.Module:
    """The model with fresh weights."""
    variant = config.get("memory_attention_variant", config.get("variant"))
    if component == "mlm_head":
        vocab, dim = parts["mlm_head"]["decoder.weight"].shape
        sizes = {"embed_dim": dim, "vocab_size": vocab, "heads": 1}
        return MLMHead(build({**sizes, "encoder": None, "decoder": None, "memory_attention": None}))
    if component == "critic":
        weights = {
            key.removeprefix("encoder.model."): value
            for key, value in parts["critic"].items()
            if key.startswith("encoder.model.")
        }
        activation = config.get("critic", config).get("output_activation", "sigmoid")
        encoder = Encoder(read_config({"encoder": own["critic"]}, {"encoder": weights}, layout, None))
        return Critic(encoder, activation=activation)
    wanted = PARTS if component is None else (component,)
    if absent := [name for name in wanted if name not in own]:
        raise UserError(f"{absent[0]}: its settings are missing in the checkpoint's config.json")
    if component is None or component == "memory_attention":
        variant = variant or own["memory_attention"].get("variant")
    settings = read_config({name: own[name] for name in wanted}, parts, layout, variant)
    builders = {"encoder": Encoder, "decoder": Decoder, "memory_attention": MemoryAttention}
    return RxT(settings) if component is None else builders[component](settings)


def _fill(
    model: nn.Module,
    component: str | None,
    parts: Mapping[str, Mapping[str, Tensor]],
    names: Mapping[tuple[str, str], str],
    report: ConversionReport,
    strict: bool,
) -> None:
    """Copy the weights and write the report."""
    pieces: list[Piece] = []
    encoder = getattr(model, "encoder", model)
    reads = not isinstance(encoder, Encoder) or encoder.reads_memory
    targets = unique_tensors(model)
    for (name, key), published in names.items():
        if name != component and (component is not None or name not in PARTS):
            report.unused[published] = "another component"
            continue
        in_encoder = name == "encoder" or key.startswith("encoder.")
        if reason := unused_reason(f".{key}", encoder_reads_memory=reads or not in_encoder):
            report.unused[published] = reason
            continue
        piece = PIECES[name](key, parts[name][key])
        if piece is not None and component is None and piece.target != "embedding.weight":
            piece = piece._replace(target=f"{name}.{piece.target}")
        if piece is None or piece.target not in targets:
            report.unused[published] = NOT_UNDERSTOOD
            continue
        pieces.append(piece)
        report.mapped[published] = piece.target
    _same_embedding(parts, component)
    tensors = assemble(pieces)
    unknown = [key for key, reason in report.unused.items() if reason == NOT_UNDERSTOOD]
    report.missing = sorted(targets.keys() - tensors.keys())
    if strict and (unknown or report.missing):
        raise UserError(
            f"{report.source}: {len(unknown)} tensors are not understood {unknown[:3]} and {len(report.missing)} are "
            f"missing {report.missing[:3]}; layout {report.layout} ({report.recognised_by})"
        )
    for name, tensor in tensors.items():
        target = targets[name]
        if target.numel() != tensor.numel() or (target.dim() == tensor.dim() and target.shape != tensor.shape):
            raise UserError(f"{name}: the checkpoint has shape {tuple(tensor.shape)}; allowed: {tuple(target.shape)}")
        target.data.copy_(tensor.reshape(target.shape))


def _same_embedding(parts: Mapping[str, Mapping[str, Tensor]], component: str | None) -> None:
    """A whole model has one embedding; its checkpoint stores a copy per component."""
    if component is None and not parts["encoder"]["embedding.weight"].equal(parts["decoder"]["embedding.weight"]):
        raise UserError("embedding.weight: encoder and decoder hold different ones; a whole model shares one")
