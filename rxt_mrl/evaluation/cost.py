"""What a turn costs in a long conversation: milliseconds, processed tokens, what is carried on, and peak memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..contracts import Dialogue, Interaction
from ..dialogues.batching import encode_dialogues
from ..model.sampling import SamplingConfig
from .subjects.protocol import Subject, Turn

TURNS = (1, 8, 32, 64)
"""Follow-ups that are timed."""
REPEATS = 5
_MB = 2**20
_ANY = 10**6
_STATUS = Path("/proc/self/status")


def conversation(dialogues: Sequence[Dialogue], turns: int) -> Dialogue:
    """One long conversation out of dialogues, one after the other, from the first again where they do not suffice."""
    pool = [turn for dialogue in dialogues for turn in dialogue.turns]
    # without their facts: what was told stands elsewhere in the chain
    chain = (pool[place % len(pool)] for place in range(1, turns + 1))
    return Dialogue(pool[0].query, pool[0].answer, tuple(Interaction(turn.query, turn.answer) for turn in chain))


def turn_costs(
    subject: Subject[Any], dialogues: Sequence[Dialogue], turns: Sequence[int] = TURNS, repeats: int = REPEATS
) -> dict[str, Any]:
    """Time single turns of one conversation: the query is answered, and the interaction is written.

    Args:
        subject: answers as many tokens as the reference has, at most, and is told the reference.
        dialogues: whose turns the conversation is made of.
        turns: the follow-ups that are timed.
        repeats: how often each is answered; the median counts.

    Returns:
        ``turns``: by follow-up ``milliseconds`` and processed ``tokens``; ``state_mb``: what is carried to the next
        turn, at the end (0 for a model that reads its history again); ``peak_mb``: memory that the process took on
        top of what it had before (on a GPU: what its allocator took); null where the system does not say.
    """
    chain = conversation(dialogues, max(turns))
    batch = encode_dialogues([chain], subject.tokenizer, max_query=_ANY, max_answer=_ANY)
    stateless = subject.about()["kind"] == "causal_lm"
    state = subject.start(1, [0])
    lengths = [int(batch.query.mask[0, n].sum() + batch.answer.mask[0, n].sum()) for n in range(max(turns) + 1)]
    turn = Turn.of(batch, (0,), 0)
    subject.answer(subject.write(state, turn), turn, SamplingConfig(temperature=0, max_new_tokens=2), [0])  # compiles
    _reset_peak()
    before = _resident_mb()
    found: dict[str, dict[str, float]] = {}
    state = subject.write(state, Turn.of(batch, (0,), 0))
    for number in range(1, max(turns) + 1):
        turn = Turn.of(batch, (0,), number)
        if number in turns:
            times, processed = [], 0
            sampling = SamplingConfig(temperature=0, max_new_tokens=turn.answer.ids.shape[1])
            for repeat in range(repeats + 1):  # the first one warms up
                started = time.perf_counter()
                said = subject.answer(state, turn, sampling, [0])
                after = subject.write(state, turn)
                if repeat:
                    times.append(time.perf_counter() - started)
                query, answer = int(turn.query.mask.sum()), int(said.tokens.mask.sum())
                processed = sum(lengths[:number]) + query + answer if stateless else query + answer + lengths[number]
            found[str(number)] = {"milliseconds": round(1000 * float(np.median(times)), 2), "tokens": processed}
            state = after
        else:
            state = subject.write(state, turn)
    carried = state.numel() * state.element_size() if isinstance(state, torch.Tensor) else 0
    peak = _peak_mb()
    return {
        "turns": found,
        "state_mb": round(carried / _MB, 4),
        "peak_mb": None if peak is None or before is None else round(max(0.0, peak - before), 2),
    }


def _reset_peak() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    else:
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the peak is the present again
        except OSError:
            return


def _resident_mb() -> float | None:
    return torch.cuda.memory_allocated() / _MB if torch.cuda.is_available() else _of_status("VmRSS")


def _peak_mb() -> float | None:
    return torch.cuda.max_memory_allocated() / _MB if torch.cuda.is_available() else _of_status("VmHWM")


def _of_status(name: str) -> float | None:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), None)
