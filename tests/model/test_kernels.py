"""The compiled loops against plain torch; where they run, and where they do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT, SamplingConfig, filtered_log_probs, generate, kernels, preset
from rxt_mrl.model.config import FeedForwardConfig, MoEConfig
from rxt_mrl.model.device import use_kernels
from rxt_mrl.model.kernel_steps import KernelSteps
from rxt_mrl.model.moe import MoE
from rxt_mrl.model.norms import RMSNorm
from rxt_mrl.model.sampling import sample
from rxt_mrl.model.stepping import TorchSteps

CLOSE = {"atol": 2e-6, "rtol": 2e-5}


def test_where_the_loops_run():
    weight = torch.zeros(1)
    assert not use_kernels(weight)  # gradients
    with torch.no_grad():
        assert use_kernels(weight)
        assert not use_kernels(weight.double())
        assert not use_kernels(weight.bfloat16())
        assert not use_kernels(weight.to("meta"))
        with torch.autocast("cpu", torch.bfloat16):
            assert not use_kernels(weight)


@pytest.mark.parametrize(("dtype", "steps"), [(torch.float32, KernelSteps), (torch.float64, TorchSteps)])
def test_steps_of_each_precision(dtype, steps):
    model = RxT(preset("nano", vocab_size=20)).eval().to(dtype)
    cache = model.decoder.new_cache(1, 4)
    memory_kv = model.decoder.memory_kv_for_steps(model.initial_memory(1))
    ids = torch.tensor([[2, 5]])
    model.decoder.prefill(ids, torch.ones_like(ids, dtype=torch.bool), memory_kv, cache)
    prepared = model.decoder.prepare_steps(cache.capacity)
    assert not model.decoder.step(ids[:, :1], memory_kv, cache, prepared).requires_grad
    assert type(prepared) is steps


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    rows=st.integers(1, 40),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 11)),
    experts=st.integers(1, 6),
    activation=st.sampled_from(sorted(kernels.ACTIVATIONS)),
    gated=st.booleans(),
    bias=st.sampled_from(["local", "global", "off"]),
    data=st.data(),
)
def test_experts_equal_sorted_products(rows, sizes, experts, activation, gated, bias, data):
    top_k = data.draw(st.integers(1, experts))
    torch.manual_seed(rows)
    block = FeedForwardConfig(hidden=sizes[1], activation=activation, gated=gated)
    moe = MoE(sizes[0], block, MoEConfig(experts=experts, top_k=top_k, bias=bias)).eval()
    x, keep = 2 * torch.randn(rows, sizes[0]), torch.rand(rows) < 0.7
    with torch.no_grad():
        for mask in (None, keep):
            want = moe.double()(x.double(), mask)[0].float()
            torch.testing.assert_close(moe.float()(x, mask)[0], want, **CLOSE)


def test_many_rows_go_to_the_matrix_library(monkeypatch):
    moe = MoE(4, FeedForwardConfig(hidden=3), MoEConfig(experts=2, top_k=1)).eval()
    calls = []
    monkeypatch.setattr(kernels, "experts_step", lambda *arguments: calls.append(len(arguments[0])))
    with torch.no_grad():
        moe(torch.randn(64, 4))
        moe(torch.randn(65, 4))
    assert calls == [64]


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 5, 128)])
def test_rms_norm(shape):
    norm = RMSNorm(shape[-1])
    torch.nn.init.normal_(norm.weight)
    x = 3 * torch.randn(shape)
    want = norm(x).detach()
    with torch.no_grad():
        torch.testing.assert_close(norm(x), want, **CLOSE)
        torch.testing.assert_close(norm(x.transpose(0, -1).contiguous().transpose(0, -1)), want, **CLOSE)


@pytest.mark.parametrize("vocab", [1, 5, 128, 129, 1000])
def test_draws_are_those_of_torch(vocab):
    torch.manual_seed(vocab)
    logits, uniforms = 3 * torch.randn(200, vocab), torch.rand(200)
    config = SamplingConfig(temperature=0.7)
    want = sample(logits, config, uniforms)
    with torch.no_grad():
        got = sample(logits, config, uniforms)
    assert (got.ids == want.ids).float().mean() > 0.98  # a uniform on the border of two tokens may fall on either
    exact = filtered_log_probs(logits.double(), config).gather(1, got.ids[:, None]).squeeze(1)
    torch.testing.assert_close(got.log_probs, exact.float(), atol=2e-6, rtol=1e-5)


def test_impossible_tokens_are_never_drawn():
    logits = torch.full((3, 300), -math.inf)
    logits[0, 0] = logits[1, 299] = 0.0
    logits[2, [5, 250]] = 0.0
    last = float(np.nextafter(np.float32(1), np.float32(0)))
    with torch.no_grad():
        for uniform in (0.0, 0.5, last):
            drawn = sample(logits, SamplingConfig(), torch.full((3,), uniform))
            assert drawn.ids[:2].tolist() == [0, 299]
            assert int(drawn.ids[2]) in (5, 250)
            assert drawn.log_probs.tolist() == pytest.approx([0, 0, -math.log(2)])


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_told(wrong):
    logits = torch.zeros(2, 200)
    logits[1, 150] = wrong
    with torch.no_grad(), pytest.raises(UserError, match="logits of row 1 are not finite"):
        sample(logits, SamplingConfig(), torch.rand(2))


@pytest.mark.parametrize(
    "part",
    ["decoder.layers.0.ff.w_in", "decoder.layers.1.attention.kv_proj.weight", "decoder.layers.0.ff.router.weight"],
)
def test_a_nan_among_the_weights_reaches_the_logits(part):
    model = RxT(preset("nano", vocab_size=20, decoder={"moe": {"experts": 2, "top_k": 2}})).eval()
    with torch.no_grad():
        model.get_parameter(part).fill_(math.nan)
    ids = torch.tensor([[2, 5, 6]])
    with pytest.raises(UserError, match="not finite"):
        generate(model, ids, torch.ones_like(ids, dtype=torch.bool), model.initial_memory(1), SamplingConfig())


def test_threads_share_the_rows_and_change_nothing():
    model = RxT(preset("nano", vocab_size=50)).eval()
    ids = torch.randint(7, 50, (70, 6))
    memory = model.initial_memory(70)
    threads, answers = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            mask = torch.ones_like(ids, dtype=torch.bool)
            answers.append(generate(model, ids, mask, memory, SamplingConfig(max_new_tokens=5), seeds=range(70)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(answers[0].ids, answers[1].ids)
    torch.testing.assert_close(answers[0].log_probs, answers[1].log_probs, **CLOSE)


def test_a_graph_that_is_compiled_is_plain_torch():
    model = RxT(preset("nano", vocab_size=30, decoder={"moe": {"experts": 3, "top_k": 2}})).eval()
    ids, memory = torch.randint(7, 30, (2, 5)), model.initial_memory(2)
    with torch.no_grad():
        compiled = torch.compile(model.decode, backend="eager")
        torch.testing.assert_close(compiled(ids, memory), model.decode(ids, memory), **CLOSE)


@pytest.mark.parametrize("vocab", [137, 400, 512])
def test_a_draw_does_not_depend_on_where_arrays_lie(vocab):
    """Free memory is filled with pieces of chance sizes, so that the kernel's own arrays lie next to its arguments."""
    chance = np.random.default_rng(0)
    logits, uniforms = chance.standard_normal((3, vocab)).astype(np.float32), chance.random(3).astype(np.float32)
    sizes, seen, pieces = [vocab, vocab + 3, vocab // 2, 4, 8, 16], set(), []
    for _ in range(400):
        pieces = [piece for piece in pieces if chance.random() < 0.7]
        pieces += [np.full(size, np.nan, np.float32) for size in chance.choice(sizes, chance.integers(6))]
        scores = logits.copy()
        if chance.random() < 0.5:
            pieces.append(scores)
        ids, log_probs, totals = np.zeros(3, np.int64), np.zeros(3, np.float32), np.zeros(3, np.float32)
        kernels.draw_step(scores, 1.0, uniforms, ids, log_probs, totals)
        seen.add((ids.tobytes(), log_probs.tobytes(), totals.tobytes()))
    assert len(seen) == 1
