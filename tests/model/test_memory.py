"""Memory as a value: initial memories, gates, norms, scans and what gradients see."""

from __future__ import annotations

import pytest
import torch

from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT, preset, rxt
from rxt_mrl.model.config import GateConfig, MemoryAttentionConfig
from rxt_mrl.model.gates import ResidualGate
from rxt_mrl.model.stacked import make_memory_norm

SMALL = {"vocab_size": 31, "embed_dim": 16, "heads": 2, "slots": 4, "max_tokens": 12}


def make(**overrides) -> RxT:
    torch.manual_seed(0)
    return RxT(preset("nano", **{**SMALL, **overrides})).eval()


def interactions(batch: int, count: int, width: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 31, (batch, count, width), generator=torch.Generator().manual_seed(1))
    return ids, torch.ones_like(ids, dtype=torch.bool)


# --- initial memories


def test_normal_memories_are_seeded_per_row():
    model = make(initial_memory={"kind": "normal", "std": 0.3})
    together, alone = model.initial_memory(3, seeds=[7, 8, 7]), model.initial_memory(1, seeds=[8])
    assert together.shape == (2, 3, 4, 16)
    assert together[:, 1:2].equal(alone)
    assert together[:, 0].equal(together[:, 2])
    assert not together[:, 0].equal(together[:, 1])
    assert model.initial_memory(50, seeds=range(50)).std() == pytest.approx(0.3, rel=0.05)
    assert not model.initial_memory(2).equal(model.initial_memory(2))


def test_zero_and_learned_memories():
    assert not make(initial_memory={"kind": "zeros"}).initial_memory(2).any()
    model = make(initial_memory={"kind": "learned", "std": 0.1})
    memory = model.initial_memory(3)
    assert memory[:, 0].equal(memory[:, 2])
    memory.sum().backward()
    assert (model.initial.slots.grad == 3).all()


def test_memory_encoded_from_a_system_text():
    system = (2, 9, 11, 3)
    model = make(initial_memory={"kind": "encoded", "std": 0.1, "system_ids": system})
    plain = make(initial_memory={"kind": "normal", "std": 0.1})
    ids = torch.tensor([system, system])
    expected = plain.write(plain.initial_memory(2, seeds=[1, 2]), ids, torch.ones_like(ids, dtype=torch.bool))
    assert model.initial_memory(2, seeds=[1, 2]).equal(expected)
    given = plain.initial_memory(2, seeds=[1, 2], system_ids=ids[0])
    assert given.equal(expected)


def test_seeds_must_fit_the_batch():
    with pytest.raises(UserError, match=r"seeds: 2 numbers; allowed: one per episode, 3"):
        make().initial_memory(3, seeds=[1, 2])


# --- writes


def test_write_does_not_touch_what_it_was_given():
    model = make()
    ids, mask = interactions(2, 1)
    memory = model.initial_memory(2)
    before = memory.clone()
    assert not model.write(memory, ids[:, 0], mask[:, 0]).equal(before)
    assert memory.equal(before)


def test_a_gate_that_starts_nearly_closed_keeps_most_of_a_slot():
    ids, mask = interactions(4, 1)

    def change(init: float) -> float:
        model = make(initial_memory={"kind": "normal", "std": 1.0}, memory_attention={"gate": {"init": init}})
        memory = model.initial_memory(4, seeds=range(4))
        return (model.write(memory, ids[:, 0], mask[:, 0]) - memory).norm() / memory.norm()

    assert change(-3.0) < 0.2
    assert change(3.0) > 0.8


def test_scan_credits_a_write_for_every_later_memory():
    """The gradient of the last memory reaches the first interaction's embedding, through all updates."""
    model = make()
    ids, mask = interactions(1, 4)
    ids[0, 0], ids[0, 1:] = 30, ids[0, 1:] % 29
    memories = model.scan(model.initial_memory(1), ids, mask)
    assert memories.shape == (5, 2, 1, 4, 16)
    memories[-1].square().sum().backward()
    assert model.embedding.weight.grad[30].abs().sum() > 0
    assert model.embedding.weight.grad[29].abs().sum() == 0


def test_a_long_first_interaction_is_encoded_by_itself(monkeypatch):
    model = make()
    ids, mask = interactions(3, 4, width=12)
    mask[:, 1:, 5:] = False
    ids = torch.where(mask, ids, 0)
    memory = model.initial_memory(3)
    together = model.scan(memory, ids, mask)
    encoded = []
    real = model.encoder.encode
    monkeypatch.setattr(rxt, "_PADDING", 3 * 3 * 7)
    monkeypatch.setattr(
        model.encoder, "encode", lambda ids, *rest: encoded.append(tuple(ids.shape)) or real(ids, *rest)
    )
    apart = model.scan(memory, ids, mask)
    assert encoded == [(3, 12), (9, 5)]
    torch.testing.assert_close(apart, together)


