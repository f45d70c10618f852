from __future__ import annotations

import torch
import torch.nn.functional as F

from rxt_mrl.supervised.losses import (
    IGNORED,
    mask_tokens,
    next_token_labels,
    pool_to_slots,
    repeat_tokens,
    token_loss,
)


def test_token_loss_counts_labelled_positions_only():
    logits = torch.randn(2, 3, 5)
    labels = torch.tensor([[1, IGNORED, 2], [IGNORED, IGNORED, 4]])
    loss, correct, tokens = token_loss(logits, labels)
    kept = labels != IGNORED
    torch.testing.assert_close(loss, F.cross_entropy(logits[kept], labels[kept]))
    assert tokens == 3
    assert correct == (logits[kept].argmax(-1) == labels[kept]).sum()


def test_token_loss_without_labels_is_zero_and_has_a_graph():
    logits = torch.randn(2, 5, requires_grad=True)
    loss, _, _ = token_loss(logits, torch.full((2,), IGNORED))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None


def test_labels_are_the_next_counted_tokens():
    ids = torch.tensor([[5, 6, 7, 8]])
    counted = torch.tensor([[True, False, True, True]])
    assert next_token_labels(ids, counted).tolist() == [[IGNORED, 7, 8, IGNORED]]


def test_every_row_has_a_masked_token_and_padding_is_never_masked():
    ids = torch.full((64, 6), 9)
    mask = torch.arange(6) < torch.arange(64)[:, None] % 6 + 1
    draws = torch.rand(64, 6, generator=torch.Generator().manual_seed(0))
    seen, labels = mask_tokens(ids, mask, draws, share=0.15, mask_id=4)
    hidden = labels != IGNORED
    assert hidden.any(-1).all()
    assert not (hidden & ~mask).any()
    assert torch.equal(seen == 4, hidden)
    assert (labels[hidden] == 9).all()


def test_pooling_is_adaptive_average_pooling_of_the_real_tokens():
    encoded = torch.randn(2, 3, 10, 4)
    lengths = [10, 7, 2]
    mask = torch.arange(10) < torch.tensor(lengths)[:, None]
    pooled = pool_to_slots(encoded, mask, 4)
    for row, length in enumerate(lengths):
        for layer in range(2):
            expected = F.adaptive_avg_pool1d(encoded[layer, row, :length].T[None], 4)[0].T
            torch.testing.assert_close(pooled[layer, row], expected)


def test_padding_of_a_memory_repeats_the_tokens():
    encoded = torch.randn(2, 2, 5, 3)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    repeated = repeat_tokens(encoded, mask)
    assert torch.equal(repeated[:, 0], encoded[:, 0])
    assert torch.equal(repeated[:, 1], encoded[:, 1, [0, 1, 0, 1, 0]])
