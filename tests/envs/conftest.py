"""Small storyworld dialogues, encoded once."""

from __future__ import annotations

import pytest
from rxt_mrl.envs.bundled import bundled_dialogues

from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer


@pytest.fixture(scope="session")
def bundled() -> tuple[DialogueTensors, DialogueTokenizer]:
    return bundled_dialogues()


@pytest.fixture(scope="session")
def dialogues(bundled: tuple[DialogueTensors, DialogueTokenizer]) -> DialogueTensors:
    return bundled[0]


@pytest.fixture(scope="session")
def tokenizer(bundled: tuple[DialogueTensors, DialogueTokenizer]) -> DialogueTokenizer:
    return bundled[1]