def test_padding_columns_are_trimmed_without_changing_results():
    model = make()
    ids, mask = interactions(3, 2, width=5)
    wide = torch.nn.functional.pad(ids, (0, 6), value=0)
    padded = torch.nn.functional.pad(mask, (0, 6))
    memory = model.initial_memory(3)
    assert model.scan(memory, wide, padded).equal(model.scan(memory, ids, mask))
    assert model.write(memory, wide[:, 0], padded[:, 0]).equal(model.write(memory, ids[:, 0], mask[:, 0]))
    encoded = model.encode(wide[:, 0], padded[:, 0])
    assert encoded.shape == (2, 3, 11, 16)
    assert encoded[:, :, :5].equal(model.encode(ids[:, 0], mask[:, 0]))
    assert model.update(memory, encoded, padded[:, 0]).equal(model.write(memory, ids[:, 0], mask[:, 0]))


# --- gates and norms, written out


@pytest.mark.parametrize("per_slot", [True, False])
@pytest.mark.parametrize("status", ["mean", "linear"])
@pytest.mark.parametrize("kind", ["static", "elementwise", "linear"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_gate_formulas(kind, status, per_slot, activation):
    torch.manual_seed(0)
    layers, rows, slots, dim = 2, 3, 4, 5
    gate = ResidualGate(
        layers,
        slots,
        dim,
        GateConfig(type=kind, slot_status=status, per_slot=per_slot, activation=activation, init=0.7),
    )
    old, new = torch.randn(2, layers, rows, slots, dim)
    out = gate(old, new)
    for layer in range(layers):
        for row in range(rows):
            before, after = old[layer, row], new[layer, row]
            if gate.slot_status is not None:
                state = (before + after) @ gate.slot_status.weight[layer, 0] + gate.slot_status.bias[layer]
            else:
                state = (before + after).mean(-1)
            if kind == "linear":
                z = gate.gate.weight[layer] @ state + gate.gate.bias[layer]
            else:
                z = gate.gate_parameter[layer, :, 0]
                if kind == "elementwise":
                    z = z * (state if per_slot else state.mean())
            assert z.shape == ((slots,) if per_slot else (1,))
            if activation == "tanh":
                g = torch.tanh(z)[:, None]
                expected = (1 + g) * after + (1 - g) * before
            else:
                g = torch.sigmoid(z)[:, None]
                expected = g * after + (1 - g) * before
            torch.testing.assert_close(out[layer, row], expected)


def test_plain_gates():
    old, new = torch.randn(2, 2, 1, 3, 4)
    assert ResidualGate(2, 3, 4, GateConfig(type="add"))(old, new).equal(old + new)
    assert ResidualGate(2, 3, 4, GateConfig(type="replace"))(old, new).equal(new)


@pytest.mark.parametrize("kind", ["classic-rms", "layer", "rms", "adaptive", "positional"])
def test_norm_formulas(kind):
    torch.manual_seed(0)
    norm = make_memory_norm(2, 3, 8, MemoryAttentionConfig(norm=kind, norm_init_gate=0.4)).eval()
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    if kind in ("adaptive", "positional"):
        norm.ema.uniform_(0.5, 2.0)
    x = torch.randn(2, 4, 3, 8)
    for layer in range(2):
        rms = x[layer].square().mean(-1, keepdim=True).sqrt()
        if kind == "classic-rms":
            expected = x[layer] / rms * norm.weight[layer]
        else:
            if kind == "layer":
                centred = x[layer] - x[layer].mean(-1, keepdim=True)
                normed = centred / (x[layer].var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
                normed = normed * norm.weight[layer] + norm.bias[layer]
            else:
                normed = x[layer] / ((norm.ema[layer] if kind == "positional" else rms) + 1e-6).sqrt()
            share = torch.sigmoid(norm.gate[layer])
            expected = share * normed * norm.scale[layer] + (1 - share) * x[layer]
        torch.testing.assert_close(norm(x)[layer], expected)


@pytest.mark.parametrize("kind", ["adaptive", "positional"])
def test_running_norms_follow_the_training_data(kind):
    norm = make_memory_norm(2, 3, 8, MemoryAttentionConfig(norm=kind, norm_decay=0.5)).train()
    x = 4 * torch.ones(2, 5, 3, 8)
    norm(x)
    torch.testing.assert_close(norm.ema, torch.full_like(norm.ema, 2.5))
    norm.eval()(x)
    torch.testing.assert_close(norm.ema, torch.full_like(norm.ema, 2.5))


def test_a_write_in_pieces_equals_one(monkeypatch):
    model = RxT(preset("nano", vocab_size=30, memory_attention={"variant": "self-interlayer"})).eval()
    ids = torch.randint(7, 30, (7, 9))
    mask = torch.arange(9) < torch.tensor([9, 3, 5, 1, 2, 9, 4])[:, None]
    memory = model.initial_memory(7, seeds=range(7))
    with torch.no_grad():
        whole = model.write(memory, ids, mask)
        monkeypatch.setattr("rxt_mrl.model.rxt._PIECE", 18)  # two rows of nine tokens
        torch.testing.assert_close(model.write(memory, ids, mask), whole, atol=1e-5, rtol=1e-5)
