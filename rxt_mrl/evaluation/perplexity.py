"""Perplexity and accuracy of the reference answers, teacher-forced, over answer tokens with [EOS]."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..dialogues.batching import DialogueTensors
from ..model import RxT, inference
from ..model.scan import memory_rows
from ..seeding import key
from ..supervised.losses import next_token_labels, token_loss
from .controls import batch_bounds


class TokenMetrics(NamedTuple):
    """Of the answers of all follow-ups: ``ppl`` >= 1, share of tokens predicted right, tokens counted."""

    ppl: float
    accuracy: float
    tokens: int


def token_metrics(model: RxT, dialogues: DialogueTensors, *, batch_size: int = 100, seed: int = 0) -> TokenMetrics:
    """PPL and accuracy when every interaction is written to memory with its reference answer."""
    nll = correct = tokens = 0.0
    with inference(model):
        for start, stop in batch_bounds(len(dialogues), batch_size):
            turns = dialogues.select(slice(start, stop)).interactions().to(model.device)
            ids, mask, answer_mask = turns.ids, turns.mask, turns.answer_mask
            memory = model.initial_memory(stop - start, seeds=[key(seed, "memory", row) for row in range(start, stop)])
            memories = model.scan(memory, ids[:, :-1], mask[:, :-1])
            read = memory_rows(memories[1:])
            logits = model.decode(ids[:, 1:].flatten(0, 1), read, mask[:, 1:].flatten(0, 1))
            labels = next_token_labels(ids[:, 1:], answer_mask[:, 1:]).flatten(0, 1)
            mean, right, counted = token_loss(logits, labels)
            nll += float(mean * counted)
            correct += float(right)
            tokens += float(counted)
    return TokenMetrics(math.exp(min(nll / tokens, 50.0)), correct / tokens, int(tokens))
