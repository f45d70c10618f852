from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rxt_mrl.model import MLMHead
from rxt_mrl.supervised.batches import BatchData, BatchPlan
from rxt_mrl.supervised.config import InteractionSettings, JointSettings
from rxt_mrl.supervised.joint import JointModel
from rxt_mrl.supervised.rows import interaction_rows


@pytest.fixture
def batch(dialogues):
    return BatchData(interaction_rows(dialogues), seed=0).__getitems__([BatchPlan(0, (0, 1, 6, 7))])


def stage(model, answers_only=False, **settings):
    torch.manual_seed(1)
    kind = InteractionSettings if answers_only else JointSettings
    head = MLMHead(model.config)
    return JointModel(model, head, kind(updates=1, **settings), mask_id=4, answers_only=answers_only)


@pytest.mark.parametrize("memory", ["tokens", "slots"])
def test_decoder_losses_reach_the_encoder_through_the_embedding_alone(model, batch, memory):
    stage(model, memory=memory, mlm_weight=0.0)(**batch)["loss"].backward()
    for name, parameter in model.encoder.named_parameters():
        if not name.startswith("embedding"):
            assert parameter.grad is None or not parameter.grad.any(), name
    assert model.embedding.weight.grad.any()
    assert any(p.grad is not None and p.grad.any() for p in model.component_parameters("memory_cross_attention"))


@pytest.mark.parametrize("memory", ["tokens", "slots"])
def test_padding_changes_no_loss_of_the_decoder(model, batch, memory):
    """Masks are drawn for the width of the batch, so the encoder is given the same masks by masking nothing."""
    joint = stage(model, memory=memory, mask_share=1e-9)
    rows = {name: batch[name] for name in ("ids", "mask", "answer_mask")}
    alone = {name: value[:1, : int(batch["mask"][0].sum())] for name, value in rows.items()}
    encoded = model.encode(alone["ids"], alone["mask"])
    wide = {name: F.pad(value, (0, 5)) for name, value in alone.items()}
    encoded_wide = model.encode(wide["ids"], wide["mask"])
    generator = torch.Generator()
    narrow_memory = joint._memory(encoded, alone["ids"], alone["mask"], generator)
    wide_memory = joint._memory(encoded_wide, wide["ids"], wide["mask"], generator)
    if memory == "slots":
        torch.testing.assert_close(narrow_memory, wide_memory)
    else:
        length = narrow_memory.shape[2]
        torch.testing.assert_close(wide_memory[:, :, :length], narrow_memory)
        torch.testing.assert_close(wide_memory[:, :, length:], narrow_memory[:, :, :5])


def test_counted_tokens(model, batch, tokenizer):
    sums = stage(model)(**batch)["sums"]
    assert sums["accuracy"][1] == batch["mask"].sum() - 4  # all but [BOS]
    sums = stage(model, answers_only=True)(**batch)["sums"]
    assert sums["accuracy"][1] == batch["answer_mask"].sum()
    assert (batch["ids"][batch["answer_mask"]] == tokenizer.eos_id).sum() == 4


def test_objectives_train_their_parts(model, batch):
    assert "decoder" not in stage(model, objective="mlm").trained()
    assert set(stage(model, objective="ar").trained()) == {"embedding", "decoder"}
    output = stage(model, objective="mlm")(**batch)
    assert set(output["sums"]) == {"mlm_loss", "mlm_accuracy"}
    output = stage(model, objective="ar")(**batch)
    assert set(output["sums"]) == {"loss", "accuracy"}


def test_noise_is_keyed_by_the_batch(model, batch):
    joint = stage(model, memory_noise=1.0, memory_masking=0.5)
    assert joint(**batch)["loss"] == joint(**batch)["loss"]
    other = {**batch, "draw": batch["draw"] + 1}
    assert joint(**other)["loss"] != joint(**batch)["loss"]


def test_a_mixture_of_experts_adds_its_router_loss(make_model, tokenizer, batch):
    moe = {"moe": {"experts": 2, "top_k": 1}, "feed_forward": {"hidden": 8}}
    model = make_model(tokenizer.vocab_size, decoder=moe)
    with torch.no_grad():
        plain = stage(model, router_weight=0.0, objective="ar")(**batch)["loss"]
        weighted = stage(model, router_weight=1.0, objective="ar")(**batch)["loss"]
    assert weighted > plain + 0.5


def test_the_head_belongs_to_the_stage(model):
    joint = stage(model)
    assert isinstance(joint.extra_modules()["mlm_head"], nn.Module)
