"""Replaying many answers in pieces gives what all at once gives."""

import pytest
import torch

from rxt_mrl.model import token_log_probs
from rxt_mrl.mrl import replay as module
from rxt_mrl.mrl.answers import answers_of
from rxt_mrl.mrl.replay import replay, score

from .conftest import SAMPLING


@pytest.fixture
def answers(play, model):
    batch = play(model, answers=4)
    advantages = torch.randn(batch.rewards.shape, generator=torch.Generator().manual_seed(0))
    return batch, answers_of(batch, advantages, drop=True)


def test_logits_in_pieces_give_the_same_gradient(model, answers, monkeypatch):
    def learnt(whole):
        seen = replay(model, *answers, SAMPLING, None, whole)
        assert (seen.distribution is None) != whole
        loss = (seen.log_probs * answers[1].advantages.unsqueeze(-1)).sum()
        named = dict(model.named_parameters())
        return seen, torch.autograd.grad(loss, list(named.values()), allow_unused=True), list(named)

    monkeypatch.setattr(token_log_probs, "_LOGITS", 64)
    (pieces, some, names), (whole, all_at_once, _) = learnt(False), learnt(True)
    torch.testing.assert_close(pieces.log_probs, whole.log_probs)
    torch.testing.assert_close(pieces.entropy, whole.entropy)
    for name, one, other in zip(names, some, all_at_once, strict=True):
        assert (one is None) == (other is None), name
        if one is not None:
            torch.testing.assert_close(one, other, msg=name)


def test_filters_and_few_answers_keep_to_whole_logits(model, answers):
    assert replay(model, *answers, SAMPLING).distribution is not None
    sampling = SAMPLING.model_copy(update={"top_k": 3})
    seen = replay(model, *answers, sampling)
    assert torch.isneginf(seen.distribution).any()
    assert not seen.entropy.requires_grad


def test_the_keys_of_a_memory_are_computed_once_for_all_of_its_answers(model, answers, monkeypatch):
    batch, chosen = answers
    rows = chosen.episode * batch.steps + chosen.step
    memories = module.write_all(model, batch)
    projected = []
    real = model.decoder.memory_kv
    monkeypatch.setattr(model.decoder, "memory_kv", lambda memory: projected.append(memory.shape[1]) or real(memory))
    together, _ = score(model, batch, memories, rows, chosen.ids, chosen.mask)
    assert projected == [len(rows.unique())]
    assert projected[0] < len(rows)
    one_by_one = [
        score(model, batch, memories, row, ids, mask)[0]
        for row, ids, mask in zip(rows.split(1), chosen.ids.split(1), chosen.mask.split(1), strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(one_by_one))
