"""Agreement with numbers of the published libraries (cases A-F), through converted checkpoints.

The folder is RXT_MRL_REFERENCE (default ../shared/reference). Sizes are read from each case's config.json,
so other seeds and sizes of the same cases can be put there.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rxt_mrl.model import RxT
from rxt_mrl.model.moe import router_stats
from rxt_mrl.model.published import ConversionReport, convert_published

ROOT = Path(os.environ.get("RXT_MRL_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))
CASES = sorted(p.name for p in ROOT.glob("[A-F]_*") if (p / "weights.safetensors").is_file()) if ROOT.is_dir() else []
ATOL = RTOL = 1e-4

pytestmark = pytest.mark.skipif(not CASES, reason=f"no reference data in {ROOT} (set RXT_MRL_REFERENCE)")


@lru_cache
def load(case: str) -> tuple[RxT, ConversionReport, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    model, report = convert_published(ROOT / case)
    assert isinstance(model, RxT)
    return model, report, load_file(ROOT / case / "inputs.safetensors"), load_file(ROOT / case / "outputs.safetensors")


def close(actual: torch.Tensor, expected: torch.Tensor, atol: float = ATOL) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=RTOL)


def growing(case: str) -> float:
    """Tolerance of the second write: the memories of D and E grow, and rounding with them."""
    return 3e-4 if case[0] in "DE" else ATOL


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_is_accounted_for(case):
    model, report, _, _ = load(case)
    published = load_file(ROOT / case / "weights.safetensors")
    assert report.missing == []
    assert set(report.mapped) | set(report.unused) == set(published)
    assert "not understood" not in report.unused.values()
    assert report.parameters == sum(p.numel() for p in model.parameters())
    assert set(report.mapped.values()) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("case", CASES)
def test_encoder_and_decoder(case):
    model, _, given, expected = load(case)
    ids, mask, memory = given["input_ids"], given["attention_mask"].bool(), given["stm"]
    close(model.decode(ids, memory, mask)[mask], expected["decoder_logits"][mask])
    close(model.decode(ids, memory)[mask], expected["decoder_logits"][mask])
    encoded = model.encode(ids, mask, memory if model.encoder.reads_memory else None)
    close(encoded[:, mask], expected["encoded_data"][:, mask])
    if "mlm_logits" in expected:
        head, _ = convert_published(ROOT / case, "mlm_head")
        close(head(encoded[-1])[mask], expected["mlm_logits"][mask])


@pytest.mark.parametrize("case", CASES)
def test_memory_updates(case):
    model, _, given, expected = load(case)
    ids, mask = given["input_ids"], given["attention_mask"].bool()
    if case.startswith("B"):
        assert model.encoder.reads_memory, "case B is the one whose encoder reads the memory"
    once = model.write(given["stm"], ids, mask)
    close(once, expected["updated_stm"])
    twice = model.scan(given["stm"], ids[:, None].expand(-1, 2, -1), mask[:, None].expand(-1, 2, -1))
    close(twice[1], expected["updated_stm"])
    if "updated_stm_2" in expected:
        close(model.write(once, ids, mask), expected["updated_stm_2"], growing(case))
        close(twice[2], expected["updated_stm_2"], growing(case))


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("F")])
def test_greedy_conversation(case):
    model, _, given, expected = load(case)
    special = json.loads((ROOT / case / "config.json").read_text())["special_tokens"]
    memory = given["rollout_stm0"]
    for turn in ("1", "2"):
        prompt = torch.cat([given[f"rollout_query{turn}"], torch.tensor([[special["answer_token_id"]]])], dim=1)
        answer = greedy(model, prompt, memory, special["eos_token_id"], limit=10)
        assert answer == expected[f"rollout_generated{turn}"].tolist()
        full = torch.cat([prompt, torch.tensor([answer])], dim=1)
        assert full.tolist() == expected[f"rollout_full{turn}"].tolist()
        memory = model.write(memory, full, torch.ones_like(full, dtype=torch.bool))
        close(memory, expected[f"rollout_stm{turn}"], growing(case) if turn == "2" else ATOL)


def greedy(model: RxT, prompt: torch.Tensor, memory: torch.Tensor, eos: int, limit: int) -> list[int]:
    memory_kv = model.decoder.memory_kv(memory)
    cache = model.decoder.new_cache(1, min(prompt.shape[1] + limit, model.config.max_tokens))
    logits = model.decoder.prefill(prompt, torch.ones_like(prompt, dtype=torch.bool), memory_kv, cache)
    steps = model.decoder.prepare_steps(cache.capacity)
    answer: list[int] = []
    while len(answer) < limit:
        token = logits.argmax(-1, keepdim=True)
        answer.append(int(token))
        if answer[-1] == eos:
            break
        logits = model.decoder.step(token, memory_kv, cache, steps)
    return answer


@pytest.mark.skipif(not (ROOT / "RL" / "weights.safetensors").is_file(), reason=f"no RL reference data in {ROOT}")
def test_critic_and_published_router_loss():
    critic, report = convert_published(ROOT / "RL", "critic", strict=False)
    assert report.missing == []
    given, expected = load_file(ROOT / "RL" / "inputs.safetensors"), load_file(ROOT / "RL" / "outputs.safetensors")
    settings = json.loads((ROOT / "RL" / "config.json").read_text())
    ids, mask = expected["critic_concat_ids"], expected["critic_concat_mask"].bool()
    for activation in settings["critic"]["activations"]:
        critic.activation = activation
        close(critic(ids, mask), expected[f"critic_{activation}"])

    router = load_file(ROOT / "RL" / "weights.safetensors")["moe_router.gate.weight"]
    probabilities = (given["router_x"] @ router.T).softmax(-1)
    index = probabilities.topk(settings["router"]["top_k"], dim=-1).indices
    close(router_stats(probabilities, index, "published").loss, expected["router_aux_loss"].squeeze())
