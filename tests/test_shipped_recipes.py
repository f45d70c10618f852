"""Every shipped recipe runs to its end on data in the published layout; only widths and updates are smaller."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from published_layout import write_published
from safetensors.torch import load_file

from rxt_mrl import plugins
from rxt_mrl.pipeline.recipe_files import resolve
from rxt_mrl.supervised.config import STAGE_SETTINGS

Command = Callable[..., Any]
DOCS = Path(__file__).parent.parent / "docs" / "supervised.md"
WIDTHS = "{embed_dim: 32, num_layers: 1, slots: 4, encoder: {feed_forward: {hidden: 16}}, " + (
    "decoder: {feed_forward: {hidden: 16}}}"
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    write_published(root)
    return root


def smaller(name: str) -> list[str]:
    """``--set`` of narrow layers, as long as the recipe's texts, and of two updates of each stage."""
    recipe = resolve(name)
    longest = recipe["model"].get("options", {}).get("max_tokens")
    changes = [f"model.options={WIDTHS}", *([f"model.options.max_tokens={longest}"] if longest else [])]
    changes += [f"supervised.{stage}.updates=2" for stage in STAGE_SETTINGS if recipe["supervised"].get(stage)]
    changes += [f"curriculum.{number}.updates=1" for number in range(len(recipe.get("curriculum", ())))]
    return [word for change in changes for word in ("--set", change)]


ENDLESS = ("demo", "nano-16", "not-knowing", "own-words")
"""Recipes on the storyworld."""
FEW = {"evaluation.episodes": 8, "data.supervised_dialogues": 200, "data.mrl_dialogues": 64, "rollout.workers": 0}
"""What they are tried with."""


@pytest.mark.slow
@pytest.mark.parametrize("name", plugins.names("curriculum"))
def test_it_runs_to_its_end(
    name: str, published: Path, cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(published)
    more = [word for key, value in FEW.items() for word in ("--set", f"{key}={value}")] if name in ENDLESS else []
    outcome = cli("train", name, "--out", tmp_path / "run", *smaller(name), *more)
    assert outcome.code == 0, outcome.err
    complete = json.loads((tmp_path / "run" / "progress.json").read_text())
    recipe = resolve(name)
    wanted = [stage for stage in STAGE_SETTINGS if recipe["supervised"].get(stage)]
    assert list(complete) == wanted + (["mrl"] if recipe.get("curriculum") else [])


# --- encoder, decoder, whole: as written in the docs -----------------------------------------------------------------


def documented() -> tuple[list[list[str]], str]:
    """The commands of the section about parts, as words, and the recipe between them."""
    section = re.split(r"(?m)^## ", DOCS.read_text(encoding="utf-8"))
    (text,) = [part for part in section if part.startswith("Parts, in the published order")]
    commands = [shlex.split(line)[1:] for line in re.findall(r"(?m)^\$ (rxt-mrl train .*)$", text)]
    (recipe,) = re.findall(r"(?s)```yaml\n(.*?)```", text)
    return commands, recipe


@pytest.mark.slow
def test_encoder_decoder_whole(published: Path, cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for owner in published.iterdir():
        (tmp_path / owner.name).symlink_to(owner)
    commands, recipe = documented()
    (tmp_path / "whole.yaml").write_text(recipe)
    assert [words[1] for words in commands] == ["alpha-micro-encoder", "alpha-micro-decoder", "whole.yaml"]
    for words in commands:
        outcome = cli(*words, *smaller(words[1]))
        assert outcome.code == 0, outcome.err
    encoder, decoder = (tmp_path / "runs" / name / "checkpoints" / "joint" for name in ("encoder", "decoder"))
    whole = tmp_path / "runs" / "whole" / "checkpoints"
    before, after = (load_file(folder / "model.safetensors") for folder in (encoder, decoder))
    kept = [name for name in before if not name.startswith("decoder.") or "memory" in name or "norm2" in name]
    kept = [name for name in kept if not name.startswith(("memory_attention.", "initial."))]
    assert "embedding.weight" in kept
    assert any("memory_cross_attention" in name for name in kept)
    assert all(before[name].equal(after[name]) for name in kept), "embedding, encoder and cross-attention stay"
    assert not before["decoder.head.weight"].equal(after["decoder.head.weight"])
    heads = [(folder / "mlm_head.safetensors").read_bytes() for folder in (encoder, decoder)]
    assert heads[0] == heads[1]
    assert (whole / "memory_aware" / "mlm_head.safetensors").is_file()
    noted = json.loads((decoder.parents[1] / "progress.json").read_text())["joint"]
    assert {"accuracy", "ppl", "update"} <= noted["held_out"].keys()
    assert "mlm_accuracy" in json.loads((encoder.parents[1] / "progress.json").read_text())["joint"]["held_out"]
    assert (encoder.parents[1] / "evaluation" / "learning-joint.png").read_bytes().startswith(b"\x89PNG")
    stored = yaml.safe_load((tmp_path / "runs" / "whole" / "recipe.yaml").read_text())["recipe"]
    assert stored["model"]["init_from"]["decoder"] == "runs/decoder"
