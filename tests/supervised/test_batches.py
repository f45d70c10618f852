from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard

from rxt_mrl.supervised.batches import (
    BatchData,
    BatchPlan,
    BatchSampler,
    DialoguesBySteps,
    EndlessDialogues,
    data_lengths,
)
from rxt_mrl.supervised.rows import interaction_rows, text_rows


def plans(sampler):
    return [plan for (plan,) in sampler]


def test_every_row_is_used_in_every_pass_and_no_partial_batch_is_dropped():
    found = plans(BatchSampler(10, 6, 4, seed=1))
    for epoch in (0, 1):
        batches = found[3 * epoch : 3 * epoch + 3]
        assert [len(plan.rows) for plan in batches] == [4, 4, 2]
        assert sorted(row for plan in batches for row in plan.rows) == list(range(10))
    assert found[0].rows != found[3].rows


def test_order_depends_on_the_seed_alone():
    assert plans(BatchSampler(10, 6, 4, seed=1)) == plans(BatchSampler(10, 6, 4, seed=1))
    assert plans(BatchSampler(10, 6, 4, seed=1)) != plans(BatchSampler(10, 6, 4, seed=2))


def test_rows_of_like_length_come_together():
    lengths = np.arange(64)[::-1]
    found = plans(BatchSampler(64, 8, 8, seed=0, lengths=lambda _: lengths, window=8))
    assert sorted(row for plan in found for row in plan.rows) == list(range(64))
    assert all(max(plan.rows) - min(plan.rows) == 7 for plan in found)
    assert [plan.rows[0] for plan in found] != sorted((plan.rows[0] for plan in found), reverse=True)


def test_rows_are_alike_in_what_is_used_of_them():
    lengths = {1: np.arange(64), 2: np.arange(64) % 8}
    steps = lambda number: 1 if number < 4 else 2  # noqa: E731
    found = plans(BatchSampler(64, 16, 8, seed=0, lengths=lengths.__getitem__, window=4, steps=steps))
    for window in range(4):
        batches = found[4 * window : 4 * window + 4]
        tokens = sorted(sorted(int(lengths[plan.steps][row]) for row in plan.rows) for plan in batches)
        assert all(most[-1] <= least[0] for most, least in pairwise(tokens)), "each batch holds the next longest"
    for epoch in (found[:8], found[8:]):
        assert sorted(row for plan in epoch for row in plan.rows) == list(range(64))


def test_lengths_are_those_of_the_follow_ups_in_use(dialogues):
    long, short = dialogues.select(range(3)), dialogues.select(range(5), steps=1)
    for data in (DialoguesBySteps({long.steps: long, 1: short}), dialogues):
        lengths = data_lengths(data)
        for steps in (1, None):
            rows = [data.select([row], steps=steps).interactions().mask for row in range(len(data))]
            assert lengths(steps).tolist() == [int(row.sum(-1).max()) for row in rows]
    assert data_lengths(EndlessDialogues(lambda number: dialogues, chunk=4)) is None


def test_steps_follow_the_number_of_the_batch():
    found = plans(BatchSampler(10, 4, 4, seed=0, steps=lambda number: 1 + number % 2))
    assert [plan.steps for plan in found] == [1, 2, 1, 2]


def test_processes_share_the_batches_out():
    sampler = BatchSampler(10, 6, 4, seed=1)
    shards = [[plan for (plan,) in BatchSamplerShard(sampler, 2, number)] for number in (0, 1)]
    whole = plans(sampler)
    assert shards == [whole[0::2], whole[1::2]]


def test_a_batch_is_trimmed_and_keyed_by_its_number(dialogues):
    data = BatchData(dialogues, seed=3)
    batch = data.__getitems__([BatchPlan(5, (0, 1), 2)])
    again = data.__getitems__([BatchPlan(5, (0, 1), 2)])
    other = data.__getitems__([BatchPlan(6, (0, 1), 2)])
    assert batch["ids"].shape[:2] == (2, 3)
    assert batch["mask"].any(0).any(0).all()
    assert torch.equal(batch["row_seeds"], again["row_seeds"])
    assert batch["draw"] != other["draw"]
    assert len(set(batch["row_seeds"].tolist() + other["row_seeds"].tolist())) == 4


def test_endless_dialogues_are_made_chunk_by_chunk(dialogues):
    made = []

    def generate(number):
        made.append(number)
        return dialogues.select(range(4))

    endless = EndlessDialogues(generate, chunk=4)
    sampler = BatchSampler(None, 5, 2, seed=0)
    data = BatchData(endless, seed=0)
    for plan in islice(plans(sampler), 5):
        assert data.__getitems__([plan])["ids"].shape[0] == 2
    assert made == [0, 1, 2]
    with pytest.raises(ValueError, match="one chunk"):
        endless.select([3, 4])


def test_dialogues_of_each_number_of_steps_are_sets_of_their_own(dialogues):
    long, short = dialogues.select(range(3)), dialogues.select(range(5), steps=1)
    data = DialoguesBySteps({long.steps: long, 1: short})
    assert (len(data), data.steps) == (5, long.steps)
    assert torch.equal(data.select([4, 2], steps=1).query.ids, short.select([4, 2]).query.ids)
    assert torch.equal(data.select([4, 2]).query.ids, long.select([1, 2]).query.ids), "4 is 1 of three"
    batch = BatchData(data, 0).__getitems__([BatchPlan(0, (0, 1), 1)])
    assert batch["ids"].shape[:2] == (2, 2)


def test_interactions_and_texts_as_rows(dialogues, tokenizer):
    rows = interaction_rows(dialogues)
    assert len(rows) == len(dialogues) * (1 + dialogues.steps)
    assert rows.answer_mask.any(-1).all()
    ids = rows.select([1]).ids[0].tolist()
    assert ids[:2] == [tokenizer.bos_id, tokenizer.query_id]
    assert ids[-1] == tokenizer.eos_id
    texts = text_rows(["The hat is red.", "", "The car is blue and the ball is pink."], tokenizer, max_tokens=8)
    assert len(texts) == 2
    assert texts.ids[0, 0] == tokenizer.bos_id
    assert int(texts.lengths.max()) == 8
    assert texts.select([0]).ids[0, -1] == tokenizer.eos_id


def test_a_long_text_in_rows_of_even_length(tokenizer):
    long = "The car is blue and the ball is pink. " * 5
    rows = text_rows([long, "The hat is red."], tokenizer, max_tokens=16, whole=True)
    tokens = [tokenizer.bos_id, *tokenizer.encode_text(long), tokenizer.eos_id]
    *parts, last = [rows.select([row]) for row in range(len(rows))]
    assert [token for part in parts for token in part.ids[part.mask].tolist()] == tokens, "nothing is left out"
    assert int(last.mask.sum()) < 16
    lengths = [int(part.mask.sum()) for part in parts]
    assert max(lengths) == lengths[0] <= 16, "even, not full ones and a rest"
    assert len(lengths) == -(-len(tokens) // 16)
