"""What a run starts from: parts of runs, and each way in which they do not fit in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.model import Encoder
from rxt_mrl.pipeline.recipe import load_recipe
from rxt_mrl.pipeline.start import initial_head, initial_model, initial_tokenizer, load_head
from rxt_mrl.runs import checkpoints

Command = Callable[..., Any]


@pytest.fixture
def refused(cli: Command, tiny: Path) -> Callable[..., str]:
    def line(*assignments: str) -> str:
        words = [word for assignment in assignments for word in ("--set", assignment)]
        return cli("recipe", "check", tiny, *words).line

    return line


def start(tiny: Path, *assignments: str) -> tuple[Any, dict[str, Any]]:
    recipe = load_recipe(str(tiny), list(assignments))
    tokenizer = initial_tokenizer(recipe)
    assert tokenizer is not None
    return recipe, initial_model(recipe, tokenizer).state_dict()


def test_parts_are_taken_and_the_rest_is_fresh(tiny: Path, finished: Path) -> None:
    trained = load_file(finished / "checkpoints" / "mrl" / "model.safetensors")
    recipe, model = start(tiny, f"model.init_from={{encoder: {finished}}}", "seed=5")
    for name, tensor in trained.items():
        same = model[name].equal(tensor)
        if name.startswith("encoder.layers") or name == "embedding.weight":
            assert same, name
        if name.startswith(("decoder.head.weight", "memory_attention.attention.q_proj")):
            assert not same, name
    assert initial_head(recipe) == finished / "checkpoints" / "mrl" / "mlm_head.safetensors"
    recipe, model = start(tiny, f"model.init_from={{decoder: {finished}, mlm_head: {finished}}}", "seed=5")
    assert model["decoder.head.weight"].equal(trained["decoder.head.weight"])
    assert initial_head(recipe) == finished / "checkpoints" / "mrl" / "mlm_head.safetensors"


def test_an_encoder_of_its_own_and_its_head(tiny: Path, finished: Path, tmp_path: Path) -> None:
    folder = finished / "checkpoints" / "joint"
    model, tokenizer = checkpoints.load(folder)
    Encoder.save_pretrained(model.encoder, tmp_path / "encoder")
    tokenizer.save(tmp_path / "encoder")
    load_head(folder / "mlm_head.safetensors", model.config).save_pretrained(tmp_path / "head")
    named = f"model.init_from={{encoder: {tmp_path / 'encoder'}, mlm_head: {tmp_path / 'head'}}}"
    recipe, started = start(tiny, f"tokenizer.path={folder}", named)
    assert started["encoder.layers.0.norm1.weight"].equal(model.encoder.layers[0].norm1.weight)
    assert started["embedding.weight"].equal(model.embedding.weight)
    head = initial_head(recipe)
    assert head is not None
    assert load_head(head, model.config).dense.weight.equal(
        load_head(folder / "mlm_head.safetensors", model.config).dense.weight
    )


def test_two_embeddings_are_not_one(tiny: Path, finished: Path) -> None:
    first, last = (finished / "checkpoints" / name for name in ("joint", "mrl"))
    with pytest.raises(Exception, match=r"different embeddings, and a model has one; give init_from\.embedding"):
        start(tiny, f"model.init_from={{encoder: {first}, decoder: {last}}}")
    _, model = start(tiny, f"model.init_from={{encoder: {first}, decoder: {last}, embedding: {last}}}")
    assert model["embedding.weight"].equal(load_file(last / "model.safetensors")["embedding.weight"])


def test_what_does_not_fit_is_one_line(refused: Callable[..., str], finished: Path, tmp_path: Path) -> None:
    checkpoint = finished / "checkpoints" / "mrl"
    encoder = f"model.init_from={{encoder: {finished}}}"
    assert "embed_dim is 16 there and 32 in the model" in refused(encoder, "model.options.embed_dim=32")
    assert "encoder.feed_forward.hidden is 192 there and 64" in refused(
        encoder, "model.options.encoder={feed_forward: {hidden: 64}}"
    )
    assert "slots is 4 there and 8" in refused(
        f"model.init_from={{memory_attention: {finished}}}", "model.options.slots=8"
    )
    assert "/gone: no such directory" in refused("model.init_from={decoder: /gone}")
    assert "no MLM head there; stages joint" in refused(f"model.init_from={{mlm_head: {checkpoint}-1}}")
    assert "init_from names nothing; allowed: model, encoder" in refused("model.init_from={}")
    assert "unknown key 'model.init_from.encodr' (did you mean 'encoder'?)" in refused("model.init_from={encodr: x}")
    assert "give model or encoder, and not both" in refused("model.init_from={model: x, encoder: y}")
    # a tokenizer of another vocabulary
    DialogueTokenizer.train(["some other words"], 280).save(tmp_path / "other")
    assert "tokenizer.path: its tokenizer has another vocabulary than that of model.init_from" in refused(
        f"model.init_from={checkpoint}", f"tokenizer.path={tmp_path / 'other'}"
    )
    assert "another vocabulary than that of model.init_from.encoder" in refused(
        encoder, f"tokenizer.path={tmp_path / 'other'}"
    )
    assert "tokenizer.vocab_size = 300: the tokenizer of model.init_from has" in refused(
        f"model.init_from={checkpoint}", "tokenizer.vocab_size=300"
    )
    # options that a checkpoint contradicts
    assert "model.options.slots = 8: the model of model.init_from" in refused(
        f"model.init_from={checkpoint}", "model.options.slots=8"
    )
    assert "model.options.slotz = 8: model.init_from" in refused(
        f"model.init_from={checkpoint}", "model.options.slotz=8"
    )


def test_half_precision_needs_a_gpu(refused: Callable[..., str]) -> None:
    line = refused("device=cpu", "supervised.joint.precision=float16")
    assert "supervised.joint.precision = 'float16': the device is the CPU; allowed there: float32, bfloat16" in line


def test_a_part_that_was_never_trained(refused: Callable[..., str], finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(finished / "checkpoints" / "joint", folder)
    (folder / "trained.json").write_text('{"components": ["embedding", "encoder", "mlm_head"]}')
    line = refused(f"model.init_from={{decoder: {folder}}}")
    assert "has not trained that part; it has: embedding, encoder, mlm_head" in line
