from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from rxt_mrl.contracts import Ask, Dialogue, Interaction
from rxt_mrl.dialogues.batching import DialogueTensors, encode_dialogues
from rxt_mrl.dialogues.tokenizer import DialogueTokenizer
from rxt_mrl.model import RxT, preset
from rxt_mrl.runs import RunDir

COLOURS = ["red", "blue", "green", "pink", "grey", "teal"]
THINGS = ["hat", "ball", "car"]


def make_dialogue(seed: int, steps: int = 3) -> Dialogue:
    draw = random.Random(seed)
    told = {thing: draw.choice(COLOURS) for thing in THINGS}
    follow_ups = []
    for step in range(steps):
        thing = draw.choice(THINGS)
        extra = " Tell me now please." if step % 2 else ""
        question = f"What colour is the {thing}?{extra}"
        follow_ups.append(Interaction(question, f"It is {told[thing]}.", (Ask(told[thing], 0),)))
    story = " ".join(f"The {thing} is {colour}." for thing, colour in told.items())
    return Dialogue(story, "Nice.", tuple(follow_ups))


@pytest.fixture(scope="session")
def tokenizer() -> DialogueTokenizer:
    turns = [turn for seed in range(50) for turn in make_dialogue(seed).turns]
    return DialogueTokenizer.train([f"{turn.query} {turn.answer}" for turn in turns], 300)


@pytest.fixture(scope="session")
def dialogues(tokenizer: DialogueTokenizer) -> DialogueTensors:
    return encode_dialogues([make_dialogue(seed) for seed in range(10)], tokenizer, max_query=40, max_answer=10)


def build_model(vocab_size: int, seed: int = 0, **overrides: object) -> RxT:
    torch.manual_seed(seed)
    small = {"embed_dim": 16, "heads": 2, "slots": 4, "vocab_size": vocab_size}
    feed_forward = {"feed_forward": {"hidden": 24}}
    return RxT(preset("nano", **{**small, "encoder": feed_forward, "decoder": feed_forward, **overrides}))


@pytest.fixture
def make_model() -> Callable[..., RxT]:
    return build_model


@pytest.fixture
def model(tokenizer: DialogueTokenizer) -> RxT:
    return build_model(tokenizer.vocab_size)


class FolderRun(RunDir):
    """A run directory that keeps its numbers in memory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.lines: list[tuple[str, int, dict[str, float]]] = []

    def metrics(self, values: Mapping[str, float], step: int, section: str) -> None:
        self.lines.append((section, step, dict(values)))


@pytest.fixture
def run(tmp_path: Path) -> FolderRun:
    return FolderRun(tmp_path)
