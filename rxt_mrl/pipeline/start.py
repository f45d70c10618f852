"""What a run starts from: fresh weights, the model of a checkpoint, or parts of several runs and their tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model
from torch import nn

from ..dialogues.tokenizer import FILE as TOKENIZER_FILE
from ..dialogues.tokenizer import DialogueTokenizer
from ..errors import UserError
from ..files import read_json
from ..model import COMPONENTS, Decoder, Encoder, MemoryAttention, MLMHead, RxT, RxTConfig
from ..model.hub import HubModel, unique_tensors
from ..runs import RunDir, checkpoints
from ..seeding import key
from ..supervised.config import STAGE_SETTINGS
from .fits import check_memory, device_of
from .recipe import Recipe

HEAD_FILE = "mlm_head.safetensors"
"""The MLM head beside a model, as stages 1 and 2 leave it."""

NOTE_FILE = "trained.json"
"""What the pipeline notes beside a stage's model: among others its trained ``components``."""

_PARTS: dict[str, type[HubModel]] = {
    "encoder": Encoder,
    "decoder": Decoder,
    "memory_attention": MemoryAttention,
    "mlm_head": MLMHead,
}
_SHARED = ("vocab_size", "embed_dim", "num_layers", "heads", "rope", "rope_base")
"""Sizes that every part depends on; memory attention depends on ``slots`` as well."""


def initial_model(recipe: Recipe, tokenizer: DialogueTokenizer) -> RxT:
    """The model that a run starts from, on its device.

    Raises:
        UserError: a device that is not there, a checkpoint or part that cannot be used, a model for shorter texts,
            options that the checkpoint contradicts.
    """
    device = device_of(recipe.device)
    _check_precision(recipe, device)
    start = recipe.model.init_from
    if start is not None and start.model is not None:
        return _of_checkpoint(recipe, checkpoints.locate(start.model)).to(device)
    torch.manual_seed(key(recipe.seed, "weights"))
    config = recipe.model.config(tokenizer.vocab_size)
    check_memory(recipe, config, device)
    model = RxT(config)
    if start is not None:
        _fill(model, start.parts)
    return model.to(device)


def initial_head(recipe: Recipe) -> Path | None:
    """The file of the MLM head that a run goes on with; None: none.

    Raises:
        UserError: ``model.init_from.mlm_head`` has none.
    """
    start = recipe.model.init_from
    if start is None:
        return None
    if start.mlm_head is not None:
        return _head_file(start.mlm_head)
    whole = start.model or start.encoder
    beside = whole and checkpoints.locate(whole)
    return beside / HEAD_FILE if beside is not None and (beside / HEAD_FILE).is_file() else None


def initial_components(recipe: Recipe) -> tuple[str, ...]:
    """Which components of a run's first model are trained."""
    start = recipe.model.init_from
    if start is None:
        return ()
    if start.model is not None:
        return _noted(checkpoints.locate(start.model)) or COMPONENTS
    own = {"encoder": ("encoder", "embedding"), "decoder": ("decoder", "embedding")}
    named = {component for part in start.parts for component in own.get(part, (part,))}
    return tuple(sorted(named | ({"mlm_head"} if start.mlm_head else set())))


def load_head(path: Path, config: RxTConfig) -> MLMHead:
    """The MLM head of a file.

    Raises:
        UserError: it is one of another size.
    """
    head = MLMHead(config)
    try:
        load_model(head, str(path))
    except RuntimeError as error:
        sizes = f"embed_dim {config.embed_dim} and vocab_size {config.vocab_size}"
        raise UserError(f"model.init_from.mlm_head = {path}: not a head of {sizes}") from error
    return head


