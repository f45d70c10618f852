"""A small world of good and bad files, and a command that must be refused in one line and change nothing in it."""

from __future__ import annotations

import gzip
import json
import math
import os
import pickle
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rxt_mrl import yaml12
from rxt_mrl.conversation.memory_file import FORMAT, save_memory
from rxt_mrl.runs.checkpoints import load

Command = Callable[..., Any]

TURN = {"query": "What is it called?", "answer": "Rex."}
ROW = {"query": "My dog is called Rex.", "answer": "Nice.", "interactions": [TURN, TURN]}

REWARDS = """
import os, sys, threading
from rxt_mrl.contracts import reward

def raises(context):
    return [1 / 0]

def leaves(context):
    sys.exit(0)

def nan(context):
    return [float("nan")] * len(context)

def high(context):
    return [1.5] * len(context)

def short(context):
    return [0.5] * (len(context) + 1)

def text(context):
    return ["good"] * len(context)

def nothing(context):
    return None

def two(context, reference):
    return [0.5] * len(context)

class Needs:
    def __init__(self, size):
        self.size = size
    def __call__(self, context):
        return [0.5] * len(context)

class Fails:
    def __init__(self):
        raise KeyError("no such key")
    def __call__(self, context):
        return [0.5] * len(context)

class Leaves:
    def __init__(self):
        sys.exit(0)
    def __call__(self, context):
        return [0.5] * len(context)

@reward(episode=True)
def episode(context):
    return [0.5] * len(context)

@reward()
class Locked:
    def __init__(self):
        self.lock = threading.Lock()
    def __call__(self, context):
        return [0.5] * len(context)

class Counts:
    calls = 0
    def __call__(self, context):
        return [0.5] * len(context)
    def state_dict(self):
        return {"calls": self.calls}
    def load_state_dict(self, state):
        self.calls = state["calls"]

class Unmerged(Counts):
    def merge(self, states):
        raise ValueError("no two are alike")

class Unloaded(Counts):
    def load_state_dict(self, state):
        raise KeyError("called")

class Mute(Exception):
    def __str__(self):
        raise ValueError("it cannot say it")

def mute(context):
    raise Mute

number = 7
"""

ENVS = """
import numpy as np
from rxt_mrl.envs import MemoryRetentionVectorEnv as Base

class Fails(Base):
    def __init__(self, *args, **options):
        raise KeyError("no such key")

class Leaves(Base):
    def __init__(self, *args, **options):
        raise SystemExit(0)

class Raises(Base):
    def step(self, actions):
        raise IndexError("out of range")

class Exits(Base):
    def step(self, actions):
        raise SystemExit(0)

class Blind(Base):
    def step(self, actions):
        observation, *rest = super().step(actions)
        return {"query": observation["query"]}, *rest

class High(Base):
    def step(self, actions):
        observation, rewards, *rest = super().step(actions)
        return observation, rewards + 2, *rest

class Early(Base):
    def step(self, actions):
        observation, rewards, terminated, *rest = super().step(actions)
        return observation, rewards, np.ones_like(terminated), *rest

number = 7
"""


