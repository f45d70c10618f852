"""Answers as token arrays: the rules by which a batch of actions is accepted or refused, and mixing two batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rxt_mrl.contracts import TokenArray
from rxt_mrl.errors import UserError


def accept(action: Mapping[str, Any], *, rows: int, limit: int, vocab_size: int, eos_id: int) -> TokenArray:
    """Check a batch of answers and bring it to the width of the action space.

    - It is a mapping with ``ids`` and ``mask``, both ``(rows, tokens)``; numpy arrays or CPU tensors.
    - A mask row is 1s, then 0s. A row without tokens is an empty answer, and legal.
    - It may be narrower than ``limit`` tokens, and wider only by padding.
    - An answer ends with its first [EOS]; tokens after it are dropped. Other special tokens are tokens.
    - Ids under the padding do not matter; they come back as 0.

    Args:
        action: the answers.
        rows: how many answers there must be.
        limit: most tokens of an answer.
        vocab_size: ids are 0 .. vocab_size - 1.
        eos_id: the token that ends an answer.

    Returns:
        New arrays: int64 ids and int8 mask ``(rows, limit)``.

    Raises:
        UserError: when a rule is broken; names the value and the row.
    """
    if not isinstance(action, Mapping) or set(action) != {"ids", "mask"}:
        found = sorted(map(str, action)) if isinstance(action, Mapping) else type(action).__name__
        raise UserError(f"an action is a mapping with the keys ids and mask, got {found}")
    try:
        ids, mask = np.asarray(action["ids"]), np.asarray(action["mask"])
    except ValueError as error:  # rows of different lengths
        raise UserError(f"an action's ids and mask are both ({rows}, tokens), got rows of different lengths") from error
    if ids.ndim != 2 or ids.shape[0] != rows or mask.shape != ids.shape:
        raise UserError(f"an action's ids and mask are both ({rows}, tokens), got {ids.shape} and {mask.shape}")
    if not np.issubdtype(ids.dtype, np.integer):
        raise UserError(f"an action's ids are integers, got {ids.dtype}")
    keep = mask.astype(bool)
    if mask.dtype != np.bool_ and not np.array_equal(keep, mask):
        raise UserError("an action's mask holds 0 and 1 only")
    _refuse(keep[:, 1:] > keep[:, :-1], "the mask has tokens after padding (right-pad the answers)")
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        _refuse(keep & ((ids < 0) | (ids >= vocab_size)), f"ids are 0 .. {vocab_size - 1}, got {{value}}", ids)
    if ids.shape[1] > limit:
        _refuse(keep[:, limit:], f"an answer has at most {limit} tokens (max_new_tokens)")
        ids, keep = ids[:, :limit], keep[:, :limit]
    ends = (ids == eos_id) & keep
    if (ends[:, :-1] & keep[:, 1:]).any():
        keep &= np.cumsum(ends, axis=1) - ends == 0  # no [EOS] before this position
    accepted: TokenArray = {
        "ids": np.zeros((rows, limit), dtype=np.int64),
        "mask": np.zeros((rows, limit), dtype=np.int8),
    }
    accepted["ids"][:, : ids.shape[1]] = ids * keep
    accepted["mask"][:, : ids.shape[1]] = keep
    return accepted


def choose(rows: np.ndarray, first: TokenArray, second: TokenArray) -> TokenArray:
    """Tokens of ``first`` where ``rows`` ``(rows,)`` is True, of ``second`` elsewhere; as wide as the wider one."""
    width = max(first["ids"].shape[1], second["ids"].shape[1])
    ids, mask = (
        np.where(rows[:, None], *(np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts))
        for parts in ((first["ids"], second["ids"]), (first["mask"], second["mask"]))
    )
    return {"ids": ids, "mask": mask}


def _refuse(wrong: np.ndarray, message: str, values: np.ndarray | None = None) -> None:
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        value = None if values is None else values[row, column]
        raise UserError(f"action of row {row}: {message.format(value=value)}")
