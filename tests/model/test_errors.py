"""Bad input: one-line errors that name the value and what is allowed; nothing is cut or cast silently."""

from __future__ import annotations

import pytest
import torch

from rxt_mrl.errors import UserError
from rxt_mrl.model import Decoder, Encoder, RxT, SamplingConfig, generate, preset

CONFIG = preset("nano", vocab_size=31, embed_dim=16, heads=2, max_tokens=10)
MODEL = RxT(CONFIG)
IDS = torch.zeros(2, 5, dtype=torch.long)
MASK = torch.ones(2, 5, dtype=torch.bool)
MEMORY = torch.zeros(2, 2, 8, 16)
HOLE = torch.tensor([[True, False, True, True, True]] * 2)

BAD_TOKENS = {
    "dtype of ids": (IDS.float(), MASK, r"ids: dtype torch\.float32; allowed: torch\.int64"),
    "rank of ids": (IDS[0], MASK[0], r"ids: shape \(5,\); allowed: \(batch, tokens\)"),
    "too wide": (IDS.repeat(1, 3), MASK.repeat(1, 3), r"ids: 15 tokens wide; allowed: at most max_tokens = 10"),
    "beyond the vocabulary": (IDS + 31, MASK, r"ids: 31 is outside the vocabulary; allowed: 0\.\.30"),
    "negative": (IDS - 1, MASK, r"ids: -1 is outside the vocabulary"),
    "empty": (IDS[:, :0], MASK[:, :0], r"ids: shape \(2, 0\) is empty"),
    "dtype of mask": (IDS, MASK.long(), r"mask: dtype torch\.int64; allowed: torch\.bool"),
    "shape of mask": (IDS, MASK[:, :4], r"mask: shape \(2, 4\); allowed: the shape of ids, \(2, 5\)"),
    "padding in between": (IDS, HOLE, r"mask: a token follows padding; allowed: right padding only"),
}


def fails(message: str, function, *arguments, **options) -> None:
    with pytest.raises(UserError, match=message) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_bad_tokens(case):
    ids, mask, message = BAD_TOKENS[case]
    fails(message, MODEL.encode, ids, mask)
    fails(message, MODEL.write, MEMORY, ids, mask)
    fails(message, MODEL.decode, ids, MEMORY, mask)
    fails(message, MODEL.decoder.prefill, ids, mask, [], MODEL.decoder.new_cache(2, 10))
    if case != "rank of ids":
        fails(message.replace("(2, ", "(2, 1, "), MODEL.scan, MEMORY, ids[:, None], mask[:, None])


@pytest.mark.parametrize(
    "memory", [MEMORY[:1], MEMORY[:, :1].repeat(1, 3, 1, 1), MEMORY[:, :, :7], MEMORY[..., :15], MEMORY[0]]
)
def test_memory_of_another_shape(memory):
    message = r"memory: shape .*; allowed: \(layers, batch, slots, dim\) = \(2, 2, 8, 16\)"
    fails(message, MODEL.write, memory, IDS, MASK)
    fails(message, MODEL.scan, memory, IDS[:, None], MASK[:, None])
    fails(message, MODEL.decode, IDS, memory)
    fails(message, MODEL.update, memory, torch.zeros(2, 2, 5, 16), MASK)


def test_memory_of_another_dtype():
    fails(r"memory: torch\.int64; allowed: a floating point tensor", MODEL.decode, IDS, MEMORY.long())


def test_one_memory_may_be_shared_by_all_rows():
    torch.testing.assert_close(MODEL.decode(IDS, MEMORY[:, :1]), MODEL.decode(IDS, MEMORY))


def test_encoded_data_of_another_shape():
    fails(r"encoded: shape \(2, 2, 4, 16\)", MODEL.update, MEMORY, torch.zeros(2, 2, 4, 16), MASK)


def test_interactions_need_their_own_dimension():
    fails(r"ids: shape \(2, 5\); allowed: \(batch, interactions, tokens\)", MODEL.scan, MEMORY, IDS, MASK)


def test_encoders_that_read_the_memory_need_it():
    fails(r"has no memory cross-attention", MODEL.encode, IDS, MASK, MEMORY)
    reading = RxT(preset("nano", vocab_size=31, encoder={"cross_attention": {}}))
    fails(r"needs memory, got None", reading.encode, IDS, MASK)


def test_caches():
    fails(r"cache length: 11; allowed: 1\.\.max_tokens = 10", MODEL.decoder.new_cache, 2, 11)
    cache = MODEL.decoder.new_cache(2, 4)
    fails(r"ids: shape \(2, 5\); allowed: \(2, at most 4\)", MODEL.decoder.prefill, IDS, MASK, [], cache)
    memory_kv = MODEL.decoder.memory_kv(MEMORY)
    with torch.no_grad():
        MODEL.decoder.prefill(IDS[:, :4], MASK[:, :4], memory_kv, cache)
        steps = MODEL.decoder.prepare_steps(4)
        fails(r"a row of 4 tokens is full", MODEL.decoder.step, IDS[:, :1], memory_kv, cache, steps)


def test_batches_and_parts():
    fails(r"batch: 0; allowed: at least 1", MODEL.initial_memory, 0)
    fails(r"component: 'decodr'; allowed: embedding, encoder", MODEL.component_parameters, "decodr")
    fails(r"no encoder section", Encoder, preset("alpha-micro-moe-decoder"))
    fails(r"no decoder section", Decoder, preset("alpha-micro-encoder"))


def test_components_share_nothing_and_leave_nothing_out():
    from rxt_mrl.model import COMPONENTS

    found = [id(p) for name in COMPONENTS for p in MODEL.component_parameters(name)]
    assert len(found) == len(set(found))
    assert set(found) == {id(p) for p in MODEL.parameters()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_memory_of_another_precision_than_the_weights(dtype):
    message = rf"memory: dtype {dtype}; allowed: the weights', torch.float32"
    memory = MEMORY.to(dtype)
    fails(message, MODEL.write, memory, IDS, MASK)
    fails(message, MODEL.decode, IDS, memory)
    fails(message, generate, MODEL, IDS, MASK, memory, SamplingConfig())
