"""The tokenizer of a dialogue: byte-level BPE with a prefix space, and the interaction template around it.

Template: a query is ``[BOS][Q] text [A]`` and an answer is ``text [EOS]``, so query + answer is one interaction
``[BOS][Q]query[A]answer[EOS]``. Specials are added as ids, never as text: a user who types ``[A]`` or ``[EOS]``
gets the ordinary tokens of these letters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ..contracts import TokenText
from ..errors import UserError
from ..files import WriteError, whole
from ..texts import half_character

SPECIALS = ("[PAD]", "[UNK]", "[BOS]", "[EOS]", "[MASK]", "[Q]", "[A]")
"""The specials in the order of their ids, 0 to 6."""

FILE = "tokenizer.json"

_MOST = 1_000_000
"""Tokens of the largest tokenizer that is trained."""


class DialogueTokenizer:
    """Text to token ids and back, with the interaction template.

    Args:
        tokenizer: a Hugging Face ``tokenizers.Tokenizer`` whose vocabulary has the seven specials.

    Raises:
        UserError: when a special is missing from the vocabulary.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        found = {name: tokenizer.token_to_id(name) for name in SPECIALS}
        ids = {name: token for name, token in found.items() if token is not None}
        missing = [name for name in SPECIALS if name not in ids]
        if missing:
            raise UserError(f"tokenizer lacks the special tokens {missing}; needed are {list(SPECIALS)}")
        # Special tokens found in a text are encoded as the letters they are written with.
        tokenizer.encode_special_tokens = True
        if tokenizer.decoder is None and "ByteLevel" in str(tokenizer.pre_tokenizer):  # published files have none
            tokenizer.decoder = decoders.ByteLevel()
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.pad_id = ids["[PAD]"]
        self.unk_id = ids["[UNK]"]
        self.bos_id = ids["[BOS]"]
        self.eos_id = ids["[EOS]"]
        self.mask_id = ids["[MASK]"]
        self.query_id = ids["[Q]"]
        self.answer_id = ids["[A]"]
        self.special_ids: tuple[int, ...] = tuple(ids[name] for name in SPECIALS)
        self._specials = frozenset(self.special_ids)

    # --- making, saving, loading ---------------------------------------------------------------------------------

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> DialogueTokenizer:
        """Train byte-level BPE on texts; the same texts in the same order give the same tokenizer.

        Args:
            texts: what to learn the merges from (queries and answers, or plain stories).
            vocab_size: at least 263: seven specials and 256 bytes. Fewer come out when the texts have fewer merges.
        """
        floor = len(SPECIALS) + 256
        if vocab_size < floor:
            raise UserError(f"vocab_size {vocab_size} is too small: at least {floor} (7 specials and 256 bytes)")
        if vocab_size > _MOST:  # the library makes room for all of them at once, and ends the process where it cannot
            raise UserError(f"vocab_size {vocab_size} is too large: at most {_MOST:,}")
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIALS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(map(_whole, texts), trainer)
        return cls(tokenizer)

    def save(self, directory: str | Path) -> Path:
        """Write ``tokenizer.json`` into ``directory`` and return the file's path."""
        path = Path(directory)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(path, error) from error
        with whole(path / FILE) as part:
            self.tokenizer.save(str(part))
        return path / FILE

    @classmethod
    def load(cls, path: str | Path) -> DialogueTokenizer:
        """Read a ``tokenizer.json`` (or the directory that holds it)."""
        file = Path(path)
        file = file / FILE if file.is_dir() else file
        if not file.is_file():
            raise UserError(f"no tokenizer at {path}: expected a directory with {FILE}, or such a file")
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise UserError(f"{file} is not a tokenizer file: {error}") from error
        return cls(tokenizer)

    def __len__(self) -> int:
        return self.vocab_size

    @property
    def vocab_size(self) -> int:
        """Number of token ids, specials included."""
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    @property
    def fingerprint(self) -> str:
        """A hash of what the ids mean: of all tokens with their ids, and of the merges."""
        merges = json.loads(self.tokenizer.to_str())["model"].get("merges", [])
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
        content = json.dumps([sorted(self.tokenizer.get_vocab(with_added_tokens=True).items()), pairs])
        return hashlib.sha256(content.encode()).hexdigest()

    # --- text to ids ---------------------------------------------------------------------------------------------

    def encode_text(self, text: str) -> list[int]:
        """Ids of a text, without any special.

        Raises:
            UserError: for a text with half a character in it (a lone surrogate).
        """
        return self.tokenizer.encode(_whole(text), add_special_tokens=False).ids

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """:meth:`encode_text` for many texts at once; much faster than one by one, and each text is encoded once."""
        unique = list(map(_whole, dict.fromkeys(texts)))
        encoded = self.tokenizer.encode_batch_fast(unique, add_special_tokens=False)
        ids = {text: item.ids for text, item in zip(unique, encoded, strict=True)}
        return [ids[text] for text in texts]

    def encode_query(self, text: str) -> list[int]:
        """``[BOS][Q] text [A]``."""
        return [self.bos_id, self.query_id, *self.encode_text(text), self.answer_id]

    def encode_answer(self, text: str) -> list[int]:
        """``text [EOS]``."""
        return [*self.encode_text(text), self.eos_id]

    # --- ids to text ---------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[int] | torch.Tensor) -> str:
        """The text of token ids: specials dropped, outer white space stripped."""
        values = ids.tolist() if isinstance(ids, torch.Tensor) else ids
        content = [int(token) for token in values if int(token) not in self._specials]
        return self.tokenizer.decode(content, skip_special_tokens=True).strip()

    def decode_batch(self, ids: torch.Tensor, mask: torch.Tensor) -> list[str]:
        """The texts of ``(rows, tokens)`` ids where ``mask`` is True."""
        return self.token_text(ids, mask).text

    def token_text(self, ids: torch.Tensor, mask: torch.Tensor) -> TokenText:
        """A batch of texts as rewards see it: ids and mask ``(rows, tokens)``, strings when asked for."""
        return TokenText(ids, mask, self.special_ids, self.decode)


def _whole(text: str) -> str:
    """The text, which the library can encode.

    Raises:
        UserError: for what is no text, and for one with half a character in it.
    """
    if not isinstance(text, str):
        raise UserError(f"only a text can be encoded, got {type(text).__name__}")
    if problem := half_character(text):
        raise UserError(f"a text holds {problem}, which cannot be encoded: {text[:60]!a}")
    return text
