"""Agreement with the published reinforcement learning, from numbers that the published library produced."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from rxt_mrl.mrl.objectives import impo

ROOT = Path(os.environ.get("RXT_MRL_REFERENCE", Path(__file__).parents[3] / "shared" / "reference")) / "RL"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason=f"no reference numbers in {ROOT} (set RXT_MRL_REFERENCE)")
CLOSE = {"atol": 1e-4, "rtol": 1e-4}
GRADIENT = {"atol": 1e-6, "rtol": 1e-4}


def published_advantages(rewards: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The published default: ``reward - value`` normalised over everything, and the rewards as critic targets.

    Args:
        rewards: ``(time, batch)``.
        values: ``(time, batch)``.
    """
    advantages = rewards - values
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8), rewards


def published_gae(
    rewards: Tensor, values: Tensor, dones: Tensor, gamma: float = 0.99, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """The published GAE, for comparison: episodes laid end to end in time, the last row only bootstraps.

    Args:
        rewards: ``(time, batch)``.
        values: ``(time, batch)``.
        dones: bool ``(time,)``, True at the last step of an episode.
        gamma: discount.
        lam: lambda.

    Returns:
        Normalised advantages and the critic's targets, both ``(time - 1, batch)``.
    """
    alive = (~dones[:-1]).to(rewards.dtype).unsqueeze(-1)
    delta = rewards[:-1] + gamma * values[1:] * alive - values[:-1]
    advantages = torch.empty_like(delta)
    running = torch.zeros_like(delta[0])
    for time in range(delta.shape[0] - 1, -1, -1):
        running = delta[time] + gamma * lam * alive[time] * running
        advantages[time] = running
    targets = advantages + values[:-1]
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8), targets


def published_critic_loss(values: Tensor, targets: Tensor, clip: float = 20.0) -> Tensor:
    """The published critic loss: squared error of clamped values; outside ``-clip .. clip`` nothing is learnt."""
    return (values.clamp(-clip, clip) - targets.clamp(-clip, clip)).pow(2).mean()


def answer_logits(logits: Tensor, prompt_lengths: Tensor, length: int) -> Tensor:
    """The logits that predict an answer, taken out of those of ``prompt + answer``.

    Args:
        logits: ``(rows, tokens, vocab)`` over right-padded ``prompt + answer``.
        prompt_lengths: long ``(rows,)``, tokens of the prompt, [A] included; at least 1.
        length: answer tokens to take.

    Returns:
        ``(rows, length, vocab)``; entry ``j`` predicts answer token ``j``. Zeros past the end of the input.
    """
    positions = prompt_lengths.unsqueeze(-1) - 1 + torch.arange(length, device=logits.device)
    inside = positions < logits.shape[1]
    index = positions.clamp(max=logits.shape[1] - 1).unsqueeze(-1).expand(-1, -1, logits.shape[-1])
    return logits.gather(1, index) * inside.unsqueeze(-1)


@pytest.fixture(scope="module")
def case():
    if not ROOT.is_dir():
        pytest.skip(f"no reference numbers in {ROOT}")
    config = json.loads((ROOT / "config.json").read_text(encoding="utf-8"))
    return config, load_file(ROOT / "inputs.safetensors"), load_file(ROOT / "outputs.safetensors")


def test_published_advantages(case):
    _, inputs, outputs = case
    advantages, targets = published_advantages(inputs["rewards"], inputs["values"])
    torch.testing.assert_close(advantages, outputs["adv_plain"], **CLOSE)
    torch.testing.assert_close(targets, outputs["ref_values_plain"], **CLOSE)


@pytest.mark.parametrize("name", ["gae", "ppo"])
def test_published_gae(case, name):
    _, inputs, outputs = case
    advantages, targets = published_gae(inputs["rewards"], inputs["values"], inputs["dones"])
    torch.testing.assert_close(advantages, outputs[f"adv_{name}"], **CLOSE)
    torch.testing.assert_close(targets, outputs[f"ref_values_{name}"], **CLOSE)


def test_published_critic_loss(case):
    _, inputs, outputs = case
    loss = published_critic_loss(inputs["critic_values_in"], inputs["critic_refs_in"])
    torch.testing.assert_close(loss.view(1), outputs["critic_loss"], **CLOSE)


def test_published_impo_loss_and_gradient(case):
    config, inputs, outputs = case
    for name, options in config["impo_cases"].items():
        logits = inputs["logits"].clone().requires_grad_(True)
        mask = inputs["action_mask"].bool()
        # Published actions begin with [A], so the prompt is the query and that token.
        length = mask.shape[1] - 1
        inside = torch.arange(length) < mask.sum(1, keepdim=True)
        taken = answer_logits(logits, inputs["next_query_mask"].sum(1) + 1, length) * inside.unsqueeze(-1)
        distribution = taken.log_softmax(-1)
        torch.testing.assert_close(distribution.detach(), outputs["impo_new_log_probs_full"], **CLOSE)
        log_probs = distribution.gather(-1, inputs["action_ids"][:, 1:].unsqueeze(-1)).squeeze(-1)
        loss, parts = impo(
            distribution,
            log_probs,
            inputs["old_log_probs"],
            inputs["advantages"],
            mask[:, 1:],
            step=options["step"],
            memory=inputs["stm_new"],
            memory_before=inputs["stm_old"],
            previous=inputs["prev_step_log_probs"],
            read_mask=mask[:, :-1],
            clip=options.get("clip_eps", 0.2),
            entropy_weight=options.get("entropy_coef", 0.01),
            kl=options.get("kl_coeff", 0.001),
            memory_change=options.get("stm_diff_coeff", 1e-4),
            memory_cosine=1.0 if options.get("use_stm_cosine_sim") else 0.0,
        )
        torch.testing.assert_close(loss.detach().view(1), outputs[f"impo_{name}_loss"], **CLOSE, msg=name)
        torch.testing.assert_close(parts["memory_change"].view(1), outputs[f"impo_{name}_stm_diff"], **CLOSE, msg=name)
        if f"impo_{name}_kl" in outputs:
            torch.testing.assert_close(parts["kl"].detach().view(1), outputs[f"impo_{name}_kl"], **CLOSE, msg=name)
        loss.backward()
        torch.testing.assert_close(logits.grad, outputs[f"impo_{name}_logits_grad"], **GRADIENT, msg=name)
