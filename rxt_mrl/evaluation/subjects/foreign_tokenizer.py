"""A tokenizer of another family as one of ours: the same texts, behind the seven specials of the dialogue template.

Rewards and tables see its ids; the model itself sees what its own template makes of the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer

from ...dialogues.tokenizer import SPECIALS, DialogueTokenizer

_SHIFT = len(SPECIALS)


class ForeignTokenizer(DialogueTokenizer):
    """Ids 0 to 6 are the template's, and every id of the other tokenizer is moved up by seven.

    Args:
        tokenizer: a ``transformers`` tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.foreign = tokenizer
        self.pad_id, self.unk_id, self.bos_id, self.eos_id, self.mask_id, self.query_id, self.answer_id = range(_SHIFT)
        self.special_ids = tuple(range(_SHIFT))
        self._specials = frozenset(self.special_ids)

    @property
    def vocab_size(self) -> int:
        """Ids in all."""
        return len(self.foreign) + _SHIFT

    def encode_text(self, text: str) -> list[int]:
        """Ids of a text, without any special."""
        ids = self.foreign.encode(text, add_special_tokens=False)
        return [token + _SHIFT for token in ids]

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """:meth:`encode_text` for many texts."""
        unique = {text: self.encode_text(text) for text in dict.fromkeys(texts)}
        return [unique[text] for text in texts]

    def decode(self, ids: Iterable[int] | torch.Tensor) -> str:
        """The text of token ids: specials dropped, outer white space stripped."""
        values = ids.tolist() if isinstance(ids, torch.Tensor) else ids
        content = [int(token) - _SHIFT for token in values if int(token) >= _SHIFT]
        return str(self.foreign.decode(content, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()


def as_ours(tokenizer: Any) -> DialogueTokenizer:
    """A ``transformers`` tokenizer as one of ours: itself if it has our specials, else with its ids moved up."""
    vocabulary = tokenizer.get_vocab()
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if isinstance(backend, Tokenizer) and all(vocabulary.get(name) == place for place, name in enumerate(SPECIALS)):
        return DialogueTokenizer(Tokenizer.from_str(backend.to_str()))  # a copy: ours changes its settings
    return ForeignTokenizer(tokenizer)
