"""The RxT as a subject: its state is its memory ``(layers, rows, slots, dim)``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...dialogues.template import TokenRows, join
from ...dialogues.tokenizer import DialogueTokenizer
from ...model import RxT, inference
from ...model.device import Precision, computing
from ...model.generation import generate
from ...model.sampling import SamplingConfig
from ...texts import Tokens
from ..config import CONTROLS
from .protocol import Answers, Reading, Turn


class RxTSubject:
    """A Reactive Transformer: it reads one interaction at a time and answers from memory.

    Args:
        model: on any device; used in eval mode and left in the mode that it was in.
        tokenizer: of the model.
        name: what reports call it.
        precision: of what it computes; memories and log-probabilities are float32.
    """

    controls = CONTROLS

    def __init__(
        self, model: RxT, tokenizer: DialogueTokenizer, name: str = "RxT", precision: Precision = "float32"
    ) -> None:
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.precision: Precision = precision

    def about(self) -> dict[str, Any]:
        """Kind, parameters and size of the memory."""
        return {
            "kind": "rxt",
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "slots": self.model.config.slots,
        }

    @property
    def window(self) -> int:
        """Tokens of an interaction, at most."""
        return self.model.config.max_tokens

    def start(self, rows: int, seeds: Sequence[int]) -> Tensor:
        """The initial memory."""
        with self._inference():
            return self.model.initial_memory(rows, seeds=seeds).detach()

    def write(self, state: Tensor, turn: Turn) -> Tensor:
        """Encode the interaction and write it to memory."""
        rows = self._interactions(turn)
        with self._inference():
            return self.model.write(state, rows.ids, rows.mask)

    def answer(self, state: Tensor, turn: Turn, sampling: SamplingConfig, seeds: Sequence[int]) -> Answers:
        """Answer from memory; what was told before is not at hand."""
        query = turn.query.to(self.model.device)
        with self._inference():
            found = generate(
                self.model, query.ids, query.mask, state, sampling, seeds=seeds, eos_id=self.tokenizer.eos_id
            )
        return Answers(Tokens(found.ids.cpu(), found.mask.cpu()), np.zeros(len(turn), dtype=np.int64))

    def read(self, state: Tensor, turn: Turn) -> Reading:
        """One pass of the decoder over query and answer."""
        rows = self._interactions(turn)
        keep = torch.cat([rows.answer_mask[:, 1:], torch.zeros_like(rows.answer_mask[:, :1])], 1)
        with self._inference():
            logits = self.model.decode(rows.ids, state, rows.mask, keep)
        return reading(logits, rows.ids[rows.answer_mask], rows.answer_mask.sum(1))

    def pick(self, state: Tensor, rows: Sequence[int]) -> Tensor:
        """Memories of some rows."""
        return state[:, list(rows)]

    def join(self, states: Sequence[Tensor]) -> Tensor:
        """Memories one after the other."""
        return torch.cat(list(states), dim=1)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        with inference(self.model), computing(self.precision, self.model.device):
            yield

    def _interactions(self, turn: Turn) -> TokenRows:
        return join(turn.query, turn.answer).to(self.model.device)


def reading(logits: Tensor, answers: Tensor, counts: Tensor) -> Reading:
    """From logits to bits per row.

    Args:
        logits: ``(tokens, vocab)``, at the places that predict the answers' tokens, row after row.
        answers: long ``(tokens,)``, what was to be predicted.
        counts: long ``(rows,)``, tokens of each row.
    """
    log_probs = logits.float().log_softmax(-1).gather(-1, answers.unsqueeze(-1)).squeeze(-1).double()
    row = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    bits = torch.zeros(len(counts), dtype=torch.float64, device=logits.device).index_add_(0, row, -log_probs)
    correct = torch.zeros(len(counts), dtype=torch.long, device=logits.device)
    correct.index_add_(0, row, (logits.argmax(-1) == answers).long())
    return Reading(bits.cpu().numpy() / np.log(2), counts.cpu().numpy(), correct.cpu().numpy())
