"""A conversation's memory in a file: safetensors, with what is needed to refuse a model that it does not belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeInt
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rxt_mrl.errors import UserError
from rxt_mrl.files import reason, write_tensors
from rxt_mrl.model.rxt import RxT
from rxt_mrl.settings import Settings, validate

FORMAT = "rxt-mrl memory 1"


class _Header(Settings):
    """What the file says of its memory."""

    config: dict[str, Any]
    seeds: list[int]
    turns: list[NonNegativeInt]


@dataclass(frozen=True)
class SavedMemory:
    """Memory ``(layers, conversations, slots, dim)``, with the seed and the number of turns of each conversation."""

    memory: Tensor
    seeds: tuple[int, ...]
    turns: tuple[int, ...]


def save_memory(path: str | Path, model: RxT, memory: Tensor, *, seeds: Sequence[int], turns: Sequence[int]) -> Path:
    """Write a memory. The file appears whole or not at all.

    Raises:
        UserError: when the folder does not exist, the file cannot be written, or is there and holds something else.
    """
    path = Path(path)
    if path.exists() and not holds_memory(path):
        raise UserError(f"cannot save the memory to {path}: the file holds something else; give another")
    if not path.parent.is_dir():
        raise UserError(f"cannot save the memory to {path}: the folder {path.parent} does not exist")
    metadata = {
        "format": FORMAT,
        "config": json.dumps(_architecture(model), sort_keys=True),
        "weights": fingerprint(model),
        "seeds": json.dumps(list(seeds)),
        "turns": json.dumps(list(turns)),
    }
    write_tensors(path, {"memory": memory.detach().cpu().contiguous()}, metadata)
    return path


def load_memory(path: str | Path, model: RxT, *, any_weights: bool = False) -> SavedMemory:
    """Read a memory that belongs to ``model``; it comes on the model's device, in its precision.

    Args:
        path: a file of :func:`save_memory`.
        model: the model that shall go on with it.
        any_weights: accept a model of the same architecture with other weights (for example, trained further). Its
            own encoder and memory attention did not write this memory: how well it reads it is not known.

    Raises:
        UserError: when the file is missing, is no memory file, or belongs to another model.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no memory file at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise UserError(f"{path} is not a memory file: format {metadata.get('format')!r}, expected {FORMAT!r}")
            memory = file.get_tensor("memory")
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a memory file: {error}") from error
    where = f"{path} is not a memory file"
    try:
        said = {name: json.loads(metadata[name]) for name in _Header.model_fields}
    except (KeyError, ValueError, RecursionError) as error:
        raise UserError(f"{where}: its header is damaged ({reason(error)})") from error
    header = validate(_Header, said, where)
    stored = header.config
    own = _architecture(model)
    for name in sorted(stored.keys() | own.keys()):
        if stored.get(name) != own.get(name):
            raise UserError(
                f"{path} was written by a model with {name}={stored.get(name)!r}; this one has {own.get(name)!r}"
            )
    config = model.config
    expected = (config.num_layers, memory.shape[1] if memory.dim() == 4 else 1, config.slots, config.embed_dim)
    if tuple(memory.shape) != expected:
        raise UserError(f"{path} holds a memory of shape {tuple(memory.shape)}; this model has {expected}")
    if not memory.is_floating_point() or not memory.isfinite().all():
        raise UserError(f"{where}: it holds values that are no finite numbers")
    if not len(header.seeds) == len(header.turns) == memory.shape[1]:
        raise UserError(f"{where}: its header is damaged (not one seed and one count of turns for each conversation)")
    if not any_weights and metadata.get("weights") != fingerprint(model):
        raise UserError(f"{path} was written by a model with other weights; allowed: the same weights, or any_weights")
    parameter = next(model.parameters())
    return SavedMemory(
        memory.to(parameter.device, parameter.dtype),
        tuple(header.seeds),
        tuple(header.turns),
    )


def holds_memory(path: Path) -> bool:
    """Whether a file is one of :func:`save_memory`, of whatever model."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return False


def fingerprint(model: RxT) -> str:
    """A hash of the weights that write and define the memory: encoder, embedding and memory attention."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (model.embedding, model.encoder, model.memory_attention):
        for name, value in part.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _architecture(model: RxT) -> dict[str, object]:
    return model.config.model_dump(mode="json")
