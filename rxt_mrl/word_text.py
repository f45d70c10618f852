"""Text-only reward contexts: an ad-hoc word tokenizer in the template of the dialogues.

A reward is tried on strings, without a model or a trained tokenizer (:meth:`RewardContext.from_text`).
Decoding returns exactly the text that was encoded, whatever its spaces and punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

import numpy as np
import torch

from .contracts import Ask, Mode, RewardContext, Strategy, TokenText
from .errors import UserError
from .seeding import numpy_generator

BOS, EOS, QUERY, ANSWER = 2, 3, 5, 6
"""The ids of the dialogue template (RXT 1.13); 0-6 are special."""

_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])|\s+$")
_EMBED_DIM = 64


class TextCodec(Protocol):
    """What `context_from_text` needs of a tokenizer; ``DialogueTokenizer`` has it."""

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


def context_from_text(
    query: str | Sequence[str],
    generated: str | Sequence[str],
    reference: str | Sequence[str] = "",
    *,
    history: Sequence[Sequence[tuple[str, str]]] = (),
    asks: Sequence[Sequence[Ask]] = (),
    step: int | None = None,
    steps: int | None = None,
    strategy: Strategy = "multi_step",
    mode: Mode = "standard",
    codec: TextCodec | None = None,
    embedding: torch.Tensor | None = None,
) -> RewardContext:
    """Build a :class:`RewardContext` from strings; see :meth:`RewardContext.from_text`."""
    queries = [query] if isinstance(query, str) else list(query)
    count = len(queries)
    answers = _per_episode("generated", generated, count)
    references = _per_episode("reference", reference, count)
    for name, given in (("history", history), ("asks", asks)):
        if given and len(given) != count:
            raise UserError(f"{name} has {len(given)} entries for {count} queries: give one per query, or none")
    turns = {len(past) for past in history}
    if len(turns) > 1:
        raise UserError(f"history must be equally long in all episodes, got lengths {sorted(turns)}")
    depth = turns.pop() if turns else 0

    words = None if codec is not None else WordCodec()
    used: TextCodec = codec if codec is not None else words  # type: ignore[assignment]

    def tokens(encode: Callable[[str], list[int]], texts: Sequence[str]) -> TokenText:
        return pad([encode(text) for text in texts], used)

    past = tuple(
        pad([used.encode_query(row[turn][0]) + used.encode_answer(row[turn][1]) for row in history], used)
        for turn in range(depth)
    )
    query_tokens = tokens(used.encode_query, queries)
    generated_tokens = tokens(used.encode_answer, answers)
    reference_tokens = tokens(used.encode_answer, references)
    if embedding is None and words is not None:
        embedding = words.embedding()
    step = max(depth, 1) if step is None else step
    return RewardContext(
        query=query_tokens,
        generated=generated_tokens,
        reference=reference_tokens,
        history=past,
        asks=tuple(tuple(row) for row in asks),
        step=step,
        steps=step if steps is None else steps,
        strategy=strategy,
        mode=mode,
        embedding=embedding,
    )


def pad(rows: Sequence[Sequence[int]], codec: TextCodec) -> TokenText:
    """Right-pad rows of ids to a :class:`TokenText`."""
    width = max((len(row) for row in rows), default=0)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        mask[index, : len(row)] = True
    return TokenText(ids, mask, codec.special_ids, codec.decode)


def _per_episode(name: str, texts: str | Sequence[str], count: int) -> list[str]:
    rows = [texts] * count if isinstance(texts, str) else list(texts)
    if len(rows) != count:
        raise UserError(f"{name} has {len(rows)} texts for {count} queries: give one per query")
    return rows


@cache
def _vector(word: str) -> np.ndarray:
    vector = numpy_generator("word", word).standard_normal(_EMBED_DIM, dtype=np.float32)
    return vector / np.linalg.norm(vector)
