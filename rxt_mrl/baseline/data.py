"""Dialogues as data sets of TRL's trainers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from datasets import Dataset

from ..contracts import Dialogue
from ..dialogues.schema import to_row
from ..seeding import numpy_generator
from .config import SftSettings


def conversations(dialogues: Sequence[Dialogue]) -> Dataset:
    """One row a dialogue: ``messages``, user and assistant in turn."""
    return Dataset.from_list([{"messages": _messages(dialogue, len(dialogue.turns))} for dialogue in dialogues])


def growing(dialogues: Sequence[Dialogue], settings: SftSettings, seed: int) -> list[Dialogue]:
    """The dialogues of all updates in their order, cut as the settings say; shuffled anew for each pass over them."""
    rows: list[Dialogue] = []
    for update in range(settings.updates):
        for place in range(update * settings.batch_size, (update + 1) * settings.batch_size):
            if place % len(dialogues) == 0:
                order = numpy_generator(seed, "baseline", place // len(dialogues)).permutation(len(dialogues))
            dialogue = dialogues[order[place % len(dialogues)]]
            steps = settings.steps_at(update, len(dialogue.interactions))
            rows.append(replace(dialogue, interactions=dialogue.interactions[:steps]))
    return rows


def questions(dialogues: Sequence[Dialogue]) -> Dataset:
    """One row a follow-up: ``prompt`` (the messages up to its query), ``reference``, and the facts in ``asks``."""
    rows = []
    for dialogue in dialogues:
        for turn, interaction in enumerate(to_row(dialogue)["interactions"], start=1):
            asked = {"role": "user", "content": interaction["query"]}
            rows.append(
                {
                    "prompt": [*_messages(dialogue, turn), asked],
                    "reference": interaction["answer"],
                    "asks": interaction.get("asks", []),
                }
            )
    return Dataset.from_list(rows)


def _messages(dialogue: Dialogue, turns: int) -> list[dict[str, str]]:
    """The first interactions of a dialogue as messages."""
    return [
        {"role": role, "content": text}
        for turn in dialogue.turns[:turns]
        for role, text in (("user", turn.query), ("assistant", turn.answer))
    ]
