"""Agreement with the published reinforcement learning, from numbers that the published library produced."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rxt_mrl.mrl.advantages import published_advantages, published_gae
from rxt_mrl.mrl.objectives import answer_logits, impo, published_critic_loss

ROOT = Path(os.environ.get("RXT_MRL_REFERENCE", Path(__file__).parents[3] / "shared" / "reference")) / "RL"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason=f"no reference numbers in {ROOT} (set RXT_MRL_REFERENCE)")
CLOSE = {"atol": 1e-4, "rtol": 1e-4}
GRADIENT = {"atol": 1e-6, "rtol": 1e-4}


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