def initial_tokenizer(recipe: Recipe) -> DialogueTokenizer | None:
    """The tokenizer of the weights that a run starts from, or of ``tokenizer.path``; None: it trains one.

    Raises:
        UserError: there is none, or not everything that the run starts from has the same.
    """
    start, own = recipe.model.init_from, recipe.tokenizer.path
    found: dict[str, DialogueTokenizer] = {}
    if start is not None and start.model is not None:
        found["model.init_from"] = checkpoints.load_tokenizer(checkpoints.locate(start.model))
    elif start is not None:
        heads = {} if start.mlm_head is None else {"mlm_head": start.mlm_head}
        for name, path in {**start.parts, **heads}.items():
            if (folder := _folder(name, path)) and (folder / TOKENIZER_FILE).is_file():
                found[f"model.init_from.{name}"] = DialogueTokenizer.load(folder)
    if own is not None:
        found["tokenizer.path"] = checkpoints.load_tokenizer(own)
    if not found:
        if start is not None:
            raise UserError("model.init_from: none of its parts comes with a tokenizer; give tokenizer.path")
        return None
    (first, tokenizer), *others = found.items()
    for name, other in others:
        if other.tokenizer.get_vocab() != tokenizer.tokenizer.get_vocab():
            raise UserError(f"{name}: its tokenizer has another vocabulary than that of {first}")
    default = type(recipe.tokenizer).model_fields["vocab_size"].default
    if default != recipe.tokenizer.vocab_size < tokenizer.vocab_size:
        raise UserError(
            f"tokenizer.vocab_size = {recipe.tokenizer.vocab_size}: the tokenizer of {first} has {tokenizer.vocab_size}"
        )
    return tokenizer


# --- a whole model ---------------------------------------------------------------------------------------------------


def _of_checkpoint(recipe: Recipe, folder: Path) -> RxT:
    model = checkpoints.load(folder)[0]
    if recipe.tokens > model.config.max_tokens:
        raise UserError(
            f"limits.query + limits.answer = {recipe.tokens} tokens exceed the {model.config.max_tokens} of "
            f"model.init_from = {folder}"
        )
    _not_contradicted(recipe.model.options, model.config.model_dump(mode="json"), "model.options", folder)
    return model


def _not_contradicted(options: Mapping[str, Any], there: Any, where: str, folder: Path) -> None:
    for name, wanted in options.items():
        if not isinstance(there, Mapping) or name not in there:
            raise UserError(f"{where}.{name} = {wanted!r}: model.init_from = {folder} has no such key")
        if isinstance(wanted, Mapping):
            _not_contradicted(wanted, there[name], f"{where}.{name}", folder)
        elif wanted != there[name]:
            raise UserError(
                f"{where}.{name} = {wanted!r}: the model of model.init_from = {folder} has {there[name]!r}, which stays"
            )


# --- parts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """A loaded part: its configuration, and its tensors by their names in a whole model."""

    where: str
    config: RxTConfig
    tensors: Mapping[str, torch.Tensor]


def _fill(model: RxT, parts: Mapping[str, Path]) -> None:
    """Copy parts into a fresh model."""
    targets = unique_tensors(model)
    embeddings: dict[str, torch.Tensor] = {}
    for part, path in parts.items():
        source = _part(part, path)
        _fits(part, source, model.config)
        prefixes = ("memory_attention.", "initial.") if part == "memory_attention" else (f"{part}.",)
        for name, tensor in source.tensors.items():
            if name.startswith(prefixes) and name != "embedding.weight":
                targets[name].data.copy_(tensor)
        if part != "memory_attention":
            embeddings[part] = source.tensors["embedding.weight"]
    chosen = next((embeddings[name] for name in ("embedding", "encoder", "decoder") if name in embeddings), None)
    if chosen is None:
        return
    if "embedding" not in embeddings and len(embeddings) == 2 and not embeddings["decoder"].equal(chosen):
        raise UserError(
            "model.init_from: encoder and decoder have different embeddings, and a model has one; give "
            "init_from.embedding to say whose"
        )
    model.embedding.weight.data.copy_(chosen)


