"""Spaces of the token contract: right-padded ids with their mask, and open text.

Gymnasium's own spaces can hold the arrays, and say too little about them: a ``MultiBinary`` mask may have
holes, and a ``Text`` rejects every character outside its charset.
"""

from __future__ import annotations

import string
from copy import deepcopy
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

PRINTABLE = "".join(character for character in string.printable if character.isprintable())
"""The characters that :class:`OpenText` samples: letters, digits, punctuation and the space."""


class PrefixMask(spaces.MultiBinary):
    """int8 masks ``(..., tokens)``: in every row some 1s (tokens), then only 0s (padding). A row may be empty."""

    def sample(self, mask: Any = None, probability: Any = None) -> np.ndarray:
        """A mask with a uniformly drawn number of tokens per row; Gymnasium's sampling masks are not supported."""
        if mask is not None or probability is not None:
            raise ValueError("PrefixMask.sample takes no mask or probability")
        shape: tuple[int, ...] = self.shape
        lengths = self.np_random.integers(0, shape[-1] + 1, size=(*shape[:-1], 1))
        return (np.arange(shape[-1]) < lengths).astype(np.int8)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` has the shape and nothing but 1s followed by 0s in each row."""
        if not super().contains(x):
            return False
        return bool(np.all(np.asarray(x)[..., 1:] <= np.asarray(x)[..., :-1]))

    def __repr__(self) -> str:
        return f"PrefixMask{self.shape}"


@batch_space.register(PrefixMask)
def _batch_prefix_mask(space: PrefixMask, n: int = 1) -> PrefixMask:
    # Without this, a batch of masks would become a Box, whose samples have holes.
    return PrefixMask((n, *space.shape), seed=deepcopy(space.np_random))


def token_space(width: int, vocab_size: int, *, vectors: int | None = None) -> spaces.Dict:
    """The space of a :class:`~rxt_mrl.contracts.TokenArray` row, or of ``vectors`` rows.

    Args:
        width: tokens per row, padding included.
        vocab_size: ids are 0 .. vocab_size - 1.
        vectors: number of rows of a batch; None: one row without a batch axis.
    """
    single = spaces.Dict({"ids": spaces.MultiDiscrete(np.full(width, vocab_size)), "mask": PrefixMask((width,))})
    return single if vectors is None else cast(spaces.Dict, batch_space(single, vectors))


def observation_space(interaction: int, query: int, vocab_size: int, *, vectors: int | None = None) -> spaces.Dict:
    """The space of an :class:`~rxt_mrl.contracts.Observation` with these widths (tokens per row)."""
    return spaces.Dict(
        {
            "interaction": token_space(interaction, vocab_size, vectors=vectors),
            "query": token_space(query, vocab_size, vectors=vectors),
        }
    )


class OpenText(spaces.Text):
    """Strings of at most ``max_length`` characters of any kind, the empty one included.

    It samples from :data:`PRINTABLE`. A language model may answer with any character that its tokenizer can
    spell, and an observation outside of its own space would be a lie; so ``contains`` asks for the length only.

    Note:
        ``AsyncVectorEnv`` returns garbage for any ``Text`` space, also inside ``Dict``, unless it is made with
        ``shared_memory=False``.
    """

    def __init__(self, max_length: int, *, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(max_length, min_length=0, charset=PRINTABLE, seed=seed)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a string that is short enough."""
        return isinstance(x, str) and len(x) <= self.max_length
