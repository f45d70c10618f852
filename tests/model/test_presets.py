"""Presets: parameter counts of RXT.md section 2, the table in the docs, parts that stand alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from rxt_mrl.errors import UserError
from rxt_mrl.model import PRESETS, Decoder, Encoder, MemoryAttention, MLMHead, MoEConfig, RxT, preset

COUNTS = [
    ("alpha-micro-encoder", Encoder, 1_878_784),
    ("alpha-micro-encoder", MLMHead, 661_768),
    ("alpha-micro-moe-decoder", Decoder, 5_320_072),
    ("alpha-mini-encoder", Encoder, 9_140_224),
    ("alpha-mini-encoder", MLMHead, 2_636_304),
    ("alpha-mini", Decoder, 57_767_696),
    ("alpha-micro", Decoder, 9_458_508),
    ("alpha-micro", Encoder, 2_049_024),
    ("alpha-micro", MemoryAttention, 1_186_688),
    ("alpha-micro", MLMHead, 984_268),
    ("alpha-micro", RxT, 11_734_220),
    ("alpha-supervised", MemoryAttention, 5_529_856),
    ("alpha-supervised", RxT, 160_272_160),
    # Ours, so that a change is noticed.
    ("nano", RxT, 382_304),
    ("tiny", RxT, 1_075_936),
    ("small", RxT, 2_942_976),
    ("alpha-mini", RxT, 82_456_592),
]


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("name", "part", "expected"), COUNTS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_parameter_counts(name, part, expected):
    with torch.device("meta"):
        assert parameters(part(preset(name))) == expected


def test_active_parameters_of_the_micro_decoder():
    with torch.device("meta"):
        decoder = Decoder(preset("alpha-micro"))
    assert decoder.section.moe == MoEConfig(experts=12, top_k=2)
    moe = decoder.blocks[0].ff
    expert = sum(p.numel() // 12 for p in (moe.w_in, moe.w_out, moe.b_in, moe.b_out))
    assert parameters(decoder) - 6 * 10 * expert == 3_521_868


def test_the_docs_show_every_preset_with_its_counts():
    page = (Path(__file__).parents[2] / "docs" / "model.md").read_text()
    assert [name for name in PRESETS if f"`{name}`" not in page] == []
    assert [count for _, _, count in COUNTS if f"{count:,}" not in page] == []


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds(name):
    config = preset(name)
    with torch.device("meta"):
        for section, part in (("encoder", Encoder), ("decoder", Decoder), ("memory_attention", MemoryAttention)):
            if getattr(config, section) is not None:
                part(config)


def test_overrides_reach_nested_sections():
    config = preset("nano", vocab_size=99, decoder={"feed_forward": {"hidden": 7}})
    assert config.vocab_size == 99
    assert config.decoder.feed_forward.hidden == 7
    assert config.encoder.feed_forward.hidden == 192


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("nanno", {}, r"^preset: 'nanno'; allowed: nano, tiny"),
        ("nano", {"slotz": 3}, r"^unknown key 'slotz' \(did you mean 'slots'\?\); allowed: decoder"),
        ("nano", {"embed_dim": 30}, r"heads 4 does not divide embed_dim 30"),
        ("nano", {"embed_dim": 12}, r"= 3 per head is odd; RoPE rotates pairs"),
        ("nano", {"memory_attention": {"variant": "cross"}}, r"variant = 'cross': .*'simple', 'self', 'interlayer'"),
        ("nano", {"memory_attention": {"layer_groups": 3}}, r"layer_groups 3 does not divide num_layers 2"),
        ("nano", {"decoder": {"attention": {"type": "gqa", "groups": 3}}}, r"groups 3 do not divide heads 4"),
        (
            "nano",
            {"decoder": {"attention": {"type": "sqa", "query_groups": 3, "groups": 2}}},
            r"do not divide each other",
        ),
        ("nano", {"decoder": {"attention": {"type": "sqa", "query_groups": 8}}}, r"query_groups 8 .* exceed heads 4"),
        ("nano", {"decoder": {"moe": {"experts": 2, "top_k": 3}}}, r"top_k 3 exceeds experts 2"),
        ("nano", {"decoder": {"cross_attention": {"heads": 2}}}, r"cross_attention.heads 2 differs from"),
        ("nano", {"rope": "halves"}, r"rope = 'halves': .*'split' or 'interleaved'"),
        ("nano", {"initial_memory": {"kind": "encoded"}}, r"'encoded' needs system_ids"),
    ],
)
def test_wrong_settings_are_one_line(name, overrides, message):
    with pytest.raises(UserError, match=message) as error:
        preset(name, **overrides)
    assert "\n" not in str(error.value)


def test_a_part_that_is_not_described_is_not_built():
    with pytest.raises(UserError, match="no memory_attention section"):
        RxT(preset("alpha-micro-encoder"))


def test_an_encoder_pretrains_alone():
    """Masked language modelling with only the encoder and its head."""
    torch.manual_seed(0)
    config = preset("nano", vocab_size=20, embed_dim=16, heads=2, decoder=None, memory_attention=None)
    encoder, head = Encoder(config), MLMHead(config)
    ids = torch.arange(12).repeat(4, 1)
    mask = torch.ones_like(ids, dtype=torch.bool)
    hidden = ids.masked_fill(torch.rand(4, 12) < 0.3, 19)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=0.01)
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(head(encoder(hidden, mask)[-1]).flatten(0, 1), ids.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_a_decoder_pretrains_alone_on_a_frozen_memory():
    torch.manual_seed(0)
    config = preset("nano", vocab_size=20, embed_dim=16, heads=2, encoder=None, memory_attention=None)
    decoder = Decoder(config)
    memory = 1e-3 * torch.randn(config.num_layers, 1, config.slots, config.embed_dim)
    ids = torch.arange(12).repeat(4, 1)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        logits = decoder(ids, memory).logits[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