def _part(name: str, path: Path) -> _Source:
    where = f"model.init_from.{name} = {path}"
    folder = _folder(name, path)
    kind = _class(folder, where)
    if kind == "RxT":
        model = checkpoints.load(folder)[0]
        trained = _noted(folder)
        if trained is not None and name not in trained:
            raise UserError(f"{where}: the run has not trained that part; it has: {', '.join(trained)}")
        return _Source(where, model.config, unique_tensors(model))
    classes = {part.__name__: (ours, part) for ours, part in _PARTS.items() if ours != "mlm_head"}
    if kind not in classes or (name not in (classes[kind][0], "embedding")) or kind == "MemoryAttention" != name:
        raise UserError(f"{where}: holds a {kind}, which has no {name}")
    ours, part_class = classes[kind]
    part = part_class.from_pretrained(str(folder))
    assert isinstance(part, nn.Module)
    tensors = {
        key_ if key_ == "embedding.weight" else f"{ours}.{key_}": tensor
        for key_, tensor in unique_tensors(part).items()
    }
    return _Source(where, part.config, tensors)


def _noted(folder: Path) -> tuple[str, ...] | None:
    """The trained components of a checkpoint, where a run has noted them."""
    note = folder / NOTE_FILE
    found = read_json(note).get("components") if note.is_file() else None
    return None if found is None else tuple(found)


def _fits(name: str, source: _Source, config: RxTConfig) -> None:
    """Whether a part has the sizes and layers of the model that it goes into."""
    ours, theirs = config.model_dump(mode="json"), source.config.model_dump(mode="json")
    sizes = ("vocab_size", "embed_dim") if name == "embedding" else _SHARED
    sections = {"embedding": (), "memory_attention": ("slots", name, "initial_memory")}.get(name, (name,))
    here, there = (
        {leaf: found for key in (*sizes, *sections) for leaf, found in _flat(values[key], key).items()}
        for values in (ours, theirs)
    )
    for leaf in [*here, *(there.keys() - here.keys())]:
        if here.get(leaf) != there.get(leaf) and not leaf.endswith(".dropout"):
            raise UserError(
                f"{source.where}: {leaf} is {there.get(leaf)!r} there and {here.get(leaf)!r} in the model that starts"
            )


def _flat(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {path: leaf for part, child in value.items() for path, leaf in _flat(child, f"{name}.{part}").items()}
    return {name: value}


def _folder(name: str, path: Path) -> Path:
    """The checkpoint of a part: a folder, or the last stage of a run (for the MLM head the last that has one)."""
    return checkpoints.locate(path) if name != "mlm_head" else _head_file(path).parent


def _head_file(path: Path) -> Path:
    where = f"model.init_from.mlm_head = {path}"
    if not path.is_dir():
        raise UserError(f"{where}: no such directory")
    folders = [path]
    if RunDir.holds_run(path):
        folders = [path / "checkpoints" / stage for stage in reversed(RunDir(path).progress)]
    for folder in folders:
        if (folder / HEAD_FILE).is_file():
            return folder / HEAD_FILE
        if (folder / "config.json").is_file() and _class(folder, where) == "MLMHead":
            return folder / "model.safetensors"
    raise UserError(f"{where}: no MLM head there; stages joint (objective joint or mlm) and interaction make one")


def _class(folder: Path, where: str) -> str:
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{where}: not a checkpoint of ours (no config.json); `rxt-mrl convert` reads published ones")
    return str(read_json(path).get("class"))


def _check_precision(recipe: Recipe, device: torch.device) -> None:
    """Whether the device computes in the precision of each stage.

    Raises:
        UserError: float16 on a CPU.
    """
    for name in STAGE_SETTINGS:
        settings = getattr(recipe.supervised, name)
        if settings is not None and settings.precision == "float16" and device.type == "cpu":
            raise UserError(
                f"supervised.{name}.precision = 'float16': the device is the CPU; allowed there: float32, bfloat16"
            )