def files(folder: Path, tiny: Path) -> None:
    """Recipes, data and plug-ins."""

    def write(name: str, content: str | bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())

    lean = {
        "extends": str(tiny), "name": "lean", "tokenizer": {"vocab_size": 300, "dialogues": 10},
        "data": {"supervised_dialogues": 8, "mrl_dialogues": 6}, "curriculum": [{"steps": 2, "updates": 2}],
        "supervised": dict.fromkeys(("joint", "interaction", "memory_attention", "memory_aware")),
        "evaluation": {"steps": 2, "episodes": 2, "score": False}, "rollout": {"episodes": 2, "shard": 2},
        "algorithm": {"minibatches": 1},
    }  # fmt: skip
    write("lean.yaml", json.dumps(lean))
    write("bytes.yaml", b"\xff\xfe\x00")
    write("list.yaml", "- 1\n")
    write("empty.yaml", "")
    write("twice.yaml", "name: a\nname: b\n")
    write("circle.yaml", "extends: circle.yaml\n")
    write("half.yaml", 'name: "x\\ud83d"\n')
    write("nul.yaml", 'name: a\ntokenizer: {path: "a\\0b"}\n')
    write("endless.yaml", "name: &a [*a]\n")
    aliases = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    aliases += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    write("laughs.yaml", "\n".join(aliases))
    write("deep.yaml", "a: " + "[" * 3000)
    write("code.yaml", "name: !!python/object/apply:os.system ['touch ran']\n")
    write("tab.yaml", "name:\n\tx: 1\n")
    (folder / "folder.yaml").mkdir()

    rows = json.dumps(ROW) + "\n"
    write("good.jsonl", rows * 12)
    write("data/train.jsonl", rows * 12)
    write("data/validation.jsonl", rows * 12)
    write("empty.jsonl", "")
    write("blank.jsonl", "\n \n")
    write("cut.jsonl", rows + rows[:-20])
    write("half.jsonl", rows + json.dumps(ROW | {"answer": "x \ud83d"}) + "\n")
    write("repeated.jsonl", '{"query": "a", "query": "b", "answer": "c"}\n')
    write("string.jsonl", json.dumps(ROW | {"interactions": json.dumps([TURN])}) + "\n")
    write("null.jsonl", rows + "null\n")
    write(
        "negative.jsonl", json.dumps(ROW | {"interactions": [{**TURN, "asks": [{"value": "x", "told_at": -3}]}]}) + "\n"
    )
    write("number.jsonl", json.dumps(ROW | {"interactions": [{**TURN, "asks": [{"value": 3, "told_at": 0}]}]}) + "\n")
    write("unknown.jsonl", '{"query": NaN, "answer": "b"}\n')
    write("twice.csv", "query,query,answer\na,b,c\n")
    write("ragged.csv", "query,answer\na\nb,c,d\n")
    write("wide.csv", "query,answer\na,b\n".encode("utf-16"))
    write("dialogues.csv", "query,answer,interactions\na,b,[]\n")
    write("blank.csv", "")
    write("wider.jsonl", rows.encode("utf-32"))
    write("capital.jsonl", json.dumps({"Query": "a", "Answer": "b", "Interactions": [TURN]}) + "\n")
    write("column.jsonl", json.dumps({"question": "a", "answer": "b"}) + "\n")
    write("types.jsonl", json.dumps(ROW | {"query": 7}) + "\n")
    write("emptied.jsonl", json.dumps(ROW | {"answer": " "}) + "\n")
    write("alone.jsonl", json.dumps(ROW | {"interactions": []}) + "\n")
    write("later.jsonl", json.dumps(ROW | {"interactions": [{**TURN, "asks": [{"value": "x", "told_at": 3}]}]}) + "\n")
    write("digits.jsonl", '{"query": ' + "9" * 5000 + "}\n")
    write("deep.jsonl", "[" * 100_000 + "\n")
    write("latin.jsonl", '{"query": "ä"}\n'.encode("latin-1"))
    write("wide.jsonl", rows.encode("utf-16"))
    write("packed.jsonl", gzip.compress(rows.encode()))
    write("pickled.jsonl", pickle.dumps([ROW]))
    write("page.jsonl", "<!DOCTYPE html>\n<html></html>\n")
    write("pointer.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    write("text.parquet", rows)
    write("empty.parquet", b"")
    write("text.arrow", rows)
    write("none/readme.md", "nothing here")
    write("mixed/train.jsonl", rows)
    write("mixed/train.txt", "1 Mary went home.\n")
    write("script/script.py", "open('ran', 'w')\nraise SystemExit\n")
    write("source.yaml", "source: jsonl\npth: good.jsonl\n")
    write(
        "sources.py",
        """
        def fails(split, **options):
            yield {"query": "a", "answer": "b", "interactions": [{"query": "c", "answer": "d"}]}
            raise KeyError("gone")

        def leaves(split, **options):
            raise SystemExit(0)

        def wrong(split, **options):
            return 7

        def texts(split, **options):
            return [3, 4]
    """,
    )
    write("rewards.py", REWARDS)
    write("envs.py", ENVS)
    write("broken.py", "def f(:\n")
    write("ends.py", "import sys\nsys.exit(0)\n")
    write("raises.py", "x = 1\nraise RuntimeError('no')\n")
    write("nothing.py", "x = 1\n")
    write("file", "a file\n")
    write("full/note.txt", "mine\n")


def checkpoints(folder: Path, finished: Path) -> None:
    """A run, and checkpoints that are damaged in one way each."""
    shutil.copytree(finished, folder / "run", ignore=shutil.ignore_patterns("tensorboard", "printed.txt"))
    good = folder / "run" / "checkpoints" / "mrl"
    names = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer.sha256")

    def damaged(name: str) -> Path:
        (folder / name).mkdir()
        for file in good.iterdir():
            if file.name in names or file.suffix == ".json":
                shutil.copy(file, folder / name)
        return folder / name

    weights = (good / "model.safetensors").read_bytes()
    config = json.loads((good / "config.json").read_text())
    tokenizer = json.loads((good / "tokenizer.json").read_text())
    (damaged("cut") / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    (damaged("hollow") / "model.safetensors").write_bytes(b"")
    (damaged("pickled") / "model.safetensors").write_bytes(pickle.dumps({"a": 1}))
    (damaged("words") / "config.json").write_text("no json")
    (damaged("list") / "config.json").write_text("[1]")
    (damaged("alien") / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    (damaged("wider") / "config.json").write_text(json.dumps(config | {"config": config["config"] | {"embed_dim": 32}}))
    (damaged("untold") / "tokenizer.json").write_text("{}")
    (damaged("torn") / "tokenizer.json").write_text(json.dumps(tokenizer)[:500])
    (damaged("bare") / "config.json").unlink()
    (damaged("mute") / "tokenizer.json").unlink()
    state = load_file(good / "model.safetensors")
    first = sorted(state)[0]
    fewer = {key: value for key, value in state.items() if key != first}
    save_file(fewer, damaged("fewer") / "model.safetensors", metadata={"format": "pt"})
    vocabulary = tokenizer["model"]["vocab"]
    last, before = sorted(vocabulary, key=vocabulary.get)[-2:]
    vocabulary[last], vocabulary[before] = vocabulary[before], vocabulary[last]
    (damaged("permuted") / "tokenizer.json").write_text(json.dumps(tokenizer))
    (damaged("sealed") / "tokenizer.sha256").write_bytes(b"\xff")
    whole = {key: value.long() if key == first else value for key, value in state.items()}
    save_file(whole, damaged("whole") / "model.safetensors", metadata={"format": "pt"})
    (folder / "memory").write_text("no memory")
    memories(folder, good)
    (folder / "emptied").mkdir()
    (folder / "config" / "list").mkdir(parents=True)
    (folder / "config" / "list" / "config.json").write_text("[1]")
    peer = folder / "config" / "peer"
    peer.mkdir()
    sizes = {"vocab_size": 400, "n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2, "eos_token_id": 50_000}
    (peer / "config.json").write_text(json.dumps({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"} | sizes))
    shutil.copy(good / "tokenizer.json", peer)
    torch.save({"weights": Path("x")}, peer / "pytorch_model.bin")
    answers = folder / "half-answers"
    answers.mkdir()
    shutil.copy(finished / "evaluation" / "answers.parquet", answers)
    (answers / "retention.json").write_text("{")

    def run(name: str) -> Path:
        (folder / name / "checkpoints").mkdir(parents=True)
        (folder / name / "checkpoints" / "mrl").symlink_to(good)
        for file in ("recipe.yaml", "progress.json"):
            shutil.copy(folder / "run" / file, folder / name)
        return folder / name

    (run("no-recipe") / "recipe.yaml").write_text("a: [1\n")
    (run("other-recipe") / "recipe.yaml").write_text("name: x\n")
    (run("torn-progress") / "progress.json").write_text('{"mrl": {')
    (run("no-progress") / "progress.json").write_text("{}")
    theirs = run("theirs")
    (theirs / "theirs.py").write_text("open('ran', 'w')\ndef mine(context):\n    return [1.0] * len(context)\n")
    stored = yaml12.read(theirs / "recipe.yaml")
    stored["recipe"]["evaluation"] |= {"reward": {"terms": [{"use": "theirs/theirs.py:mine"}]}, "score": True}
    (theirs / "recipe.yaml").write_text(yaml12.text_of(stored))
    stored["recipe"]["evaluation"]["reward"] = None
    stored["recipe"]["data"]["sources"]["main"] = {"source": "theirs/theirs.py:mine"}
    (run("their-data") / "recipe.yaml").write_text(yaml12.text_of(stored))


def memories(folder: Path, checkpoint: Path) -> None:
    """Memory files that are damaged in one way each."""
    model = load(checkpoint)[0]
    tensor = model.initial_memory(1, seeds=[0]).detach()
    save_memory(folder / "of-none", model, tensor, seeds=[], turns=[])
    save_memory(folder / "of-before", model, tensor, seeds=[0], turns=[-5])
    save_memory(folder / "of-nobody", model, tensor * math.nan, seeds=[0], turns=[0])
    save_file({"memory": tensor}, folder / "of-nothing", metadata={"format": FORMAT, "config": "[1]"})


def snapshot(folder: Path) -> dict[str, tuple[int, int] | None]:
    """Every file with its size and the time of its last change, and every folder."""
    found: dict[str, tuple[int, int] | None] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[str(path.relative_to(folder))] = None if path.is_dir() else (status.st_size, status.st_mtime_ns)
    return found


@pytest.fixture(scope="session")
def world(tiny: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all cases are tried in."""
    folder = tmp_path_factory.mktemp("world")
    files(folder, tiny)
    checkpoints(folder, finished)
    return folder


@pytest.fixture
def refused(cli: Command, world: Path) -> Callable[..., str]:
    """``refused("train", "lean.yaml", stdin="")``: the one line of a command that ends with code 2; the world stays."""

    def call(*arguments: str, stdin: str = "") -> str:
        before, place = snapshot(world), Path.cwd()
        os.chdir(world)
        try:
            outcome = cli(*arguments, stdin=stdin)
        finally:
            os.chdir(place)
        after = snapshot(world)
        changed = {name for name in {*after, *before} if name not in after or after[name] != before.get(name, ())}
        # an evaluation may have begun a folder of its own
        assert not {name for name in changed if name in before or "/evaluation" not in name}, changed
        return str(outcome.line)

    return call
