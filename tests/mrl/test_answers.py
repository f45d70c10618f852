"""Several answers from one memory: what is sampled, what goes on to memory, and that nothing is lost by merging."""

import dataclasses

import pytest
import torch
from rxt_mrl.envs.memory_retention import MemoryRetentionVectorEnv

from rxt_mrl.errors import UserError
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.mrl.advantages import leave_one_out
from rxt_mrl.mrl.answers import Answers, answers_of
from rxt_mrl.mrl.config import AlgorithmSettings
from rxt_mrl.mrl.curriculum import fixed_plan, policy_optimizer
from rxt_mrl.mrl.learner import Learner
from rxt_mrl.mrl.objectives import Weights, clipped_surrogate
from rxt_mrl.mrl.pool import RolloutWorker
from rxt_mrl.mrl.replay import replay

SAMPLING = SamplingConfig(max_new_tokens=3)


@pytest.fixture
def worker(model, setup_of):
    def build(**changes):
        worker = RolloutWorker(model)
        worker.configure([setup_of(**changes)])
        return worker

    return build


def shard_of(*carry):
    return dataclasses.replace(fixed_plan(len(carry), shard=len(carry), seed=3)[0], carry=carry)


def padded(ids, width):
    return torch.nn.functional.pad(ids, (0, width - ids.shape[-1]))


def test_the_first_answer_is_what_a_single_one_would_be(play, model):
    """So one answer per memory is one row of many, and what went on to memory is the same."""
    one, many = play(model), play(model, answers=4)
    assert many.action_ids.shape[:3] == (6, 3, 4)
    width = many.action_ids.shape[-1]
    assert torch.equal(many.action_ids[:, :, 0], padded(one.action_ids[:, :, 0], width))
    assert torch.equal(many.written_ids, one.written_ids)
    assert torch.equal(many.rewards[:, :, 0], one.rewards[:, :, 0])
    assert bool((many.carried == 0).all())
    assert len({tuple(ids.flatten().tolist()) for ids in many.action_ids.unbind(2)}) > 1


def test_every_answer_has_the_probability_it_was_sampled_with(play, model):
    batch = play(model, answers=4)
    answers = answers_of(batch, torch.ones_like(batch.rewards), drop=False)
    seen = replay(model, batch, answers, SAMPLING)
    assert (seen.log_probs - answers.log_probs).abs().max() < 1e-4
    assert int(answers.counts.sum()) == batch.rewards.numel()


def test_what_goes_on_to_memory(worker, model):
    batch = worker(answers=4).play(shard_of("sampled", "best", "greedy", "reference"))
    assert batch.carried[0].tolist() == [0] * 3
    best = batch.rewards[1].argmax(-1)
    assert torch.equal(
        batch.rewards[1].gather(-1, batch.carried[1].unsqueeze(-1)).squeeze(-1), batch.rewards[1].amax(-1)
    )
    assert batch.carried[1].shape == best.shape
    assert batch.carried[2].tolist() == batch.carried[3].tolist() == [-1] * 3
    for step in range(2):
        written = batch.written_ids[3, step + 1][batch.written_mask[3, step + 1]].tolist()
        reference = batch.reference_ids[3, step][batch.reference_mask[3, step]].tolist()
        assert written[-len(reference) :] == reference
    greedy = worker(answers=4).play(shard_of("greedy"))
    again = worker(answers=1).play(shard_of("greedy"))
    assert torch.equal(greedy.written_ids, again.written_ids)


def test_an_environment_forgets_what_the_shard_before_carried(worker):
    player = worker(answers=4)
    expected = player.play(shard_of("sampled"))
    player.play(shard_of("reference"))
    assert torch.equal(player.play(shard_of("sampled")).written_ids, expected.written_ids)


class Mute:
    """An environment without ``score``."""

    def __init__(self, dialogues, tokenizer, num_envs, reward, steps, max_new_tokens, autoreset):
        options = {"steps": steps, "max_new_tokens": max_new_tokens, "autoreset": autoreset}
        self._inner = MemoryRetentionVectorEnv(dialogues, tokenizer, num_envs=num_envs, reward=reward, **options)
        self.dialogues, self.reset, self.step = dialogues, self._inner.reset, self._inner.step


def test_an_environment_that_cannot_score_says_so_and_plays_single_answers(model, setup_of):
    worker = RolloutWorker(model)
    worker.configure([dataclasses.replace(setup_of(answers=count), environment=Mute) for count in (1, 2)])
    shard = shard_of("sampled")
    with pytest.raises(UserError, match=r"Mute cannot score candidates: it has no method 'score\(actions, rows\)'"):
        worker.play(dataclasses.replace(shard, setup=1))
    assert worker.play(shard).answers == 1


@pytest.mark.parametrize("mean", ["token", "answer"])
def test_merging_identical_answers_changes_neither_loss_nor_gradient(play, model, mean):
    batch = play(model, answers=8)
    advantages = leave_one_out(batch.rewards, batch.valid)
    every = answers_of(batch, advantages, drop=False)
    merged = answers_of(batch, advantages, drop=True)
    assert len(merged) < len(every) < batch.rewards.numel()
    assert bool((merged.advantages != 0).all())
    single = unmerged(batch, advantages)

    def gradients(answers):
        model.zero_grad()
        seen = replay(model, batch, answers, SAMPLING)
        weights = Weights(answers.counts, answers.total_tokens, answers.total_answers)
        clipped_surrogate(
            seen.log_probs * 1.1, answers.log_probs, answers.advantages, answers.learnt, 0.2, mean, weights
        ).backward()
        return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}

    expected = gradients(single)
    for answers in (every, merged):
        for name, gradient in gradients(answers).items():
            torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


def unmerged(batch, advantages):
    """All answers, each a row of its own."""
    episodes, steps, count = batch.rewards.shape
    place = torch.cartesian_prod(torch.arange(episodes), torch.arange(steps), torch.arange(count))
    flat = {
        "ids": batch.action_ids.flatten(0, 2),
        "mask": batch.action_mask.flatten(0, 2),
        "log_probs": batch.log_probs.flatten(0, 2),
        "advantages": advantages.flatten(),
        "valid": batch.valid.flatten(),
        "counts": torch.ones(len(place)),
    }
    return Answers(
        place[:, 0],
        place[:, 1],
        **flat,
        total_tokens=int(batch.action_mask.sum()),
        total_answers=len(place),
    )


def test_an_update_of_dead_groups_moves_nothing(play, model):
    batch = play(model, answers=4)
    alike = dataclasses.replace(batch, rewards=torch.full_like(batch.rewards, 0.3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = AlgorithmSettings()
    learner = Learner(model, policy_optimizer(model, settings.optimizer), None, SAMPLING)
    metrics = learner.update(alike, settings, key=(0, "update"))
    assert metrics["optimizer_steps"] == 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_copies_that_earned_differently_count_by_what_each_earned(play, model):
    """As under a reward with a state, or with ``gae``, where one of them went on to memory."""
    batch = play(model, answers=8)
    advantages = torch.randn(batch.rewards.shape, generator=torch.Generator().manual_seed(0))
    for drop in (False, True):
        merged = answers_of(batch, advantages, drop=drop)
        assert len(merged) < batch.rewards.numel()
        torch.testing.assert_close((merged.advantages * merged.counts).sum(), advantages.sum())
    every = answers_of(batch, advantages, drop=False)
    for row in range(len(every)):
        same = (batch.action_ids[every.episode[row], every.step[row]] == every.ids[row]).all(-1)
        torch.testing.assert_close(every.advantages[row], advantages[every.episode[row], every.step[row]][same].mean())
