"""Stage 4: the whole model learns to answer from the memory that it wrote.

Encode all - scan memory - decode all: one encoder call over (dialogues x interactions), a scan of as many memory
updates, one decoder call over (dialogues x answers). Interaction t is answered from the memory into which the
interactions before it were written with their reference answers.

Departures from RXT 3.4: gradients run through the whole scan, so that a write is credited for every later answer
that it helped (published: it learns from the next answer alone; ``truncate: 1`` gives that); one optimizer step per
batch of dialogues; the loss counts answer tokens only, [EOS] included.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..model import RxT
from ..model.scan import flow, memory_rows
from ..texts import trim
from .config import MemoryAwareSettings
from .losses import IGNORED, next_token_labels, token_loss
from .objectives import StageModel, StageOutput, generator_for, ratio


class MemoryAwareModel(StageModel):
    """The RxT with the loss of stage 4.

    Args:
        rxt: the model.
        settings: of the stage.
    """

    def __init__(self, rxt: RxT, settings: MemoryAwareSettings) -> None:
        super().__init__(rxt)
        self.settings = settings

    def forward(self, ids: Tensor, mask: Tensor, answer_mask: Tensor, row_seeds: Tensor, draw: Tensor) -> StageOutput:
        """Loss of a batch of dialogues, ``(rows, 1 + steps, tokens)``."""
        settings = self.settings
        rows = ids.shape[0]
        memory = self.rxt.initial_memory(rows, seeds=row_seeds.tolist())
        written, written_mask = trim(ids[:, :-1], mask[:, :-1])
        memories = self.rxt.scan(memory, written, written_mask, flow(settings.truncate, settings.bounded))
        start = 0 if settings.first_interaction else 1
        asked, asked_mask = trim(ids[:, start:], mask[:, start:])
        counted = answer_mask[:, start:, : asked.shape[-1]]
        read = memory_rows(memories[start:])
        labels = next_token_labels(asked, counted).flatten(0, 1)
        query_labels = next_token_labels(asked, asked_mask & ~counted).flatten(0, 1)
        keep = labels != IGNORED
        if settings.query_weight:
            keep = keep | (query_labels != IGNORED)
        output = self.rxt.decode_output(asked.flatten(0, 1), read, asked_mask.flatten(0, 1), keep=keep)
        nll, correct, tokens = token_loss(output.logits, labels[keep])
        loss = nll
        if output.router_loss is not None:
            loss = loss + settings.router_weight * output.router_loss
        sums = {"loss": ratio(nll * tokens, tokens), "accuracy": ratio(correct, tokens)}
        if settings.query_weight:
            query_nll, _, query_tokens = token_loss(output.logits, query_labels[keep])
            loss = loss + settings.query_weight * query_nll
            sums["query_loss"] = ratio(query_nll * query_tokens, query_tokens)
        if settings.retell_weight:
            told = int(torch.randint(written.shape[1], (), generator=generator_for(draw)))
            told_nll, told_tokens = self._retold(written[:, told], written_mask[:, told], memories[told + 1])
            loss = loss + settings.retell_weight * told_nll
            sums["retell_loss"] = ratio(told_nll * told_tokens, told_tokens)
        sums["memory_change"] = ratio((memories[1:] - memories[:-1]).detach().float().square().mean().sqrt(), 1)
        return {"loss": loss, "sums": sums}

    def _retold(self, ids: Tensor, mask: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy of interactions ``(rows, tokens)``, read from ``memory``, and the number of tokens."""
        ids, mask = trim(ids, mask)
        labels = next_token_labels(ids, mask)
        keep = labels != IGNORED
        nll, _, tokens = token_loss(self.rxt.decode(ids, memory, mask, keep), labels[keep])
        return nll, tokens
