"""Talk with a Reactive Transformer: streamed answers, then a memory update as events of its own.

This is one conversation; the work is done by :mod:`rxt_mrl.conversation.batch`, which also runs several as one batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from rxt_mrl.dialogues.tokenizer import DialogueTokenizer
from rxt_mrl.model.rxt import RxT
from rxt_mrl.model.sampling import SamplingConfig

from .batch import Conversations, Event, MemoryUpdateFinished


class Conversation:
    """One conversation.

    ::

        conversation = Conversation(model, tokenizer, seed=1)
        for event in conversation.ask("The cat is called Whiskers."):
            if isinstance(event, Token):
                print(event.text, end="", flush=True)

    Args:
        model: the model.
        tokenizer: its tokenizer.
        sampling: how answers are sampled; None: temperature 1, until [EOS] or the model's width is full.
        seed: of the initial memory and the answers; None: drawn from the system.
        background: write to memory in a thread; see :class:`Conversations`.
        initial_text: written to the memory before the first query.
    """

    def __init__(
        self,
        model: RxT,
        tokenizer: DialogueTokenizer,
        *,
        sampling: SamplingConfig | None = None,
        seed: int | None = None,
        background: bool = False,
        initial_text: str | None = None,
    ) -> None:
        seeds = None if seed is None else [seed]
        self._batch = Conversations(model, tokenizer, 1, sampling=sampling, seeds=seeds, background=background)
        if initial_text is not None:
            self._batch.remember(initial_text)

    def ask(self, query: str) -> Iterator[Event]:
        """Answer a query; the events of :meth:`Conversations.ask`."""
        return self._batch.ask([query])

    def answer(self, query: str) -> str:
        """Ask and return the whole text."""
        text = self._batch.answer([query])[0]
        assert text is not None
        return text

    def remember(self, text: str) -> None:
        """Write a text to the memory; see :meth:`Conversations.remember`."""
        self._batch.remember([text])

    def wait(self) -> MemoryUpdateFinished | None:
        """Await the update that may be under way; its event, or None."""
        return self._batch.wait()

    def reset(self) -> None:
        """Forget everything (an ``initial_text`` too)."""
        self._batch.reset()

    def save(self, path: str | Path) -> Path:
        """Save the memory to a file."""
        return self._batch.save(path)

    def restore(self, path: str | Path, *, any_weights: bool = False) -> None:
        """Go on from a saved file."""
        self._batch.restore(path, any_weights=any_weights)

    def close(self) -> None:
        """Finish the update that may be under way and end the thread."""
        self._batch.close()

    @property
    def memory(self) -> Tensor:
        """``(layers, 1, slots, dim)``, after the update that may be under way."""
        return self._batch.memory

    @property
    def seed(self) -> int:
        """The seed of this conversation."""
        return self._batch.seeds[0]

    @property
    def turns(self) -> int:
        """How many queries were answered."""
        return self._batch.turns[0]
