"""Arguments of the environments, checked: one line that names the value and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import torch
from gymnasium.vector import AutoresetMode

from rxt_mrl.dialogues import DialogueTensors
from rxt_mrl.errors import UserError


def at_least_one(name: str, value: Any) -> int:
    """A whole number from 1 on.

    Raises:
        UserError: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UserError(f"{name}: {value!r} is not a whole number of at least 1")
    if value < 1:
        raise UserError(f"{name}: {value} is not at least 1")
    return int(value)


def seed_of(value: Any) -> int | None:
    """A seed as Gymnasium takes it.

    Raises:
        UserError: for something else than a whole number from 0 on, or None.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise UserError(f"seed: {value!r} is not a whole number of at least 0, or None")
    return int(value)


def frozen(embedding: Any, vocab_size: int) -> torch.Tensor | None:
    """A copy of the embedding, since a reward must not move with one that is being trained.

    Raises:
        UserError: for something else than a row for each token.
    """
    if embedding is None:
        return None
    if not isinstance(embedding, torch.Tensor) or embedding.dim() != 2 or len(embedding) < vocab_size:
        found = tuple(embedding.shape) if isinstance(embedding, torch.Tensor) else type(embedding).__name__
        raise UserError(f"embedding: {found} is not a tensor ({vocab_size}, dim), with a row for each token")
    return embedding.detach().to("cpu", copy=True)


def autoreset_mode(value: AutoresetMode | str) -> AutoresetMode:
    """Gymnasium's mode by its name.

    Raises:
        UserError: for one that there is not here.
    """
    allowed = {"same_step": AutoresetMode.SAME_STEP, "disabled": AutoresetMode.DISABLED}
    name = value.name.lower() if isinstance(value, AutoresetMode) else value
    if name not in allowed:
        raise UserError(f"autoreset: {name!r} is not one of {', '.join(allowed)}")
    return allowed[name]


def check_data(dialogues: Any, tokenizer: Any) -> None:
    """Whether these are encoded dialogues, and the tokenizer may be that which encoded them.

    Raises:
        UserError: for other things, and for ids that the tokenizer does not have.
    """
    if not isinstance(dialogues, DialogueTensors):
        raise UserError(f"dialogues: got a {type(dialogues).__name__}; encode_dialogues makes what is needed")
    if not hasattr(tokenizer, "vocab_size") or not hasattr(tokenizer, "token_text"):
        raise UserError(f"tokenizer: got a {type(tokenizer).__name__}; allowed: the DialogueTokenizer of the dialogues")
    largest = max(int(tokens.ids.max()) for tokens in (dialogues.query, dialogues.answer) if tokens.ids.numel())
    if largest >= tokenizer.vocab_size:
        raise UserError(
            f"tokenizer: it has {tokenizer.vocab_size} tokens and the dialogues have id {largest}: they were encoded "
            "with another one"
        )


def check_options(options: Any, allowed: tuple[str, ...]) -> Mapping[str, Any]:
    """The options of a reset.

    Raises:
        UserError: for something else than a mapping, or an unknown one.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise UserError(f"reset options: got a {type(options).__name__}; allowed: a mapping of {', '.join(allowed)}")
    for name in options:
        if name not in allowed:
            raise UserError(f"unknown reset option {name!r}; allowed: {', '.join(allowed)}")
    return options
