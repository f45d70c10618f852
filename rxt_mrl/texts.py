"""Token rows with their text, and an ad-hoc word codec in the template of the dialogues.

With the codec a reward is tried on strings, without a model or a trained tokenizer: decoding returns exactly the text
that was encoded, whatever its spaces and punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from itertools import chain, compress
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from .errors import MissingColumnError
from .seeding import numpy_generator

BOS, EOS, QUERY, ANSWER = 2, 3, 5, 6
"""The ids of the dialogue template (RXT 1.13); 0-6 are special."""

_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])|\s+$")
_EMBED_DIM = 64


class Tokens(NamedTuple):
    """Right-padded token rows ``(..., tokens)``: ids, long, and their mask, bool, True for tokens."""

    ids: torch.Tensor
    mask: torch.Tensor

    def part(self, *index: Any) -> Tokens:
        """Some of the rows, with the padding that they need and no more; ``index`` is of the leading dimensions."""
        return trim(self.ids[index], self.mask[index])

    def to(self, device: torch.device | str) -> Tokens:
        """The same on another device."""
        return Tokens(self.ids.to(device), self.mask.to(device))


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 row", "2 rows"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def half_character(text: str) -> str | None:
    """What is wrong with a text that holds a lone surrogate, as JSON's ``"\\ud83d"`` or a byte that is not UTF-8 gives
    one; None for all others. No file, terminal or tokenizer takes such a text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        return f"half a character (\\u{code:04x} at position {error.start + 1})"
    return None


def longest(mask: torch.Tensor) -> int:
    """Tokens of the longest row of a right-padded mask ``(..., tokens)``; at least 1."""
    lengths = mask.sum(-1)
    return max(1, int(lengths.max())) if lengths.numel() else 1


def trim(ids: torch.Tensor, mask: torch.Tensor) -> Tokens:
    """Drop the columns at the right that no row uses; at least one column stays."""
    width = longest(mask)
    return Tokens(ids[..., :width], mask[..., :width])


class Columns(dict[str, Sequence[Any]]):
    """Columns of a batch by name, ``(episodes,)`` values each; a missing one is said in one line."""

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Columns:
        """The columns of some rows; None where a row has none."""
        return cls({name: [row.get(name) for row in rows] for name in dict.fromkeys(chain.from_iterable(rows))})

    def __missing__(self, name: str) -> Sequence[Any]:
        raise MissingColumnError(
            f"needs the column {name!r} of the data; it has {', '.join(self) or 'no other columns'}"
        )


class TokenText:
    """A batch of texts: token ids with mask and, decoded only when asked for, strings.

    Args:
        ids: long ``(episodes, tokens)``.
        mask: bool ``(episodes, tokens)``, True for tokens, template specials included.
        special_ids: ids that belong to the template ([BOS], [Q], [A], [EOS], ...).
        decode: turns the content ids of one row into a string.
    """

    def __init__(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        special_ids: Sequence[int],
        decode: Callable[[list[int]], str],
    ) -> None:
        if ids.dim() != 2 or ids.shape != mask.shape:
            raise ValueError(
                f"ids and mask must both be (episodes, tokens), got {tuple(ids.shape)}, {tuple(mask.shape)}"
            )
        self.ids = ids
        self.mask = mask.bool()
        self._special_ids = torch.as_tensor(list(special_ids), dtype=torch.long)
        self._decode = decode
        self._original: TokenText | None = None

    def __len__(self) -> int:
        return self.ids.shape[0]

    @cached_property
    def content_mask(self) -> torch.Tensor:
        """bool ``(episodes, tokens)``: the mask without template specials."""
        return self.mask & ~torch.isin(self.ids, self._special_ids)

    @cached_property
    def text(self) -> list[str]:
        """The decoded content of every row, specials left out."""
        if self._original is not None:
            return list(self._original.text)
        decode = cache(lambda content: self._decode(list(content)))  # several answers to one query are many equal rows
        rows = zip(self.ids.tolist(), self.content_mask.tolist(), strict=True)
        return [decode(tuple(compress(ids, kept))) for ids, kept in rows]

    def only(self, keep: torch.Tensor) -> TokenText:
        """The same batch with some of its tokens only: ``keep`` is bool ``(episodes, tokens)`` or ``(episodes, 1)``."""
        return TokenText(self.ids, self.mask & keep, self._special_ids.tolist(), self._decode)

    def copy(self) -> TokenText:
        """The same batch in memory of its own; the texts are decoded once for it and its copies."""
        copied = TokenText(self.ids.clone(), self.mask.clone(), self._special_ids.tolist(), self._decode)
        copied._original = self if self._original is None else self._original
        return copied

    def select(self, rows: Sequence[int]) -> TokenText:
        """The same batch, restricted to some rows."""
        index = torch.as_tensor(list(rows), dtype=torch.long)
        return TokenText(self.ids[index], self.mask[index], self._special_ids.tolist(), self._decode)


class TextCodec(Protocol):
    """What ``RewardContext.from_text`` needs of a tokenizer; ``DialogueTokenizer`` has it."""

    @property
    def special_ids(self) -> Sequence[int]:
        """Ids that belong to the template."""
        ...

    def encode_query(self, text: str) -> list[int]:
        """``[BOS][Q] query [A]``."""
        ...

    def encode_answer(self, text: str) -> list[int]:
        """``answer [EOS]``."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of content ids."""
        ...


class WordCodec:
    """Words and punctuation marks as tokens, each with the spaces before it; ids are given as words appear.

    A space is put before the text (and taken away when decoding), so that a word is the same token at the start of
    a text as within it, as with the byte-level tokenizer of the dialogues.
    """

    def __init__(self) -> None:
        self._words: list[str] = [f"[{index}]" for index in range(7)]
        self._ids: dict[str, int] = {}

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Ids 0-6: the template's."""
        return tuple(range(7))

    def encode_text(self, text: str) -> list[int]:
        """The ids of a text; empty for an empty text."""
        if not text:
            return []
        return [self._id(piece) for piece in _PIECE.findall(" " + text)]

    def encode_query(self, text: str) -> list[int]:
        """``[BOS][Q] query [A]``."""
        return [BOS, QUERY, *self.encode_text(text), ANSWER]

    def encode_answer(self, text: str) -> list[int]:
        """``answer [EOS]``."""
        return [*self.encode_text(text), EOS]

    def decode(self, ids: list[int]) -> str:
        """The text of ids that this codec gave."""
        return "".join(self._words[index] for index in ids if index > 6)[1:]

    def embedding(self) -> torch.Tensor:
        """One fixed random unit vector per word so far, ``(vocab, 64)``; case and spaces make no difference."""
        vectors = np.stack([_vector(word.strip().lower()) for word in self._words])
        return torch.from_numpy(vectors)

    def _id(self, piece: str) -> int:
        if piece not in self._ids:
            self._ids[piece] = len(self._words)
            self._words.append(piece)
        return self._ids[piece]


def pad(rows: Sequence[Sequence[int]], codec: TextCodec) -> TokenText:
    """Right-pad rows of ids to a :class:`TokenText`."""
    width = max((len(row) for row in rows), default=0)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        mask[index, : len(row)] = True
    return TokenText(ids, mask, codec.special_ids, codec.decode)


@cache
def _vector(word: str) -> np.ndarray:
    vector = numpy_generator("word", word).standard_normal(_EMBED_DIM, dtype=np.float32)
    return vector / np.linalg.norm(vector)
