"""Properties of every attention type, memory variant and gate, over random small shapes."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rxt_mrl.model import RxT, select_memory_kv
from rxt_mrl.model.presets import build

few = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

ATTENTIONS = {
    "mha": {"type": "mha"},
    "gqa": {"type": "gqa", "groups": 2},
    "mqa": {"type": "mqa"},
    "sqa": {"type": "sqa", "query_groups": 2, "groups": 2},
    "asymmetric sqa": {"type": "sqa", "query_groups": 4, "groups": 2},
    "reversed sqa": {"type": "sqa", "query_groups": 1, "groups": 2},
}
MEMORIES = {
    "simple": {"variant": "simple"},
    "self": {"variant": "self"},
    "interlayer": {"variant": "interlayer"},
    "self-interlayer": {"variant": "self-interlayer"},
    "grouped": {"variant": "self-interlayer", "layer_groups": 2},
    "grouped interlayer": {"variant": "interlayer", "layer_groups": 2},
}
GATES = [
    {"type": "add"},
    {"type": "replace"},
    *(
        {"type": kind, "activation": activation, "per_slot": per_slot, "slot_status": status, "init": -1.0}
        for kind in ("static", "elementwise", "linear")
        for activation in ("sigmoid", "tanh")
        for per_slot in (True, False)
        for status in (("mean", "linear") if kind != "static" else ("mean",))
    ),
]
NORMS = ["classic-rms", "layer", "rms", "adaptive", "positional"]


def make(seed: int = 0, **sections) -> RxT:
    torch.manual_seed(seed)
    sizes = {"vocab_size": 23, "embed_dim": 16, "num_layers": 2, "heads": 4, "slots": 5, "max_tokens": 16}
    small = {"feed_forward": {"hidden": 12}}
    values = {**sizes, "encoder": small, "decoder": small, "initial_memory": {"std": 0.5}, **sections}
    return RxT(build(values)).eval()


def batch(model: RxT, rows: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, model.config.vocab_size, (rows, width), generator=generator)
    lengths = torch.randint(1, width + 1, (rows, 1), generator=generator)
    return ids, torch.arange(width) < lengths


def same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=2e-5)


def check_all(model: RxT, rows: int, width: int, seed: int) -> None:
    """Cached = uncached, batched = single, padded = unpadded, scan = writes, gradients finite."""
    ids, mask = batch(model, rows, width, seed)
    memory = model.initial_memory(rows, seeds=range(rows))
    with torch.no_grad():
        written, logits = model.write(memory, ids, mask), model.decode(ids, memory, mask)
        for row in range(rows):
            alone = slice(row, row + 1)
            length = int(mask[row].sum())
            single, valid = ids[alone, :length], mask[alone, :length]
            same(model.write(memory[:, alone], single, valid), written[:, alone])
            same(model.decode(single, memory[:, alone]), logits[alone, :length])
        # In float32 these are the compiled loops where there are any, in float64 plain torch: each checks the other.
        exact = copy.deepcopy(model).double()
        same(logits[mask], exact.decode(ids, memory.double(), mask)[mask].float())
        check_cached(model, ids, mask, memory, logits)
        check_cached(exact, ids, mask, memory.double(), logits.double())
    turns, valid = torch.stack([ids, ids.flip(0)], 1), torch.stack([mask, mask.flip(0)], 1)
    memories = model.scan(memory, turns, valid)
    same(memories[0], memory)
    same(memories[1], written)
    same(memories[2], model.write(written, ids.flip(0), mask.flip(0)))
    model.zero_grad()
    (memories.square().mean() + model.decode(ids, memories[-1], mask)[mask].square().mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def check_cached(model: RxT, ids, mask, memory, logits) -> None:
    """Prompts of half of each row, then token by token; one row is dropped on the way."""
    rows, lengths = ids.shape[0], mask.sum(-1)
    prompt = (lengths + 1) // 2
    memory_kv = model.decoder.memory_kv_for_steps(memory)
    for one, other in zip(memory_kv, model.decoder.memory_kv(memory), strict=True):
        same(torch.stack(one), torch.stack(other))
    cache = model.decoder.new_cache(rows, ids.shape[1] + 1)
    width = int(prompt.max())
    valid = torch.arange(width) < prompt[:, None]
    index = torch.arange(rows)
    same(model.decoder.prefill(ids[:, :width], valid, memory_kv, cache), logits[index, prompt - 1])
    steps = model.decoder.prepare_steps(cache.capacity)
    at = prompt.clone()
    while (alive := at < lengths[index]).any():
        cache, index, at = cache.select(alive), index[alive], at[alive]
        kv = select_memory_kv(memory_kv, index)
        same(model.decoder.step(ids[index, at, None], kv, cache, steps), logits[index, at])
        at = at + 1


shapes = {"rows": st.integers(1, 3), "width": st.integers(1, 9), "seed": st.integers(0, 1000)}


@pytest.mark.parametrize("layout", ["split", "interleaved"])
@pytest.mark.parametrize("kind", ATTENTIONS)
@few
@given(**shapes)
def test_attention_types(kind, layout, rows, width, seed):
    attention = ATTENTIONS[kind]
    stack = {"attention": attention, "cross_attention": attention, "feed_forward": {"hidden": 12}}
    check_all(
        make(
            seed,
            rope=layout,
            encoder={**stack, "cross_attention": None},
            decoder=stack,
            memory_attention={"attention": attention, "inner_attention": attention},
        ),
        rows,
        width,
        seed,
    )


@pytest.mark.parametrize("variant", MEMORIES)
@few
@given(**shapes, norm=st.sampled_from(NORMS))
def test_memory_variants(variant, norm, rows, width, seed):
    check_all(make(seed, memory_attention={**MEMORIES[variant], "norm": norm}), rows, width, seed)


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: " ".join(str(value) for value in gate.values()))
@settings(few, max_examples=2)
@given(**shapes, variant=st.sampled_from(["simple", "self-interlayer"]))
def test_gates(gate, variant, rows, width, seed):
    check_all(make(seed, memory_attention={"variant": variant, "gate": gate}), rows, width, seed)


@pytest.mark.parametrize(
    "stack",
    [
        {"moe": {"experts": 4, "top_k": 2}},
        {"moe": {"experts": 3, "top_k": 1, "shared_experts": 2, "bias": "global"}},
        {"moe": {"experts": 3, "top_k": 3, "shared_experts": 1, "bias": "off", "shared_bias": "off"}},
        {"norm": "layer", "head_norm": "layer", "pre_norm": False},
        {"head_norm": "rms", "feed_forward": {"hidden": 8, "gated": False, "activation": "gelu"}},
    ],
    ids=["moe", "moe shared", "moe no bias", "post layer norm", "plain gelu"],
)
@few
@given(**shapes)
def test_decoder_layers(stack, rows, width, seed):
    check_all(make(seed, decoder={"feed_forward": {"hidden": 12}, **stack}), rows, width, seed)


@few
@given(**shapes)
def test_encoder_that_reads_the_memory(rows, width, seed):
    check_all(
        make(seed, encoder={"cross_attention": {"type": "mqa"}, "feed_forward": {"hidden": 12}}), rows, width, seed
    )


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "swish", "sigmoid", "tanh", "linear"])
@pytest.mark.parametrize("gated", [True, False])
def test_activations(activation, gated):
    block = {"feed_forward": {"hidden": 8, "activation": activation, "gated": gated}}
    check_all(make(1, encoder=block, decoder=block), 2, 5, 3)
