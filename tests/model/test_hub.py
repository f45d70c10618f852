"""Saving and loading: bit for bit, whole models and parts, and refusals."""

from __future__ import annotations

import json

import pytest
import torch

from rxt_mrl.errors import UserError
from rxt_mrl.model import Critic, Decoder, Encoder, MemoryAttention, MLMHead, RxT, preset

CONFIG = preset(
    "nano",
    vocab_size=31,
    embed_dim=16,
    heads=2,
    decoder={"moe": {"experts": 3, "top_k": 2}},
    memory_attention={"norm": "adaptive"},
)
IDS = torch.randint(0, 31, (3, 8), generator=torch.Generator().manual_seed(0))
MASK = torch.arange(8) < torch.tensor([[8], [3], [5]])
MEMORY = torch.randn(2, 3, 8, 16, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def outputs(model):
    match model:
        case RxT():
            return [model.decode(IDS, MEMORY, MASK), model.write(MEMORY, IDS, MASK), model.initial_memory(2)]
        case Critic() | Encoder():
            return [model(IDS, MASK)]
        case Decoder():
            return [model(IDS, MEMORY).logits]
        case MemoryAttention():
            return [model(MEMORY, MEMORY, torch.ones(3, 8, dtype=torch.bool))]
        case _:
            return [model(MEMORY)]


def make(part):
    torch.manual_seed(0)
    if part is Critic:
        return Critic(Encoder(CONFIG), activation="tanh", scale=3.0, shift=0.5)
    return part(CONFIG)


@pytest.mark.parametrize("part", [RxT, Encoder, Decoder, MemoryAttention, MLMHead, Critic])
def test_saved_and_loaded_is_the_same_bit_for_bit(part, tmp_path):
    model = make(part)
    if part is MemoryAttention:  # running statistics are saved too
        model.train()(MEMORY, MEMORY, torch.ones(3, 8, dtype=torch.bool))
    model.eval().save_pretrained(tmp_path)
    torch.manual_seed(99)
    loaded = part.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded.config == model.config
    for actual, expected in zip(outputs(loaded), outputs(model), strict=True):
        assert actual.equal(expected)


def test_one_embedding_after_loading(tmp_path):
    make(RxT).save_pretrained(tmp_path)
    loaded = RxT.from_pretrained(tmp_path)
    assert loaded.encoder.embedding.weight is loaded.embedding.weight is loaded.decoder.embedding.weight


def test_a_part_of_a_model_can_be_saved_and_used(tmp_path):
    model = make(RxT).eval()
    model.encoder.save_pretrained(tmp_path)
    assert Encoder.from_pretrained(tmp_path)(IDS, MASK).equal(model.encode(IDS, MASK))


def test_checkpoints_that_do_not_fit_are_refused(tmp_path):
    make(Encoder).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"holds a Encoder, not a RxT; load it with Encoder\.from_pretrained"):
        RxT.from_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    settings["config"]["num_layers"] = 3
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"tensors are missing, the first is layers\.2"):
        Encoder.from_pretrained(tmp_path)
    settings["config"]["num_layers"] = 1
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"tensors are unknown, the first is layers\.1"):
        Encoder.from_pretrained(tmp_path)
    settings["config"].update(num_layers=2, vocab_size=32)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"embedding\.weight has shape \(31, 16\); allowed: \(32, 16\)"):
        Encoder.from_pretrained(tmp_path)


def test_a_published_checkpoint_is_not_ours(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"decoder_config": {}, "encoder_config": {}}))
    with pytest.raises(UserError, match="rxt-mrl convert"):
        RxT.from_pretrained(tmp_path)


def test_a_folder_without_files(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json"):
        RxT.from_pretrained(tmp_path)


def test_push_to_hub_uploads_what_save_writes(monkeypatch):
    """Without a network: the client is replaced, and what it is given is looked at."""
    from huggingface_hub import hub_mixin

    sent = {}

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, **options):
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, *, folder_path, **options):
            sent.update({path.name: path.stat().st_size for path in folder_path.iterdir()})
            return "url"

    monkeypatch.setattr(hub_mixin, "HfApi", Api)
    assert make(MLMHead).push_to_hub("me/head") == "url"
    assert {"config.json", "model.safetensors", "README.md"} <= sent.keys()
