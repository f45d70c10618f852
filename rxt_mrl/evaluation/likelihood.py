"""How many bits the reference answers cost, and what they lose when one interaction is left out: what it was worth.

Teacher-forced: what is written are the reference answers. Leaving one interaction out of the writing needs no
annotation, no judge and no rule of a language; the interaction whose omission costs an answer most is the one that
the answer was remembered from.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dialogues.batching import DialogueTensors
from .answers import initial_seeds
from .cohorts import Cohort
from .subjects.protocol import Reading, Subject, Turn


class Likelihood(NamedTuple):
    """Of the reference answers, ``(rows, steps)`` each; see :class:`~.subjects.protocol.Reading`.

    ``bits`` has the keys ``on``, ``wiped`` and ``swapped``; ``swapped`` is NaN where there is no other dialogue.
    """

    tokens: np.ndarray
    correct: np.ndarray
    bits: dict[str, np.ndarray]


def reference_bits(subject: Subject[Any], dialogues: DialogueTensors, cohort: Cohort, seed: int) -> Likelihood:
    """Bits of the reference answers with the real memory, a wiped one and that of the dialogue before.

    Args:
        subject: reads them.
        dialogues: the whole set.
        cohort: which of them.
        seed: key of initial states.
    """
    count = len(cohort.rows)
    batch = dialogues.select(list(cohort.played))
    initial = state = subject.start(len(cohort.played), initial_seeds(seed, cohort.played))
    own, readings = range(count), []
    for step in range(1, batch.steps + 1):
        state = subject.write(state, Turn.of(batch, cohort.played, step - 1))
        asked = Turn.of(batch, cohort.played, step).select(own)
        states = [subject.pick(state, own), subject.pick(initial, own), subject.pick(state, cohort.partners)]
        readings.append(subject.read(subject.join(states), Turn.join([asked] * 3)))
    parts = [np.stack([field.reshape(3, count) for field in fields], -1) for fields in zip(*readings, strict=True)]
    bits, tokens, correct = parts
    if len(dialogues) < 2:
        bits[2] = np.nan
    return Likelihood(tokens[0], correct[0], dict(zip(("on", "wiped", "swapped"), bits, strict=True)))


def lost_bits(subject: Subject[Any], dialogues: DialogueTensors, rows: tuple[int, ...], seed: int) -> np.ndarray:
    """Bits that the reference answers lose when one interaction is never written.

    Args:
        subject: reads them.
        dialogues: the whole set.
        rows: which of them; ``len(rows) * (1 + steps)`` states are held at once.
        seed: key of initial states.

    Returns:
        float64 ``(rows, steps, steps)``: ``[:, told, step - 1]``; NaN where the told one is not before the step.
    """
    batch = dialogues.select(list(rows))
    steps, count = batch.steps, len(rows)
    lost = np.full((count, steps, steps), np.nan)
    # The state to which all was written, and behind it those that lack interaction 0, 1, ...
    states = [subject.start(count, initial_seeds(seed, rows))]
    for step in range(1, steps + 1):
        told = Turn.of(batch, rows, step - 1)
        held = len(states)
        written = subject.write(subject.join(states), Turn.join([told] * held))
        states = [
            *(subject.pick(written, range(place * count, (place + 1) * count)) for place in range(held)),
            states[0],
        ]
        asked = Turn.of(batch, rows, step)
        bits = subject.read(subject.join(states), Turn.join([asked] * (held + 1))).bits.reshape(held + 1, count)
        lost[:, :step, step - 1] = (bits[1:] - bits[0]).T
    return lost


def rows_at_once(batch_size: int, steps: int) -> int:
    """Dialogues whose states fit where ``batch_size`` dialogues are answered with their controls."""
    return max(1, 4 * batch_size // (1 + steps))


__all__ = ["Likelihood", "Reading", "lost_bits", "reference_bits", "rows_at_once"]
