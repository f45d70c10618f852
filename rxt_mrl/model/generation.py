"""Batched, cached generation: one token per row and step, finished rows leave the work.

The prompt ``[BOS][Q] query [A]`` runs once (prefill) into a preallocated cache; then every step processes a single
token per row. Keys and values of the memory do not change during an interaction and are computed once. Rows may have
prompts of different lengths: each writes to its own position of the cache. A row that finished (by [EOS], by
``max_new_tokens``, or because the width of the model is full) is dropped from the batch at once. Several answers to one
query are computed once as far as they have the same beginning: a *branch* of the cache stands for all of them, and
divides where they part.

What a row says depends on its prompt, its memory, its seed and the sampling settings; not on its neighbours, its place
in the batch, or when they finish (to rounding: a matrix product of another batch size may differ in the last bit).

Departures from the published code: a prompt that leaves no room gives an empty answer in place of an error; an
answer without [EOS] is an ordinary answer; a generated pad id is an ordinary token (the mask says so);
log-probabilities are aligned with the tokens and belong to the distribution that was sampled from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rxt_mrl import seeding
from rxt_mrl.errors import UserError

from .cache import select_memory_kv
from .checks import check_memory, check_tokens
from .modes import eval_mode
from .rxt import RxT
from .sampling import SamplingConfig, sample
from .stepping import DecoderSteps


@dataclass(frozen=True)
class Generation:
    """The answers of a batch, right-padded to the longest one (zero columns when no row had room).

    Attributes:
        ids: long ``(batch, tokens)``: answer tokens, [EOS] included where it came; 0 where masked.
        mask: bool ``(batch, tokens)``: True for generated tokens. A row without any is an empty answer.
        log_probs: float32 ``(batch, tokens)``: log-probability of each token under the distribution it was drawn from
            (temperature and filters applied); 0 where masked, and 0 throughout when greedy.
    """

    ids: Tensor
    mask: Tensor
    log_probs: Tensor


@dataclass(frozen=True)
class StepTokens:
    """What one step added: ``rows`` long ``(active,)`` of the batch, and their ``ids`` long ``(active,)``."""

    rows: Tensor
    ids: Tensor


def generate(
    model: RxT,
    query_ids: Tensor,
    query_mask: Tensor,
    memory: Tensor,
    sampling: SamplingConfig,
    *,
    seeds: Sequence[int] | None = None,
    eos_id: int | None = 3,
    width: int | None = None,
    answers: int = 1,
) -> Generation:
    """Answer a batch of queries.

    Args:
        model: the model; it generates in eval mode and is left in the mode it was in.
        query_ids: long ``(batch, tokens)``, right-padded prompts that end with [A].
        query_mask: bool ``(batch, tokens)``, True for tokens.
        memory: ``(layers, batch, slots, dim)``, read and not changed.
        sampling: temperature, filters and the number of new tokens.
        seeds: one number per answer; the same seed, prompt and memory give the same answer. None: drawn from torch's
            global generator (``torch.manual_seed`` then governs the result).
        eos_id: the token that ends an answer; None: none does.
        width: tokens of prompt and answer together; None: ``model.config.max_tokens``. A prompt that fills it gets an
            empty answer.
        answers: how many for each query. The query is read once and the keys and values of its memory are computed
            once; row ``q * answers + n`` of the result is the n-th answer to query q.

    Returns:
        The answers. Ordinary tensors (not inference tensors), so they may enter a loss.

    Raises:
        UserError: for prompts of a wrong type or shape, empty or longer than the width, ids outside the vocabulary,
            a memory of another batch, or a wrong number of seeds.
    """
    stream = AnswerStream(
        model, query_ids, query_mask, memory, sampling, seeds=seeds, eos_id=eos_id, width=width, answers=answers
    )  # fmt: skip
    with eval_mode(model), torch.inference_mode():
        while not stream.done:
            stream.advance()
    return stream.result()


class AnswerStream:
    """Generation step by step, for streaming; see :func:`generate` for the arguments.

    ``while not stream.done: tokens = stream.step()``; then :meth:`result`.
    """

    def __init__(
        self,
        model: RxT,
        query_ids: Tensor,
        query_mask: Tensor,
        memory: Tensor,
        sampling: SamplingConfig,
        *,
        seeds: Sequence[int] | None = None,
        eos_id: int | None = 3,
        width: int | None = None,
        answers: int = 1,
    ) -> None:
        width = model.config.max_tokens if width is None else width
        lengths = _prompt_lengths(model, query_ids, query_mask, memory, width)
        batch = query_ids.shape[0] * answers
        if seeds is not None and len(seeds) != batch:
            raise UserError(f"seeds has {len(seeds)} numbers for {batch} rows; allowed: one per row, or None")
        self._model, self._sampling, self._eos_id = model, sampling, eos_id
        room = (width - lengths).clamp(max=sampling.max_new_tokens).repeat_interleave(answers)
        steps = int(room.max())
        device = query_ids.device
        self._uniforms = None if sampling.greedy else _uniforms(seeds, batch, steps).to(device)
        self._ids = torch.zeros(batch, steps, dtype=torch.long, device=device)
        self._log_probs = torch.zeros(batch, steps, device=device)
        self._counts = torch.zeros(batch, dtype=torch.long, device=device)
        self._step = 0
        self._rows = room.nonzero().squeeze(-1)
        self._room = room[self._rows]
        self._alone = answers == 1
        self._branches = torch.arange(len(self._rows), device=device) // answers
        self._pending: Tensor | None = None
        self._steps: DecoderSteps | None = None
        if not self.done:
            self._prefill(query_ids, query_mask, memory, lengths, answers)

    @property
    def done(self) -> bool:
        """Whether every row has its answer."""
        return self._rows.shape[0] == 0

    def step(self) -> StepTokens:
        """Generate one token for every unfinished row.

        Raises:
            RuntimeError: when all rows are finished.
        """
        if self.done:
            raise RuntimeError("every row is finished")
        with eval_mode(self._model), torch.inference_mode():
            return self.advance()

    def advance(self) -> StepTokens:
        """As :meth:`step`, by a caller who has put the model into eval mode and torch into inference mode."""
        if self._pending is not None:
            self._logits = self._decode(self._pending)
        uniforms = None if self._uniforms is None else self._uniforms[:, self._step]
        logits = self._logits if self._alone else self._logits[self._branches]
        drawn = sample(logits, self._sampling, uniforms)
        rows, ids = self._rows, drawn.ids
        self._ids[rows, self._step] = ids
        self._log_probs[rows, self._step] = drawn.log_probs
        self._step += 1
        self._counts[rows] = self._step
        finished = self._room <= self._step
        if self._eos_id is not None:
            finished |= ids == self._eos_id
        self._pending = ids
        if bool(finished.any()):
            self._drop(finished)
        if not self.done:
            self._divide()
        return StepTokens(rows, ids)

    def result(self) -> Generation:
        """The answers so far."""
        width = self._step
        mask = torch.arange(width, device=self._ids.device) < self._counts.unsqueeze(1)
        return Generation(self._ids[:, :width].clone(), mask, self._log_probs[:, :width].clone())

    def _prefill(self, query_ids: Tensor, query_mask: Tensor, memory: Tensor, lengths: Tensor, answers: int) -> None:
        decoder, rows = self._model.decoder, self._rows
        if rows.shape[0] < query_ids.shape[0] * answers:
            queries = rows[::answers] // answers
            query_ids, query_mask, memory = query_ids[queries], query_mask[queries], memory[:, queries]
            lengths = lengths[queries]
            if self._uniforms is not None:
                self._uniforms = self._uniforms[rows]
        longest = int(lengths.max())
        with eval_mode(self._model), torch.inference_mode():
            self._memory_kv = decoder.memory_kv_for_steps(memory)
            # The last token of an answer is never fed back.
            capacity = max(longest, int((lengths + self._room[::answers]).max()) - 1)
            self._cache = decoder.new_cache(len(lengths), capacity)
            query_ids, query_mask = query_ids[:, :longest], query_mask[:, :longest]
            self._logits = decoder.prefill(query_ids, query_mask, self._memory_kv, self._cache)

    def _decode(self, ids: Tensor) -> Tensor:
        decoder = self._model.decoder
        if self._steps is None:  # an answer of one token needs none
            self._steps = decoder.prepare_steps(self._cache.capacity)
        return decoder.step(ids.unsqueeze(1), self._memory_kv, self._cache, self._steps)

    def _drop(self, finished: Tensor) -> None:
        """Keep only the unfinished rows."""
        keep = (~finished).nonzero().squeeze(-1)
        self._rows, self._room, self._branches = self._rows[keep], self._room[keep], self._branches[keep]
        if self.done:
            del self._cache, self._memory_kv, self._logits, self._pending, self._steps
            return
        assert self._pending is not None
        self._pending = self._pending[keep]
        if self._uniforms is not None:
            self._uniforms = self._uniforms[keep]

    def _divide(self) -> None:
        """A branch of the cache for every different beginning, and in ``_pending`` the token that it ends with."""
        assert self._pending is not None
        if self._alone:
            origins = self._branches
            self._branches = torch.arange(len(origins), device=origins.device)
        else:
            vocab = self._logits.shape[-1]
            different, self._branches = (self._branches * vocab + self._pending).unique(return_inverse=True)
            origins, self._pending = different // vocab, different % vocab
        if not origins.equal(torch.arange(self._cache.batch, device=origins.device)):
            self._cache = self._cache.select(origins)
            self._memory_kv = select_memory_kv(self._memory_kv, origins)


def _uniforms(seeds: Sequence[int] | None, batch: int, steps: int) -> Tensor:
    if seeds is None:
        return torch.rand(batch, steps)
    return seeding.uniforms(seeds, steps, "generate")


def _prompt_lengths(model: RxT, ids: Tensor, mask: Tensor, memory: Tensor, width: int) -> Tensor:
    """Check the prompts; their lengths, long ``(batch,)``."""
    config = model.config
    if not 1 <= width <= config.max_tokens:
        raise UserError(f"width: {width}; allowed: 1..max_tokens = {config.max_tokens}")
    check_tokens(ids, mask, config)
    check_memory(memory, config, ids.shape[0], model.embedding.weight.dtype)
    lengths = mask.sum(1)
    if int(lengths.min()) == 0:
        raise UserError(f"query_mask: the query of row {int(lengths.argmin())} is empty; allowed: at least [A]")
    if int(lengths.max()) > width:
        raise UserError(f"the query of row {int(lengths.argmax())} has {int(lengths.max())} tokens; allowed: {width}")
    return lengths
