"""Answer dialogues with a model: write, answer, write ... with the real memory and with controls, and keep the answers.

Memory starts anew in every batch and is never carried over. Controls read another memory at each step, but the memory
that is written is always the real one, with the real answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ..contracts import RewardContext, TokenText, mode_of
from ..dialogues.batching import DialogueTensors
from ..dialogues.own_words import by_own_words
from ..dialogues.template import join
from ..dialogues.tokenizer import DialogueTokenizer
from ..model import RxT, inference
from ..model.generation import generate
from ..model.sampling import SamplingConfig
from ..seeding import key
from ..texts import Tokens, trim
from .config import Control, EvaluationSettings
from .controls import batch_bounds, read_memories


@dataclass(frozen=True)
class AnsweredStep:
    """The answers of one batch at one step.

    Attributes:
        rows: dialogues of the batch, as (first, last + 1).
        step: 1 for the first follow-up.
        context: of the real answers, for rewards.
        controls: contexts of the controls' answers (same questions, references and history).
    """

    rows: tuple[int, int]
    step: int
    context: RewardContext
    controls: dict[Control, RewardContext]


def answer_dialogues(
    model: RxT,
    tokenizer: DialogueTokenizer,
    dialogues: DialogueTensors,
    settings: EvaluationSettings,
    seed: int,
    *,
    embedding: Tensor | None = None,
) -> Iterator[AnsweredStep]:
    """Answer all dialogues, batch by batch, step by step.

    Args:
        model: in eval mode or not; it is answered with in eval mode and left as it was.
        tokenizer: of the dialogues.
        dialogues: cut to the episodes and steps that count.
        settings: batch size, temperature, teacher forcing, controls.
        seed: key of initial memories and of sampling.
        embedding: ``(vocab, dim)`` for rewards.
    """
    longest = int(dialogues.answer.mask.sum(-1).max()) + 8
    sampling = SamplingConfig(temperature=settings.temperature, max_new_tokens=settings.max_new_tokens or longest)
    for start, stop in batch_bounds(len(dialogues), settings.batch_size):
        batch = dialogues.select(slice(start, stop))
        yield from _answer_batch(model, tokenizer, batch, (start, stop), sampling, embedding, settings, seed)


def _answer_batch(
    model: RxT,
    tokenizer: DialogueTokenizer,
    batch: DialogueTensors,
    rows: tuple[int, int],
    sampling: SamplingConfig,
    embedding: Tensor | None,
    settings: EvaluationSettings,
    seed: int,
) -> Iterator[AnsweredStep]:
    count = len(batch)
    device = model.device
    controls = settings.controls if count > 1 else tuple(name for name in settings.controls if name != "swapped")
    with inference(model):
        initial = model.initial_memory(count, seeds=[key(seed, "memory", row) for row in range(*rows)])
    memory = initial
    turns = batch.interactions()
    ids, mask = turns.ids[:, 0], turns.mask[:, 0]
    history: list[TokenText] = []
    for step in range(1, batch.steps + 1):
        ids, mask = trim(ids, mask)
        history.append(tokenizer.token_text(ids, mask))
        with inference(model):
            memory = model.write(memory, ids.to(device), mask.to(device))
        asked = batch.query.part(slice(None), step)
        times = 1 + len(controls)
        seeds = [key(seed, "answer", row, step) for row in range(*rows)]
        answers = generate(
            model,
            asked.ids.repeat(times, 1).to(device),
            asked.mask.repeat(times, 1).to(device),
            read_memories(memory, initial, controls),
            sampling,
            seeds=seeds * times,
            eos_id=tokenizer.eos_id,
        )
        parts = list(map(Tokens, answers.ids.cpu().split(count), answers.mask.cpu().split(count)))
        query = tokenizer.token_text(*asked)
        reference = tokenizer.token_text(*batch.answer.part(slice(None), step))
        contexts = [
            by_own_words(
                RewardContext(
                    query=query,
                    generated=tokenizer.token_text(*part),
                    reference=reference,
                    history=tuple(history),
                    asks=tuple(asks[step] for asks in batch.asks),
                    step=step,
                    steps=batch.steps,
                    strategy=batch.strategy,
                    mode=mode_of(batch.strategy, step, batch.steps),
                    embedding=embedding,
                )
            )
            for part in parts
        ]
        yield AnsweredStep(rows, step, contexts[0], dict(zip(controls, contexts[1:], strict=True)))
        if settings.teacher_forcing:
            ids, mask = turns.ids[:, step], turns.mask[:, step]
        else:
            written = join(asked, parts[0])
            ids, mask = written.ids, written.mask
