"""A checkpoint is a folder with a model (safetensors + config) and the tokenizer that it was trained with."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import safe_open

from ..dialogues.tokenizer import DialogueTokenizer
from ..errors import UserError
from ..files import damaged, read_json, read_text
from ..model import RxT
from ..model.hub import HubModel
from . import ranks
from .directory import RunDir

_FILES = ("config.json", "model.safetensors")
_FINGERPRINT = "tokenizer.sha256"
"""Beside the tokenizer: which one the model was trained with. One of the same size can mean other words."""


def save(folder: Path, model: HubModel, tokenizer: DialogueTokenizer) -> None:
    """Write model and tokenizer; of several processes the first one does it."""
    if not ranks.is_main():
        return
    tokenizer.save(folder)
    (folder / _FINGERPRINT).write_text(tokenizer.fingerprint + "\n", encoding="utf-8")
    model.save_pretrained(folder)


def load(folder: Path) -> tuple[RxT, DialogueTokenizer]:
    """Read model and tokenizer, on the CPU.

    Raises:
        UserError: when ``folder`` is not a checkpoint, or model and tokenizer do not belong together.
    """
    for name in _FILES:
        if not (folder / name).is_file():
            raise UserError(f"{folder}: not a checkpoint of ours (no {name}); `rxt-mrl convert` reads published ones")
    tokenizer = load_tokenizer(folder)
    config, weights = (folder / name for name in _FILES)
    read_json(config, _advice(folder))
    _look_at(weights, _advice(folder))
    model = RxT.from_pretrained(str(folder))
    if model.config.vocab_size != tokenizer.vocab_size:
        raise UserError(
            f"{folder}: the model has {model.config.vocab_size} tokens and the tokenizer {tokenizer.vocab_size}"
        )
    known = folder / _FINGERPRINT
    if os.path.lexists(known) and read_text(known, _advice(folder)).strip() != tokenizer.fingerprint:
        raise UserError(
            f"{folder}: tokenizer.json is not the one that the model was trained with ({_FINGERPRINT} says another): "
            "its ids mean other words"
        )
    return model, tokenizer


def _advice(folder: Path) -> str:
    """What to do about a damaged checkpoint: which of the run's others are whole."""
    of_run = RunDir.holds_run(folder.parent.parent)
    found = sorted(path.parent for path in folder.parent.glob(f"*/{_FILES[0]}") if path.parent != folder)
    good = [other.name for other in found if of_run and _whole(other)]
    return f"whole checkpoints beside it: {', '.join(good)}" if good else "put back a copy of it, or train anew"


def _whole(folder: Path) -> bool:
    try:
        read_json(folder / _FILES[0])
        _look_at(folder / _FILES[1], "")
    except UserError:
        return False
    return True


def _look_at(weights: Path, advice: str) -> None:
    """Read the names and places of the tensors, which a file that was cut or is something else does not have."""
    try:
        with safe_open(weights, framework="pt"):
            return
    except Exception as error:  # safetensors has several
        raise damaged(weights, error, advice) from error


def load_tokenizer(folder: Path) -> DialogueTokenizer:
    """Read the tokenizer of a checkpoint or of a folder of its own.

    Raises:
        UserError: when there is none.
    """
    if not folder.exists():
        raise UserError(f"{folder}: no such directory")
    return DialogueTokenizer.load(folder)


def locate(target: Path) -> Path:
    """The checkpoint that a user means: a checkpoint folder, or the last complete stage of a run directory.

    Raises:
        UserError: when there is neither, or when the last complete stage's was deleted.
    """
    if not target.is_dir():
        raise UserError(f"{target}: no such directory")
    if not RunDir.holds_run(target):
        return target
    stages = list(RunDir(target).progress)
    if not stages:
        raise UserError(f"{target}: the run has no complete stage yet")
    last = target / "checkpoints" / stages[-1]
    if not (last / "config.json").is_file():
        raise UserError(f"{last}: the checkpoint of the run's last stage is gone; name another one of {last.parent}")
    return last


def run_of(target: Path) -> Path | None:
    """The run directory that ``target`` is or lies in (as ``checkpoints/<stage>``); None where there is none."""
    for folder in (target, *target.resolve().parents[:2]):
        if RunDir.holds_run(folder):
            return folder
    return None
