"""Temperature, filters, log-probabilities and inverse-CDF sampling, against slow and obvious implementations."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rxt_mrl import seeding
from rxt_mrl.errors import UserError
from rxt_mrl.model.sampling import SamplingConfig, filtered_log_probs, sample


def obvious(logits: torch.Tensor, temperature: float, top_k: int | None, top_p: float | None) -> list[float]:
    """Probabilities of one distribution, by the textbook, one token at a time."""
    weights = [math.exp(value / temperature) for value in logits.double().tolist()]
    order = sorted(range(len(weights)), key=lambda token: -weights[token])
    order = order[: top_k or len(order)]
    total = sum(weights[token] for token in order)
    kept, mass = [], 0.0
    for token in order:
        kept.append(token)
        mass += weights[token] / total
        if top_p is not None and mass >= top_p:
            break
    total = sum(weights[token] for token in kept)
    return [weights[token] / total if token in kept else 0.0 for token in range(len(weights))]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    vocab=st.integers(2, 400),
    temperature=st.floats(0.2, 3.0),
    top_k=st.none() | st.integers(1, 450),
    top_p=st.none() | st.floats(0.05, 1.0),
)
def test_distribution_equals_the_textbook(
    seed: int, vocab: int, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    logits = 2 * torch.randn(2, vocab, generator=torch.Generator().manual_seed(seed))
    config = SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p)
    got = filtered_log_probs(logits, config).exp()
    want = torch.tensor([obvious(row, temperature, top_k, top_p) for row in logits])
    differs = (got - want).abs().amax(-1) > 1e-4
    if differs.any():  # a cumulative probability that equals top_p to the last bits may fall on either side
        assert top_p is not None
        support = ((got > 0).sum(-1) - (want > 0).sum(-1)).abs()
        assert bool((support[differs] == 1).all())
        assert bool((want.sort(descending=True).values.cumsum(-1) - top_p).abs().amin() < 1e-5)


def test_token_that_crosses_top_p_is_kept() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    assert filtered_log_probs(logits, SamplingConfig(top_p=0.6)).exp().tolist()[0] == pytest.approx([0.625, 0.375, 0])
    assert filtered_log_probs(logits, SamplingConfig(top_p=0.01)).exp().tolist()[0] == pytest.approx([1, 0, 0])


def test_flat_distribution_needs_more_than_the_first_guess() -> None:
    logits = torch.linspace(0, 1e-3, 2000).expand(2, -1)
    assert int((filtered_log_probs(logits, SamplingConfig(top_p=0.9)) > -math.inf).sum()) in range(3598, 3604)


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7}, {"top_k": 3}, {"top_p": 0.7}, {"top_k": 5, "top_p": 0.8}]
)
def test_samples_follow_the_distribution_and_report_its_log_probs(options: dict) -> None:
    config = SamplingConfig(**options)
    logits = 1.5 * torch.randn(1, 12, generator=torch.Generator().manual_seed(1))
    rows = 40_000
    uniforms = (torch.arange(rows) + 0.5) / rows
    drawn = sample(logits.expand(rows, -1), config, uniforms)
    expected = filtered_log_probs(logits, config)[0]
    frequency = torch.bincount(drawn.ids, minlength=12) / rows
    torch.testing.assert_close(frequency, expected.exp(), atol=1e-4, rtol=0)
    torch.testing.assert_close(drawn.log_probs, expected[drawn.ids], atol=1e-5, rtol=1e-5)
    assert bool(drawn.log_probs.isfinite().all())


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-24])
def test_extreme_uniforms_never_pick_a_filtered_token(uniform: float) -> None:
    logits = torch.randn(64, 7500, generator=torch.Generator().manual_seed(0))
    logits[:, 0] = logits[:, -1] = -50.0  # filtered at both ends
    drawn = sample(logits, SamplingConfig(top_k=40), torch.full((64,), uniform))
    assert bool((filtered_log_probs(logits, SamplingConfig(top_k=40)).gather(1, drawn.ids[:, None]) > -20).all())


def test_greedy() -> None:
    logits = torch.randn(5, 30, generator=torch.Generator().manual_seed(3))
    greedy = SamplingConfig(temperature=0)
    drawn = sample(logits, greedy)
    assert torch.equal(drawn.ids, logits.argmax(-1))
    assert drawn.log_probs.tolist() == [0.0] * 5
    scores = filtered_log_probs(logits, greedy)
    assert bool((scores.gather(1, drawn.ids[:, None]) == 0).all())
    assert int((scores > -math.inf).sum()) == 5


def test_rows_do_not_depend_on_their_neighbours() -> None:
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(4))
    uniforms = seeding.uniforms(range(6), 1, "test")[:, 0]
    config = SamplingConfig(temperature=1.3, top_p=0.9)
    together = sample(logits, config, uniforms)
    order = torch.tensor([4, 1, 3])
    apart = sample(logits[order], config, uniforms[order])
    assert torch.equal(apart.ids, together.ids[order])
    assert torch.equal(apart.log_probs, together.log_probs[order])


def test_kept_token_stays_finite_and_has_a_gradient() -> None:
    config = SamplingConfig(top_k=2)
    logits = torch.tensor([[[3.0, 2.0, 1.0, 0.0]]], requires_grad=True)
    keep = torch.tensor([[3]])
    assert filtered_log_probs(logits, config)[0, 0, 3] == -math.inf
    scores = filtered_log_probs(logits, config, keep)
    want = torch.log_softmax(torch.tensor([3.0, 2.0, 0.0]), 0)
    torch.testing.assert_close(scores[0, 0, [0, 1, 3]], want)
    scores[0, 0, 3].backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    # A token that passes the filters anyway changes nothing.
    plain = filtered_log_probs(logits, config)
    torch.testing.assert_close(filtered_log_probs(logits, config, torch.tensor([[1]])), plain)


def test_half_precision_logits_are_scored_in_float32() -> None:
    logits = torch.randn(3, 100, generator=torch.Generator().manual_seed(5)).bfloat16()
    scores = filtered_log_probs(logits, SamplingConfig(temperature=0.9, top_p=0.95))
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(3))


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1}, {"temperature": math.inf}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}, {"max_new_tokens": 0},
     {"topk": 3}],
)  # fmt: skip
def test_wrong_settings_are_refused(options: dict) -> None:
    with pytest.raises(ValidationError):
        SamplingConfig(**options)


def test_bad_input_is_one_line() -> None:
    logits, config = torch.zeros(2, 5), SamplingConfig()
    bad = [
        lambda: filtered_log_probs(torch.zeros(2, 5, dtype=torch.long), config),
        lambda: filtered_log_probs(logits, config, torch.tensor([1])),
        lambda: filtered_log_probs(logits, config, torch.tensor([1, 5])),
        lambda: filtered_log_probs(logits, SamplingConfig(temperature=0), torch.tensor([1, 2])),
        lambda: sample(logits, config),
        lambda: sample(logits, config, torch.zeros(3)),
        lambda: sample(logits[0], config, torch.zeros(5)),
        lambda: sample(logits * math.nan, config, torch.zeros(2)),
        lambda: sample(logits * math.nan, SamplingConfig(temperature=0)),
    ]
    for call in bad:
        with pytest.raises(UserError) as error:
            call()
        assert "\n" not in str(error.value)
