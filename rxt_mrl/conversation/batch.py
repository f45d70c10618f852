"""Several conversations as one batch: streamed answers, then a memory update as events of its own.

For one conversation see :mod:`rxt_mrl.conversation`. A conversation keeps no transcript. Its whole state is the
memory ``(layers, conversations, slots, dim)``: every turn costs the same, however many came before. After an answer
the completed interaction ``[BOS][Q]query[A]answer[EOS]`` is written to the memory; with ``background=True`` this
happens in a thread while the user reads and types, and the next query awaits it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rxt_mrl import seeding
from rxt_mrl.conversation.memory_file import load_memory, save_memory
from rxt_mrl.conversation.text_stream import TextStream
from rxt_mrl.dialogues.template import join, pad_rows
from rxt_mrl.dialogues.tokenizer import DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.model.generation import AnswerStream
from rxt_mrl.model.modes import inference
from rxt_mrl.model.rxt import RxT
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.texts import Tokens


@dataclass(frozen=True)
class Token:
    """A generated token of conversation ``row``; ``text`` is what became readable with it ("" inside a character)."""

    row: int
    id: int
    text: str


@dataclass(frozen=True)
class Answer:
    """The whole answer of conversation ``row``; ``complete`` is False when it was cut without [EOS]."""

    row: int
    text: str
    ids: tuple[int, ...]
    complete: bool


@dataclass(frozen=True)
class MemoryUpdateStarted:
    """The interactions of ``rows`` are being written to memory."""

    rows: tuple[int, ...]


@dataclass(frozen=True)
class MemoryUpdateFinished:
    """The memory of ``rows`` holds the interactions; it took ``seconds``."""

    rows: tuple[int, ...]
    seconds: float


Event = Token | Answer | MemoryUpdateStarted | MemoryUpdateFinished


class Conversations:
    """Several conversations side by side, computed as one batch.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        count: how many conversations.
        sampling: how answers are sampled; None: temperature 1, until [EOS] or the model's width is full.
        seeds: one number per conversation, for the initial memory and the answers; None: drawn from the system.
        background: write to memory in a thread: :meth:`ask` then ends with ``MemoryUpdateStarted``, and the finished
            event comes from :meth:`wait` or first thing in the next :meth:`ask`.

    Raises:
        UserError: for a tokenizer that does not fit the model, or a wrong number of seeds.
    """

    def __init__(
        self,
        model: RxT,
        tokenizer: DialogueTokenizer,
        count: int,
        *,
        sampling: SamplingConfig | None = None,
        seeds: Sequence[int] | None = None,
        background: bool = False,
    ) -> None:
        if count < 1:
            raise UserError(f"count is {count}; allowed: at least 1 conversation")
        if tokenizer.vocab_size > model.config.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model only {model.config.vocab_size}; "
                "allowed: the tokenizer that the model was trained with"
            )
        if seeds is not None and len(seeds) != count:
            raise UserError(f"seeds has {len(seeds)} numbers for {count} conversations")
        self.model, self.tokenizer, self.count = model, tokenizer, count
        self.sampling = sampling or SamplingConfig(max_new_tokens=model.config.max_tokens)
        self.background = background
        self._seeds = tuple(seeds) if seeds is not None else tuple(secrets.randbits(62) for _ in range(count))
        self._turns = [0] * count
        self._asked = 0
        self._executor: ThreadPoolExecutor | None = None
        self._update: tuple[Future[tuple[Tensor, float]], tuple[int, ...]] | None = None
        self._memory = self._fresh_memory()

    # --- state ---------------------------------------------------------------------------------------------------

    @property
    def memory(self) -> Tensor:
        """``(layers, conversations, slots, dim)``, after the update that may be under way. Not to be written to."""
        self.wait()
        return self._memory

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each conversation."""
        return self._seeds

    @property
    def turns(self) -> tuple[int, ...]:
        """How many queries each conversation has answered."""
        return tuple(self._turns)

    def reset(self) -> None:
        """Forget everything: the initial memory of the same seeds, and turn 0."""
        self.wait()
        self._asked += 1
        self._turns = [0] * self.count
        self._memory = self._fresh_memory()

    def remember(self, text: str | Sequence[str | None]) -> None:
        """Write texts to the memory, as ``[BOS] text [EOS]``: who the assistant is, what it knows.

        Args:
            text: one text for all conversations, or one per conversation (None: leave that one alone). A text longer
                than the model's width is written in successive pieces.

        Raises:
            UserError: for an empty text or a wrong number of texts.
        """
        texts = self._per_row([text] * self.count if isinstance(text, str) else text, "texts")
        tokenizer, piece = self.tokenizer, self.model.config.max_tokens - 2
        content = {row: tokenizer.encode_text(value) for row, value in texts.items()}
        self.wait()
        for start in range(0, max(map(len, content.values())), piece):
            pieces = {row: ids[start : start + piece] for row, ids in content.items() if len(ids) > start}
            told = pad_rows([[tokenizer.bos_id, *part, tokenizer.eos_id] for part in pieces.values()])
            self._memory = self._written(tuple(pieces), *told.to(self._memory.device))[0]

    def save(self, path: str | Path) -> Path:
        """Save the memory, the seeds and the turns to a file (see :mod:`rxt_mrl.conversation.memory_file`)."""
        return save_memory(path, self.model, self.memory, seeds=self._seeds, turns=self._turns)

    def restore(self, path: str | Path, *, any_weights: bool = False) -> None:
        """Go on from a saved file: the next answers are those that the saved conversations would have given.

        Raises:
            UserError: when the file belongs to another model or holds another number of conversations; nothing has
                changed then.
        """
        saved = load_memory(path, self.model, any_weights=any_weights)
        if saved.memory.shape[1] != self.count:
            raise UserError(f"{path} holds {saved.memory.shape[1]} conversations; this object has {self.count}")
        self.wait()
        self._asked += 1
        self._memory, self._seeds, self._turns = saved.memory, saved.seeds, list(saved.turns)

    def close(self) -> None:
        """Finish the update that may be under way and end the thread. A closed object may be used again."""
        self.wait()
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    # --- talking -------------------------------------------------------------------------------------------------

    def ask(self, queries: Sequence[str | None]) -> Iterator[Event]:
        """Answer one query per conversation (None: that one is silent, and its memory stays as it is).

        Yields:
            ``Token`` events of all rows as they are generated; an ``Answer`` per row when it is whole; then
            ``MemoryUpdateStarted`` and, unless in the background, ``MemoryUpdateFinished``. An iterator that is left
            before ``MemoryUpdateStarted`` writes nothing to memory, and the turn does not count.

        Raises:
            UserError: at the call, for a wrong number of queries, an empty one, or one longer than the model's width.
        """
        asked = self._per_row(queries, "queries")
        prompts = {row: self.tokenizer.encode_query(text) for row, text in asked.items()}
        width = self.model.config.max_tokens
        for row, ids in prompts.items():
            if len(ids) >= width:
                raise UserError(
                    f"the query of conversation {row} has {len(ids)} tokens with the template; allowed: at most "
                    f"{width - 1} (the model's width is {width}, and the answer needs room)"
                )
        self._asked += 1
        return self._answer(prompts, self._asked)

    def answer(self, queries: Sequence[str | None]) -> list[str | None]:
        """Ask and return the answers' texts (None where nothing was asked), with the update done or under way."""
        texts: list[str | None] = [None] * self.count
        for event in self.ask(queries):
            if isinstance(event, Answer):
                texts[event.row] = event.text
        return texts

    def wait(self) -> MemoryUpdateFinished | None:
        """Await the update that may be under way; its event, or None when there was none.

        Raises:
            Exception: what went wrong in the update; the memory is then the one before it.
        """
        if self._update is None:
            return None
        (future, rows), self._update = self._update, None
        self._memory, seconds = future.result()
        return MemoryUpdateFinished(rows, seconds)

    def _answer(self, prompts: dict[int, list[int]], turn: int) -> Iterator[Event]:
        if (finished := self.wait()) is not None:
            yield finished
        rows = tuple(prompts)
        device = self._memory.device
        prompt = pad_rows(list(prompts.values())).to(device)
        stream = AnswerStream(
            self.model,
            *prompt,
            self._of(rows),
            self.sampling,
            seeds=[seeding.key(self._seeds[row], "turn", self._turns[row]) for row in rows],
            eos_id=self.tokenizer.eos_id,
        )
        texts = [TextStream(self.tokenizer) for _ in rows]
        while not stream.done:
            step = stream.step()
            for index, token in zip(step.rows.tolist(), step.ids.tolist(), strict=True):
                yield Token(rows[index], token, texts[index].push(token))
        for row, text in zip(rows, texts, strict=True):
            if rest := text.finish():
                yield Token(row, text.ids[-1], rest)
        for row, text in zip(rows, texts, strict=True):
            ended = text.ids[-1:] == [self.tokenizer.eos_id]
            yield Answer(row, self.tokenizer.decode(text.ids), tuple(text.ids), ended)
        if turn != self._asked:
            raise UserError("this answer was left unfinished and another query was asked; it cannot be continued")
        result = stream.result()
        interaction = join(prompt, Tokens(result.ids, result.mask))
        for row in rows:
            self._turns[row] += 1
        yield from self._write(rows, interaction.ids, interaction.mask)

    def _write(self, rows: tuple[int, ...], ids: Tensor, mask: Tensor) -> Iterator[Event]:
        if not self.background:
            try:
                yield MemoryUpdateStarted(rows)
            finally:  # also when the caller leaves the iterator at this event
                self._memory, seconds = self._written(rows, ids, mask)
            yield MemoryUpdateFinished(rows, seconds)
            return
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="memory-update")
        self._update = self._executor.submit(self._written, rows, ids, mask), rows
        yield MemoryUpdateStarted(rows)

    def _written(self, rows: tuple[int, ...], ids: Tensor, mask: Tensor) -> tuple[Tensor, float]:
        """The memory with interactions written to some rows, and the seconds that it took."""
        start = time.perf_counter()
        with inference(self.model):
            new = self.model.write(self._of(rows), ids, mask)
        if len(rows) < self.count:
            memory = self._memory.clone()
            memory[:, list(rows)] = new
            new = memory
        return new, time.perf_counter() - start

    def _of(self, rows: tuple[int, ...]) -> Tensor:
        return self._memory if len(rows) == self.count else self._memory[:, list(rows)]

    def _fresh_memory(self) -> Tensor:
        with inference(self.model):
            return self.model.initial_memory(self.count, seeds=self._seeds)

    def _per_row(self, values: Sequence[str | None], name: str) -> dict[int, str]:
        if isinstance(values, str) or len(values) != self.count:
            got = "one text" if isinstance(values, str) else len(values)
            raise UserError(f"{name}: got {got} for {self.count} conversations; allowed: a list of {self.count}")
        present = {row: value for row, value in enumerate(values) if value is not None}
        if not present:
            raise UserError(f"{name}: all are None; allowed: at least one text")
        for row, value in present.items():
            if not value.strip():
                raise UserError(f"{name}: the one of conversation {row} is empty")
        return present
