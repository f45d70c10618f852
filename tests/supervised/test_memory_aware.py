from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from rxt_mrl.model.scan import Truncated, flow
from rxt_mrl.supervised.batches import BatchData, BatchPlan
from rxt_mrl.supervised.config import MemoryAwareSettings
from rxt_mrl.supervised.memory_aware import MemoryAwareModel


@pytest.fixture
def batch(dialogues):
    return BatchData(dialogues, seed=0).__getitems__([BatchPlan(0, (0, 1, 2), 3)])


def loss_of(model, batch, **settings):
    return MemoryAwareModel(model, MemoryAwareSettings(updates=1, **settings))(**batch)["loss"]


@pytest.mark.parametrize("first", [False, True])
def test_encode_all_scan_decode_all_equals_one_interaction_after_the_other(model, dialogues, batch, first):
    total, count = 0.0, 0
    turns = dialogues.select([0, 1, 2]).interactions()
    memory = model.initial_memory(3, seeds=batch["row_seeds"].tolist())
    for turn in range(4):
        ids, mask, answers = (part[:, turn] for part in (turns.ids, turns.mask, turns.answer_mask))
        if turn or first:
            log_probs = model.decode(ids, memory).log_softmax(-1)
            for row in range(3):
                for position in answers[row].nonzero().flatten().tolist():
                    total -= log_probs[row, position - 1, ids[row, position]]
                    count += 1
        memory = model.write(memory, ids, mask)
    torch.testing.assert_close(loss_of(model, batch, first_interaction=first), total / count, rtol=1e-4, atol=1e-5)


def test_the_last_answer_teaches_the_first_write(model, batch):
    """A write is credited for every later answer - unless the gradient is truncated."""
    memory = model.initial_memory(3)
    ids, mask = batch["ids"][:, :-1], batch["mask"][:, :-1]
    for truncate, reached in ((None, True), (1, False)):
        memory = model.initial_memory(3).detach().requires_grad_()
        last = model.scan(memory, ids, mask, flow(truncate, False))[-1]
        (gradient,) = torch.autograd.grad(last.sum(), memory, allow_unused=True)
        assert (gradient is not None and bool(gradient.abs().sum() > 0)) is reached
    full = model.scan(memory, ids, mask)
    torch.testing.assert_close(model.scan(memory, ids, mask, Truncated(1)), full)
    torch.testing.assert_close(model.scan(memory, ids, mask, Truncated(2)), full)


def test_padding_changes_nothing(model, batch):
    wide = {name: F.pad(batch[name], (0, 7)) for name in ("ids", "mask", "answer_mask")}
    torch.testing.assert_close(loss_of(model, {**batch, **wide}), loss_of(model, batch))


def test_only_answers_count_and_the_end_is_one_of_their_tokens(model, batch, tokenizer):
    output = MemoryAwareModel(model, MemoryAwareSettings(updates=1))(**batch)
    asked, answered = batch["ids"][:, 1:], batch["answer_mask"][:, 1:]
    assert output["sums"]["accuracy"][1] == answered.sum()
    assert (asked[answered] == tokenizer.eos_id).sum() == 9


def test_a_question_tokens_loss_can_be_added(model, batch):
    output = MemoryAwareModel(model, MemoryAwareSettings(updates=1, query_weight=0.5))(**batch)
    plain = loss_of(model, batch)
    query = output["sums"]["query_loss"]
    torch.testing.assert_close(output["loss"], plain + 0.5 * query[0] / query[1])
    assert query[1] == (batch["mask"] & ~batch["answer_mask"])[:, 1:].sum() - 9  # [BOS] is predicted by nothing


def test_telling_one_interaction_again_can_be_added(model, batch):
    seen = set()
    memories, losses = [model.initial_memory(3, seeds=batch["row_seeds"].tolist())], []
    for turn in range(3):  # the last interaction is not written
        ids, mask = batch["ids"][:, turn], batch["mask"][:, turn]
        memories.append(model.write(memories[-1], ids, mask))
        log_probs = model.decode(ids, memories[-1]).log_softmax(-1)
        told = [log_probs[row, at, ids[row, at + 1]] for row, at in mask[:, 1:].nonzero().tolist()]
        losses.append((-torch.stack(told).mean(), len(told)))
    for draw in range(8):
        output = MemoryAwareModel(model, MemoryAwareSettings(updates=1, retell_weight=0.5))(
            **{**batch, "draw": torch.tensor(draw)}
        )
        total, count = output["sums"]["retell_loss"]
        (turn,) = (at for at, (_, tokens) in enumerate(losses) if tokens == count)
        torch.testing.assert_close(total / count, losses[turn][0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(output["loss"], loss_of(model, batch) + 0.5 * total / count)
        seen.add(turn)
    assert seen == {0, 1, 2}, "by lot"
    assert "retell_loss" not in MemoryAwareModel(model, MemoryAwareSettings(updates=1))(**batch)["sums"]


def test_rows_do_not_leak_into_each_other(model, batch):
    changed = {name: value.clone() for name, value in batch.items()}
    changed["ids"][1:, 0, 2:6] = 20
    one = {name: value[:1] if value.dim() else value for name, value in changed.items()}
    same = {name: value[:1] if value.dim() else value for name, value in batch.items()}
    torch.testing.assert_close(loss_of(model, one), loss_of(model, same))
