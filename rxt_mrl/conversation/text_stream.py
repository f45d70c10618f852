"""Text of an answer while it is being generated: only whole characters, never half of one."""

from __future__ import annotations

from rxt_mrl.dialogues.tokenizer import DialogueTokenizer

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """Turns token ids into text piece by piece.

    In byte-level BPE a token may end in the middle of a character, which decodes to U+FFFD until the rest arrives.
    Such an end is held back, and so is white space, which the finished text does not end with. The pieces of
    :meth:`push` and :meth:`finish` add up to ``tokenizer.decode(ids)`` exactly.
    """

    def __init__(self, tokenizer: DialogueTokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._sent = 0

    def push(self, token: int) -> str:
        """Add a token; the text that has become certain, "" while a character is incomplete."""
        self._ids.append(token)
        return self._send(self._tokenizer.decode(self._ids).rstrip(_REPLACEMENT).rstrip())

    def finish(self) -> str:
        """What was held back (bytes that never became a character come as U+FFFD)."""
        return self._send(self._tokenizer.decode(self._ids))

    @property
    def ids(self) -> list[int]:
        """The tokens so far."""
        return list(self._ids)

    def _send(self, text: str) -> str:
        piece = text[self._sent :]
        self._sent += len(piece)
        return piece
