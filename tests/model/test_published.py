"""Published layouts without published data: a model of ours is written under their names and read back.

Numbers of the real libraries are compared in tests/reference/test_model_reference.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rxt_mrl.errors import UserError
from rxt_mrl.model import Decoder, Encoder, MemoryAttention, MLMHead, RxT, preset
from rxt_mrl.model.published import convert_published

SIZES = {"num_layers": 2, "vocab_size": 31, "embed_dim": 16, "att_heads": 4, "seq_len": 12, "stm_size": 5}
SQA = {"self_att_type": "sqa", "cross_att_type": "sqa", "att_groups": 2, "att_query_groups": 2}
MODEL = {"vocab_size": 31, "embed_dim": 16, "heads": 4, "max_tokens": 12, "slots": 5}
HALF = {"type": "sqa", "query_groups": 2, "groups": 2}
PLAIN = {"attention": HALF, "feed_forward": {"hidden": 10}}
IDS = torch.randint(0, 31, (3, 7), generator=torch.Generator().manual_seed(0))
MASK = torch.arange(7) < torch.tensor([[7], [3], [5]])
MEMORY = torch.randn(2, 3, 5, 16, generator=torch.Generator().manual_seed(1))


def ours(*, layout: str = "split", experts: bool = True, encoder_reads: bool = False) -> RxT:
    torch.manual_seed(0)
    moe = {"experts": 3, "top_k": 2} if experts else None
    return RxT(
        preset(
            "nano",
            **MODEL,
            rope=layout,
            encoder={**PLAIN, "cross_attention": HALF if encoder_reads else None},
            decoder={**PLAIN, "cross_attention": HALF, "moe": moe},
            memory_attention={"attention": HALF, "inner_attention": HALF},
            initial_memory={"kind": "normal", "std": 1.0},
        )
    ).eval()


def settings(model: RxT) -> dict:
    """A config.json as RxNN 0.2 writes it."""
    decoder = {**SIZES, **SQA, "ff_dim": 10}
    if model.config.decoder.moe:
        decoder |= {"use_moe": True, "num_experts": 3, "moe_top_k": 2}
    return {
        "decoder_config": decoder,
        "encoder_config": {**SIZES, **SQA, "ff_dim": 10, "skip_memory_cross_attention": not model.encoder.reads_memory},
        "memory_attention_config": {
            **{key: SIZES[key] for key in SIZES if key != "vocab_size"},
            "use_gated_residual": True,
            "residual_gate_type": "linear",
            "use_tanh_residual_gate": False,
        },
        "memory_attention_variant": "interlayer",
    }


def weights(model: RxT) -> dict[str, torch.Tensor]:
    """The tensors under the names of RxNN 0.2 (RXT.md 1.12)."""
    found: dict[str, torch.Tensor] = {}
    for part in ("encoder", "decoder"):
        found[f"{part}.model.stm.memory"] = MEMORY[:, :1]
        for name, tensor in getattr(model, part).named_parameters():
            name = name.replace("memory_norm", "stm_norm").replace("router", "router.gate")
            name = name.replace("ff.fc1", "ff.fc1.linear")
            if "kv_proj" in name:
                for letter, half in zip("kv", tensor.chunk(2), strict=True):
                    found[f"{part}.model.{name.replace('kv_proj', letter + '_proj')}"] = half
            elif name.endswith(("ff.w_in", "ff.w_out", "ff.b_in", "ff.b_out")):
                prefix, last = name.rsplit(".", 1)
                layer = "fc1.linear" if last.endswith("in") else "fc2"
                for e, expert in enumerate(tensor):
                    kind, value = ("weight", expert.mT) if last[0] == "w" else ("bias", expert)
                    found[f"{part}.model.{prefix}.experts.{e}.{layer}.{kind}"] = value
            else:
                found[f"{part}.model.{name}"] = tensor
    names = {
        "attention": "attention_layers",
        "inner_attention": "mean_attention_layers",
        "memory_norm": "memory_norm_layers",
        "input_norm": "memory_input_norm_layers",
        "inner_norm": "mean_memory_norm_layers",
        "gate": "residual_gate_layers",
        "inner_gate": "mean_residual_gate_layers",
    }
    for name, tensor in model.memory_attention.named_parameters():
        part, rest = name.split(".", 1)
        if part == "mean_norm":
            found["memory_attention.model.mean_stm_norm.weight"] = tensor[0]
            continue
        for i, own in enumerate(tensor):
            prefix = f"memory_attention.model.{names[part]}.{i}"
            if rest.startswith("kv_proj"):
                for letter, half in zip("kv", own.chunk(2), strict=True):
                    found[f"{prefix}.{letter}_proj.weight"] = half
            else:
                found[f"{prefix}.{rest}"] = own
    return {key: tensor.detach().contiguous().clone() for key, tensor in found.items()}


def publish(folder: Path, config: dict, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


@torch.no_grad()
def same(first: RxT, second: RxT) -> None:
    assert first.decode(IDS, MEMORY).equal(second.decode(IDS, MEMORY))
    assert first.write(MEMORY, IDS, MASK).equal(second.write(MEMORY, IDS, MASK))


def test_whole_model(tmp_path):
    model = ours()
    tensors = weights(model)
    converted, report = convert_published(publish(tmp_path, settings(model), tensors))
    same(converted, model)
    assert report.layout == "rxnn-0.2"
    assert set(report.mapped) | set(report.unused) == set(tensors)
    assert report.missing == []
    assert "2 unused, 0 missing" in str(report)
    assert "\n  unused (2): the memory is a value here" in str(report)


@pytest.mark.parametrize(
    ("name", "part"), [("encoder", Encoder), ("decoder", Decoder), ("memory_attention", MemoryAttention)]
)
def test_one_component_of_a_whole_model_and_alone(name, part, tmp_path):
    model = ours()
    config, tensors = settings(model), weights(model)
    first, _ = convert_published(publish(tmp_path / "whole", config, tensors), name)
    prefix = f"{name}."
    alone = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    own = {**config[f"{name}_config"], "variant": "interlayer"}
    stated = "rxnn-0.2" if name == "memory_attention" else None
    second, report = convert_published(publish(tmp_path / "alone", own, alone), layout=stated)
    assert report.component == name
    for converted in (first, second):
        assert isinstance(converted, part)
        for parameter, expected in zip(converted.parameters(), getattr(model, name).parameters(), strict=True):
            assert parameter.equal(expected)


def test_command_saves_the_model_and_the_report(cli, tmp_path):
    model, out = ours(), tmp_path / "out"
    folder = publish(tmp_path / "in", settings(model), weights(model))
    done = cli("convert", folder, "--out", out)
    assert done.code == 0, done.err
    assert f"none: {folder} has no tokenizer.json; chat, evaluate and init_from need it" in done.out
    same(RxT.from_pretrained(out), model)
    assert json.loads((out / "conversion.json").read_text())["layout"] == "rxnn-0.2"
    assert cli("convert", folder, "--out", out).code == 0  # an earlier conversion is replaced
    other = publish(tmp_path / "other", settings(model), weights(model))
    for command in (("convert", other), ("convert", folder, "--component", "encoder")):
        line = cli(*command, "--out", out).line
        assert f"holds a conversion of another checkpoint (model of {folder}); give another directory" in line
    assert "holds something else than a conversion" in cli("convert", folder, "--out", tmp_path).line


def test_layout_that_nothing_tells_is_refused_unless_stated(tmp_path):
    """A dense model whose encoder reads the memory: the same keys in both libraries, and other numbers."""
    model = ours(experts=False, encoder_reads=True)
    folder = publish(tmp_path, settings(model), weights(model))
    with pytest.raises(UserError, match=r"fit both RxNN .* whose numbers differ; say which"):
        convert_published(folder)
    same(convert_published(folder, layout="rxnn-0.2")[0], model)
    newer, report = convert_published(folder, layout="rxlm-0.3")
    assert newer.config.rope == "interleaved"
    assert not newer.encoder.reads_memory
    assert "RxLM 0.3 never uses the encoder's memory cross-attention" in report.unused.values()


def test_an_mlm_head_is_the_same_in_both(tmp_path):
    head = MLMHead(preset("nano", vocab_size=31, embed_dim=16))
    converted, report = convert_published(publish(tmp_path, {"embed_dim": 16, "vocab_size": 31}, head.state_dict()))
    assert converted(MEMORY).equal(head(MEMORY))
    assert report.component == "mlm_head"


def test_a_model_card_tells_the_layout(tmp_path):
    model = ours(experts=False, encoder_reads=True)
    folder = publish(tmp_path, settings(model), weights(model))
    (folder / "README.md").write_text("---\nlibrary_name: RxNN\ntags: [x]\n---\n")
    same(convert_published(folder)[0], model)


def test_wrong_or_contradicting_layouts_are_refused(tmp_path):
    model = ours()
    config, tensors = settings(model), weights(model)
    folder = publish(tmp_path, config, tensors)
    with pytest.raises(UserError, match=r"'rxlm-0\.3' was given, but the checkpoint is rxnn-0\.2 \("):
        convert_published(folder, layout="rxlm-0.3")
    with pytest.raises(UserError, match=r"layout: 'rxnn'; allowed: rxnn-0\.2, rxlm-0\.3"):
        convert_published(folder, layout="rxnn")
    publish(tmp_path, {**config, "reference": "rxlm 0.3.93"}, tensors)
    with pytest.raises(UserError, match="signs contradict each other"):
        convert_published(folder)


def change(tmp_path: Path, *, config: dict | None = None, tensors: dict | None = None, drop: str = "") -> Path:
    model = ours()
    merged = settings(model)
    for section, values in (config or {}).items():
        merged[section] = {**merged[section], **values} if isinstance(values, dict) else values
    kept = {key: tensor for key, tensor in weights(model).items() if key != drop}
    return publish(tmp_path, merged, {**kept, **(tensors or {})})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tensors": {"decoder.model.layers.0.attention.gate_proj.weight": torch.zeros(3)}},
            "contradict|not understood",
        ),
        ({"tensors": {"decoder.model.layers.0.extra": torch.zeros(3)}}, "1 tensors are not understood"),
        ({"tensors": {"strange.weight": torch.zeros(3)}}, "strange.weight: a tensor of no known component"),
        (
            {"tensors": {"encoder.model.embedding.weight": torch.zeros(31, 16)}},
            "encoder and decoder hold different ones",
        ),
        ({"drop": "decoder.model.layers.1.norm3.weight"}, r"1 are missing \['decoder.layers.1.norm3.weight'\]"),
        ({"drop": "decoder.model.layers.1.attention.v_proj.weight"}, "do not join"),
        ({"config": {"memory_attention_variant": "fancy"}}, "memory_attention_variant: 'fancy'; allowed: simple"),
        ({"config": {"decoder_config": {"use_nope": True}}}, "decoder.use_nope: True is not supported"),
        ({"config": {"decoder_config": {"self_att_type": "gma"}}}, "decoder.self_att_type: 'gma' is not supported"),
        ({"config": {"decoder_config": {"use_gated": False}}}, "use_gated: False, but the checkpoint has no"),
        ({"config": {"decoder_config": {"embed_dim": 32}}}, "embed_dim: the components disagree"),
        ({"config": {"memory_attention_config": {"residual_gate_type": "static"}}}, "does not fit the keys"),
    ],
)
def test_what_is_not_understood_is_refused(changes, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        convert_published(change(tmp_path, **changes))
    assert "\n" not in str(error.value)


def test_not_strict_lists_what_is_wrong(tmp_path):
    folder = change(
        tmp_path, tensors={"decoder.model.layers.0.extra": torch.zeros(3)}, drop="decoder.model.layers.1.norm3.weight"
    )
    _, report = convert_published(folder, strict=False)
    assert report.unused["decoder.model.layers.0.extra"] == "not understood"
    assert report.missing == ["decoder.layers.1.norm3.weight"]


def test_sources_that_are_not_there(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"no config\.json"):
        convert_published(tmp_path)
    with pytest.raises(UserError, match=r"component: 'head'; allowed: encoder, decoder"):
        convert_published(tmp_path, "head")
    model = ours()
    tensors = {k.removeprefix("decoder."): v for k, v in weights(model).items() if k.startswith("decoder.")}
    folder = publish(tmp_path, settings(model)["decoder_config"], tensors)
    with pytest.raises(UserError, match=r"no encoder in the checkpoint; it holds: decoder"):
        convert_published(folder, "encoder")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="the Hub cannot be reached"):
        convert_published("nobody/nothing")


def test_ours_is_not_converted_again(tmp_path):
    ours().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"already a checkpoint of this library; use RxT\.from_pretrained"):
        convert_published(tmp_path)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("decoder.model.layers.0.attention.gate_proj.weight", "gated attention"),
        ("decoder.model.layers.0.ff.shared_experts.1.fc1.linear.weight", "several shared experts"),
        ("decoder.model.stateless_layers.0.norm1.weight", "layers that read no memory"),
    ],
)
def test_parts_of_the_newer_library_that_are_not_built_are_named(tmp_path, key, reason):
    model = ours()
    folder = publish(tmp_path, settings(model), {**weights(model), key: torch.ones(2, 2)})
    with pytest.raises(UserError, match=reason) as caught:
        convert_published(folder)
    assert key in str(caught.value)
