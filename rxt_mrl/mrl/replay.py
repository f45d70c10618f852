"""Live the episodes again with gradient: encode all, scan the memory, decode all.

One encoder call over ``episodes x steps`` interactions, a scan of ``steps`` memory updates, one decoder call over the
answers that the update learns from. The gradient of every later answer reaches every write before it (the published
trainer detaches the memory at each step, so a write learns from the next answer only). Runs in eval mode (no dropout),
from the seeds and texts of the rollout, under its temperature and filters: before the first update the
probability ratio is 1 up to rounding.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rxt_mrl.dialogues.template import join
from rxt_mrl.model import RxT
from rxt_mrl.model.device import Precision, computing
from rxt_mrl.model.sampling import SamplingConfig, filtered_log_probs
from rxt_mrl.model.scan import Flow, memory_rows
from rxt_mrl.model.token_log_probs import many, token_log_probs
from rxt_mrl.texts import Tokens

from .answers import Answers
from .objectives import entropy
from .trajectories import Trajectories


@dataclass(frozen=True)
class Replay:
    """Answers as the current model sees them. The n answer tokens stand in row-major order of the answers' mask.

    Attributes:
        distribution: ``(n, vocab)`` log-probabilities at each answer token, tempered and filtered; None where nobody
            asked for it and they would be many.
        log_probs: ``(M, T)`` of the answer tokens; 0 where masked.
        entropy: ``(M, T)`` of the distributions, in nats; 0 where masked. Without gradient where nobody asked for it.
        memories: ``(N + 1, layers, E, slots, dim)``: before the first write that an answer follows, and after each.
        router_loss: of a mixture-of-experts decoder; None without.
    """

    distribution: Tensor | None
    log_probs: Tensor
    entropy: Tensor
    memories: Tensor
    router_loss: Tensor | None


def write_all(model: RxT, batch: Trajectories, flow: Flow | None = None) -> Tensor:
    """Memories ``(N + 1, layers, E, slots, dim)`` of the episodes; entry ``n + 1`` is what answer ``n`` reads.

    Args:
        model: the model.
        batch: the episodes, on the model's device.
        flow: bounds the gradient through the writes (:mod:`rxt_mrl.model.scan`); None: it is whole.
    """
    ids, mask = batch.written_ids, batch.written_mask
    if batch.warmup:
        ids, mask = torch.cat([ids[:, :1], ids], 1), torch.cat([mask[:, :1], mask], 1)
    memory = model.initial_memory(len(batch), seeds=batch.seeds) if batch.start is None else batch.start
    memories = model.scan(memory, ids, mask, flow)
    return memories[1:] if batch.warmup else memories


def score(
    model: RxT, batch: Trajectories, memories: Tensor, rows: Tensor, ids: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor | None]:
    """What the head reads to predict the n tokens of some answers, ``(n, dim)``, and the router loss.

    Args:
        model: the model.
        batch: the episodes, for their queries.
        memories: of :func:`write_all`.
        rows: long ``(M,)``, ``episode * steps + step`` of each answer.
        ids: long ``(M, T)``, the answers.
        mask: bool, same shape.
    """
    query_ids, query_mask = batch.query_ids.flatten(0, 1)[rows], batch.query_mask.flatten(0, 1)[rows]
    joined = join(Tokens(query_ids, query_mask), Tokens(ids, mask))
    # Position p predicts token p + 1.
    keep = torch.cat([joined.answer_mask[:, 1:], torch.zeros_like(joined.answer_mask[:, :1])], dim=1)
    every = memory_rows(memories[1:])
    used, readers = rows.unique(return_inverse=True)
    if len(used) < every.shape[1]:
        every = every.index_select(1, used)
    hidden, router = model.decoder.hidden(
        joined.ids, every, joined.mask, keep, None if len(used) == len(rows) else readers
    )
    return hidden, None if router is None else router.loss


def replay(
    model: RxT,
    batch: Trajectories,
    answers: Answers,
    sampling: SamplingConfig,
    flow: Flow | None = None,
    whole: bool = False,
    precision: Precision = "float32",
) -> Replay:
    """Score answers of the episodes under the current model, with gradient through every write.

    Args:
        model: in eval mode.
        batch: the episodes, on the model's device.
        answers: which of their answers.
        sampling: the settings under which the answers were drawn.
        flow: see :func:`write_all`.
        whole: whether the whole distributions are asked for, with gradient.
        precision: of encoding, writing and reading; the head is float32.
    """
    with computing(precision, model.device):
        memories = write_all(model, batch, flow)
        rows = answers.episode * batch.steps + answers.step
        hidden, router = score(model, batch, memories, rows, answers.ids, answers.mask)
    tokens, distribution = answers.ids[answers.mask], None
    if not whole and _in_pieces(model, hidden, sampling):
        normed = model.decoder.head_norm(hidden)
        chosen, spreads = token_log_probs(normed, model.decoder.head, tokens, sampling.temperature)
    else:
        distribution = filtered_log_probs(model.decoder.logits(hidden), sampling, keep=tokens)
        chosen = distribution.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        with nullcontext() if whole else torch.no_grad():
            spreads = entropy(distribution)
    return Replay(distribution, spread(chosen, answers.mask), spread(spreads, answers.mask), memories, router)


def _in_pieces(model: RxT, hidden: Tensor, sampling: SamplingConfig) -> bool:
    """Whether the log-probabilities may be computed without the logits of all tokens at once, and should."""
    exact = hidden.dtype == model.decoder.head.weight.dtype == torch.float32
    plain = exact and not torch.is_autocast_enabled(hidden.device.type) and not sampling.filters
    return plain and many(len(hidden), model.config.vocab_size)


def spread(values: Tensor, mask: Tensor) -> Tensor:
    """Values ``(n, ...)`` of the True places of a mask, in its shape, with zeros elsewhere."""
    out = torch.zeros(*mask.shape, *values.shape[1:], dtype=values.dtype, device=values.device)
    index = mask.nonzero(as_tuple=True)
    return out.index_put(index, values)


def supervised_loss(model: RxT, batch: Trajectories, memories: Tensor) -> Tensor:
    """Mean cross-entropy, per token, of the reference answers read from the memories of the rollout."""
    ids, mask = batch.reference_ids.flatten(0, 1), batch.reference_mask.flatten(0, 1)
    hidden, _ = score(model, batch, memories, torch.arange(len(ids), device=ids.device), ids, mask)
    return cross_entropy(model.decoder.logits(hidden).float(), ids[mask])
