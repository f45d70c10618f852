import pytest
import torch

from rxt_mrl.mrl.advantages import (
    answers_gae,
    gae,
    leave_one_out,
    relative_to_group,
    relative_to_mean,
    shape_advantages,
)
from rxt_mrl.mrl.config import AdvantageSettings


def test_gae_agrees_with_a_hand_worked_case():
    rewards = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    values = torch.tensor([[0.5, 1.0, 1.5], [1.0, 1.0, 1.0]])
    # gamma 0.5, lambda 0.5, so each later error counts a quarter.
    # Episode 0: errors 1 + 0.5 - 0.5 = 1; 0 + 0.75 - 1 = -0.25; 2 + 0 - 1.5 = 0.5.
    #   A2 = 0.5; A1 = -0.25 + 0.125 = -0.125; A0 = 1 - 0.03125 = 0.96875.
    # Episode 1: errors -0.5, -0.5, -1. A2 = -1; A1 = -0.75; A0 = -0.6875.
    expected = torch.tensor([[0.96875, -0.125, 0.5], [-0.6875, -0.75, -1.0]])
    valid = torch.ones(2, 3, dtype=torch.bool)
    torch.testing.assert_close(gae(rewards, values, valid, gamma=0.5, lam=0.5), expected)


def test_gae_with_lambda_one_is_returns_minus_values():
    rewards, values = torch.rand(4, 6), torch.rand(4, 6)
    valid = torch.ones(4, 6, dtype=torch.bool)
    returns = torch.stack([(rewards[:, t:] * 0.9 ** torch.arange(6 - t)).sum(1) for t in range(6)], 1)
    torch.testing.assert_close(gae(rewards, values, valid, 0.9, 1.0), returns - values)


def test_gae_takes_an_unknown_reward_for_the_expected_one():
    rewards = torch.tensor([[1.0, 77.0, 1.0]])
    values = torch.tensor([[0.0, 3.0, 0.0]])
    valid = torch.tensor([[True, False, True]])
    # At step 1 the error is 0 whatever stands there: A2 = 1, A1 = 0 + 1 = 1, A0 = (1 + 3 - 0) + 1 = 5.
    torch.testing.assert_close(gae(rewards, values, valid, 1.0, 1.0), torch.tensor([[5.0, 1.0, 1.0]]))


def test_episodes_do_not_touch_each_other():
    rewards, values = torch.rand(3, 5), torch.rand(3, 5)
    valid = torch.ones(3, 5, dtype=torch.bool)
    together = gae(rewards, values, valid, 0.9, 0.8)
    for row in range(3):
        alone = gae(rewards[row : row + 1], values[row : row + 1], valid[:1], 0.9, 0.8)
        torch.testing.assert_close(together[row : row + 1], alone)


def test_leave_one_out_compares_the_answers_of_one_memory():
    rewards = torch.tensor([[[1.0, 0.0, 0.0], [5.0, 5.0, 2.0]]])
    valid = torch.ones(1, 2, 3, dtype=torch.bool)
    expected = torch.tensor([[[1.0, -0.5, -0.5], [1.5, 1.5, -3.0]]])
    torch.testing.assert_close(leave_one_out(rewards, valid), expected)


def test_other_comparisons_agree_with_hand_worked_cases():
    rewards = torch.tensor([[[1.0, 0.0, 0.0, 1.0]]])
    valid = torch.ones(1, 1, 4, dtype=torch.bool)
    std = (4 * 0.25 / 3) ** 0.5
    torch.testing.assert_close(relative_to_group(rewards, valid), (rewards - 0.5) / std, atol=1e-5, rtol=0)
    torch.testing.assert_close(relative_to_mean(rewards, valid), (rewards - 0.5) / 0.5)


@pytest.mark.parametrize("compare", [leave_one_out, relative_to_group, relative_to_mean])
def test_groups_without_a_difference_and_unknown_rewards_have_no_advantage(compare):
    rewards = torch.tensor([[[0.1, 0.1, 0.1], [1.0, 0.0, 99.0], [1.0, 2.0, 3.0]]])
    valid = torch.tensor([[[True] * 3, [True, True, False], [False, True, False]]])
    advantages = compare(rewards, valid)
    assert advantages[0, 0].tolist() == [0.0] * 3
    assert advantages[0, 1, 0] > 0 > advantages[0, 1, 1]
    assert advantages[0, 1, 2] == 0
    assert advantages[0, 2].tolist() == [0.0] * 3
    shaped = shape_advantages(advantages, valid, AdvantageSettings(clip=None))
    assert shaped[0, 0].tolist() == [0.0] * 3


def test_gae_of_several_answers_credits_the_one_that_went_on():
    rewards = torch.tensor([[[1.0, 0.0], [2.0, 4.0]]])
    values = torch.tensor([[0.5, 1.0]])
    valid = torch.ones(1, 2, 2, dtype=torch.bool)
    # gamma 0.5, lambda 1. Answer 0 went on, then answer 1: A1 = 4 - 1 = 3; errors of step 0: 1 + 0.5 - 0.5 = 1 and 0.
    advantages, targets = answers_gae(rewards, values, valid, torch.tensor([[0, 1]]), 0.5, 1.0)
    torch.testing.assert_close(advantages, torch.tensor([[[1.0 + 1.5, 0.0], [1.0, 3.0]]]))
    torch.testing.assert_close(targets, torch.tensor([[2.5 + 0.5, 3.0 + 1.0]]))
    # Something else went on: its reward is taken for the mean, and no answer is credited with what came after.
    advantages, _ = answers_gae(rewards, values, valid, torch.tensor([[-1, 1]]), 0.5, 1.0)
    torch.testing.assert_close(advantages[0, 0], torch.tensor([1.0, 0.0]))


def test_one_answer_is_plain_gae():
    rewards, values = torch.rand(4, 6, 1), torch.rand(4, 6)
    valid = torch.rand(4, 6, 1) > 0.2
    advantages, _ = answers_gae(rewards, values, valid, torch.zeros(4, 6, dtype=torch.long), 0.9, 0.8)
    assert torch.equal(advantages[..., 0], gae(rewards[..., 0], values, valid[..., 0], 0.9, 0.8))


@pytest.mark.parametrize("kind", ["batch", "step"])
def test_normalised_advantages_have_mean_zero_and_deviation_one(kind):
    advantages = torch.randn(64, 3, 2) * torch.tensor([[1.0], [5.0], [9.0]]) + 4
    valid = torch.rand(64, 3, 2) > 0.2
    shaped = shape_advantages(advantages, valid, AdvantageSettings(kind="gae", normalize=kind, clip=None))
    assert shaped[~valid].abs().sum() == 0
    groups = [shaped[valid]] if kind == "batch" else [shaped[:, t][valid[:, t]] for t in range(3)]
    for group in groups:
        assert group.mean().abs() < 1e-5
        assert (group.std() - 1).abs() < 1e-4


def test_negative_advantages_are_scaled_after_normalising():
    valid = torch.ones(1, 2, 1, dtype=torch.bool)
    settings = AdvantageSettings(normalize="none", negative_scale=0.3)
    torch.testing.assert_close(
        shape_advantages(torch.tensor([[[-2.0], [2.0]]]), valid, settings), torch.tensor([[[-0.6], [2.0]]])
    )
    equal = shape_advantages(torch.full((4, 2, 1), 3.0), valid.expand(4, 2, 1), AdvantageSettings(kind="gae"))
    assert equal.isfinite().all()
