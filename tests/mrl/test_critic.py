import torch
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from rxt_mrl.mrl.config import CriticSettings
from rxt_mrl.mrl.critic import CriticTrainer, Features, MemoryCritic, explained_variance, featurise
from rxt_mrl.mrl.replay import write_all


def test_the_critic_learns_what_only_the_memory_tells():
    """The value depends on a slot that the query points at: no other input gives it away."""
    generator = torch.Generator().manual_seed(0)
    slots = torch.randn(256, 4, 16, generator=generator)
    told = torch.rand(256, generator=generator).round()
    slots[:, 2, 0] = 4 * told - 2
    features = Features(slots, torch.randn(256, 16, generator=generator), torch.ones(256))
    trainer = CriticTrainer(16, CriticSettings(learning_rate=5e-3, epochs=12), seed=0, device=torch.device("cpu"))
    targets, valid = told.view(64, 4), torch.ones(64, 4, dtype=torch.bool)
    for number in range(4):
        trainer.fit(features, targets, valid, (0, number))
    assert explained_variance(trainer.values(features, (64, 4)), targets, valid) > 0.9


def test_the_critic_stays_as_it_is_where_no_reward_is_known():
    features = Features(torch.ones(4, 4, 16), torch.ones(4, 16), torch.ones(4))
    trainer = CriticTrainer(16, CriticSettings(), seed=0, device=torch.device("cpu"))
    targets, known = torch.ones(1, 4), torch.ones(1, 4, dtype=torch.bool)
    trainer.fit(features, targets, known, (0, 0))  # with momentum that could move it
    before = [p.clone() for p in trainer.critic.parameters()]
    assert trainer.fit(features, targets, ~known, (0, 1)) == 0.0
    assert all(map(torch.equal, trainer.critic.parameters(), before))


def test_features_are_detached_and_know_the_horizon(model, play):
    batch = play(model, count=2)
    features = featurise(model, batch, write_all(model, batch), gamma=0.5)
    assert not features.memory.requires_grad
    assert features.memory.shape == (6, 2 * 4, 32)
    torch.testing.assert_close(features.horizon, torch.tensor([1.75, 1.5, 1.0]).repeat(2))
    same_query = featurise(model, batch, write_all(model, batch).square(), gamma=0.5)
    assert torch.equal(features.query, same_query.query)
    assert not torch.equal(features.memory, same_query.memory)


def test_the_query_meets_the_slots_as_keys_and_values_of_each_would():
    """What is computed cheaply is attention over the scaled, projected slots, and their mean."""
    torch.manual_seed(0)
    critic = MemoryCritic(16, 8)
    for parameter in (critic.memory_norm.weight, critic.memory_norm.bias):
        torch.nn.init.normal_(parameter)
    memory, query = torch.randn(5, 7, 16), torch.randn(5, 16)
    features = Features(layer_norm(memory, (16,)), query, torch.arange(1.0, 6.0))
    slots, asked = critic.memory_norm(memory), critic.query_norm(query)
    value = critic.value(slots)
    found = scaled_dot_product_attention(critic.query(asked).unsqueeze(1), critic.key(slots), value).squeeze(1)
    expected = critic.head(torch.cat([found, value.mean(1), asked], -1)).squeeze(-1) * features.horizon
    torch.testing.assert_close(critic(features), expected)


def test_explained_variance():
    targets, valid = torch.tensor([[0.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool)
    assert explained_variance(targets, targets, valid) == 1.0
    assert explained_variance(torch.full((1, 2), 0.5), targets, valid) == 0.0
    assert explained_variance(targets, torch.ones(1, 2), valid) == 0.0
