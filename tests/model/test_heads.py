"""The critic and the decoder's side outputs."""

from __future__ import annotations

import copy

import pytest
import torch

from rxt_mrl.model import Critic, Encoder, RxT, preset

CONFIG = preset(
    "nano", vocab_size=31, embed_dim=16, heads=2, max_tokens=10, decoder={"moe": {"experts": 3, "top_k": 1}}
)
IDS = torch.randint(0, 31, (3, 8), generator=torch.Generator().manual_seed(0))
MASK = torch.arange(8) < torch.tensor([[8], [3], [5]])


@pytest.mark.parametrize(("activation", "low", "high"), [("sigmoid", 1.0, 11.0), ("tanh", -9.0, 11.0)])
def test_critic_values_are_bounded_and_ignore_padding(activation, low, high):
    critic = Critic(Encoder(CONFIG), activation=activation, scale=10.0, shift=1.0).eval()
    values = critic(IDS, MASK)
    assert values.shape == (3,)
    assert ((values > low) & (values < high)).all()
    for row, length in enumerate(MASK.sum(1)):
        torch.testing.assert_close(critic(IDS[row : row + 1, :length], MASK[row : row + 1, :length])[0], values[row])


def test_critic_of_a_models_encoder_copy_trains_apart():
    model = RxT(CONFIG)
    critic = Critic(copy.deepcopy(model.encoder))
    critic(IDS, MASK).sum().backward()
    assert critic.encoder.embedding.weight.grad is not None
    assert model.embedding.weight.grad is None


def test_critic_for_longer_sequences():
    critic = Critic.from_config(CONFIG, max_tokens=40)
    ids = torch.zeros(1, 33, dtype=torch.long)
    assert critic(ids, torch.ones_like(ids, dtype=torch.bool)).shape == (1,)


def test_logits_of_selected_positions():
    model, memory = RxT(CONFIG).eval(), torch.randn(2, 3, 8, 16)
    keep = MASK & (torch.arange(8) >= 2)
    torch.testing.assert_close(model.decode(IDS, memory, MASK, keep), model.decode(IDS, memory, MASK)[keep])


def test_router_statistics_of_the_decoder():
    model, memory = RxT(CONFIG), torch.randn(2, 3, 8, 16)
    output = model.decode_output(IDS, memory, MASK)
    assert output.expert_load.shape == (2, 3)
    torch.testing.assert_close(output.expert_load.sum(-1), torch.ones(2))
    output.router_loss.backward()
    assert model.decoder.blocks[0].ff.router.weight.grad.abs().sum() > 0
    dense = RxT(preset("nano", vocab_size=31))
    assert dense.decode_output(IDS, torch.randn(2, 3, 8, 64)).router_loss is None


def test_bfloat16():
    model = RxT(CONFIG).eval()
    memory = torch.randn(2, 3, 8, 16)
    exact = model.decode(IDS, model.write(memory, IDS, MASK), MASK)
    model.bfloat16()
    rounded = model.decode(IDS, model.write(memory.bfloat16(), IDS, MASK), MASK)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact)[MASK].abs().mean() < 0.05
