import math

import pytest
import torch

from rxt_mrl.mrl import objectives


def _case():
    old = torch.tensor([[-1.0, -2.0, 0.0], [-0.5, 0.0, 0.0]])
    new = torch.tensor([[-1.0, -2.5, 7.0], [-0.1, 7.0, 7.0]], requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    return new, old, mask


def test_surrogate_and_its_gradient_by_hand():
    new, old, mask = _case()
    advantages = torch.tensor([2.0, 1.0])
    loss = objectives.clipped_surrogate(new, old, advantages, mask, clip=0.2)
    # Ratios 1, exp(-0.5), exp(0.4): the last is clipped at 1.2 and has no gradient.
    down = math.exp(-0.5)
    assert loss.item() == pytest.approx(-(2 * 1 + 2 * down + 1.2) / 3)
    loss.backward()
    expected = torch.tensor([[-2 / 3, -2 * down / 3, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(new.grad, expected)


def test_a_negative_advantage_is_clipped_on_the_other_side():
    new, old, mask = _case()
    loss = objectives.clipped_surrogate(new, old, torch.tensor([-2.0, -1.0]), mask, clip=0.2)
    # Ratio exp(-0.5) < 0.8 is clipped (no gradient), exp(0.4) is not: the pessimistic side.
    assert loss.item() == pytest.approx((2 * 1 + 2 * 0.8 + math.exp(0.4)) / 3)
    loss.backward()
    assert new.grad[0, 1] == 0
    assert new.grad[1, 0].item() == pytest.approx(math.exp(0.4) / 3)


def test_mean_per_answer_weighs_answers_alike():
    values = torch.tensor([[1.0, 3.0, 50.0], [5.0, 50.0, 50.0], [50.0, 50.0, 50.0]])
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    assert objectives.masked_mean(values, mask).item() == 3.0
    assert objectives.masked_mean(values, mask, "answer").item() == 3.5
    values[2] = math.nan
    assert objectives.masked_mean(values, mask, "answer").item() == 3.5


def test_k3_estimates_the_divergence():
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(5, generator=generator).log_softmax(-1)
    q = (p + 0.3 * torch.randn(5, generator=generator)).log_softmax(-1)
    drawn = torch.multinomial(p.exp(), 200_000, replacement=True, generator=generator)
    estimate = objectives.k3(p[drawn], q[drawn], torch.ones(200_000, dtype=torch.bool))
    exact = (p.exp() * (p - q)).sum()
    assert estimate.item() == pytest.approx(exact.item(), rel=0.03)
    assert objectives.k3(p, p, torch.ones(5, dtype=torch.bool)).item() == 0


def test_entropy_survives_filtered_tokens():
    logits = torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf]], requires_grad=True)
    value = objectives.entropy(logits.log_softmax(-1))
    assert value.item() == pytest.approx(math.log(2))
    value.sum().backward()
    assert logits.grad.isfinite().all()


def test_clip_fraction_counts_answer_tokens_only():
    new, old, mask = _case()
    assert objectives.clip_fraction(new.detach(), old, mask, 0.2).item() == pytest.approx(2 / 3)
