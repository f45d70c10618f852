from __future__ import annotations

import random

import pytest
import torch

from rxt_mrl.contracts import Ask, Dialogue, Interaction
from rxt_mrl.dialogues.batching import DialogueTensors, encode_dialogues
from rxt_mrl.dialogues.tokenizer import DialogueTokenizer
from rxt_mrl.model import RxT, preset

COLOURS = ["red", "blue", "green", "pink", "grey", "teal"]
STEPS = 4


def make_dialogue(seed: int, *, annotated: bool = True) -> Dialogue:
    """Step 1 asks for what was told first, step 2 tells something, steps 3 and 4 ask for that and for the first."""
    draw = random.Random(seed)
    hat, ball = draw.choice(COLOURS), draw.choice(COLOURS)

    def ask(value: str, told_at: int) -> tuple[Ask, ...]:
        return (Ask(value, told_at),) if annotated else ()

    follow_ups = (
        Interaction("What colour is the hat?", f"It is {hat}.", ask(hat, 0)),
        Interaction(f"The ball is {ball}. What colour is the hat?", f"It is {hat}.", ask(hat, 0)),
        Interaction("What colour is the ball?", f"It is {ball}.", ask(ball, 2)),
        Interaction("What colour is the hat now?", f"It is {hat}.", ask(hat, 0)),
    )
    return Dialogue(f"The hat is {hat}.", "Nice.", follow_ups)


@pytest.fixture(scope="session")
def tokenizer() -> DialogueTokenizer:
    turns = [turn for seed in range(50) for turn in make_dialogue(seed).turns]
    return DialogueTokenizer.train([f"{turn.query} {turn.answer}" for turn in turns], 300)


def encode(tokenizer: DialogueTokenizer, *, annotated: bool = True, count: int = 6) -> DialogueTensors:
    dialogues = [make_dialogue(seed, annotated=annotated) for seed in range(count)]
    return encode_dialogues(dialogues, tokenizer, max_query=40, max_answer=10)


@pytest.fixture(scope="session")
def dialogues(tokenizer: DialogueTokenizer) -> DialogueTensors:
    return encode(tokenizer)


@pytest.fixture(scope="session")
def plain_dialogues(tokenizer: DialogueTokenizer) -> DialogueTensors:
    return encode(tokenizer, annotated=False)


@pytest.fixture(scope="session")
def model(tokenizer: DialogueTokenizer) -> RxT:
    torch.manual_seed(0)
    feed_forward = {"feed_forward": {"hidden": 24}}
    small = {"embed_dim": 16, "heads": 2, "slots": 4, "encoder": feed_forward, "decoder": feed_forward}
    return RxT(preset("nano", vocab_size=tokenizer.vocab_size, **small))
