"""Several answers to one query: the same as if each were generated alone, computed once as far as they are alike."""

from __future__ import annotations

import pytest
import torch

from rxt_mrl.model.generation import AnswerStream, generate
from rxt_mrl.model.sampling import SamplingConfig

from .test_generation import END, EXACT, VARIANTS, memories, prompts, rows_of, tiny


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("variant", ["sqa", "mha", "post-norm"])
def test_answers_are_those_of_the_query_asked_again(variant: str, temperature: float) -> None:
    model = tiny(**VARIANTS[variant])
    ids, mask = prompts([5, 24, 8, 3])  # the second leaves no room
    memory, count = memories(model, 4), 5
    sampling = SamplingConfig(temperature=temperature, max_new_tokens=9)
    together = generate(model, ids, mask, memory, sampling, seeds=range(4 * count), eos_id=END, answers=count)
    copies = torch.arange(4).repeat_interleave(count)
    alone = generate(model, ids[copies], mask[copies], memory[:, copies], sampling, seeds=range(4 * count), eos_id=END)
    assert rows_of(together) == rows_of(alone)
    torch.testing.assert_close(together.log_probs, alone.log_probs, **EXACT)
    assert len({tuple(row) for row in rows_of(together)[:count]}) > (1 if temperature >= 1 else 0)


def test_equal_beginnings_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    ids, mask = prompts([5, 8])
    computed = []
    step = model.decoder.step

    def counted(ids: torch.Tensor, *args: object) -> torch.Tensor:
        computed.append(len(ids))
        return step(ids, *args)

    monkeypatch.setattr(model.decoder, "step", counted)
    stream = AnswerStream(
        model, ids, mask, memories(model, 2), SamplingConfig(max_new_tokens=8), seeds=range(12), eos_id=END, answers=6
    )
    beginnings = []
    while not stream.done:
        stream.advance()
        answers = stream.result().ids.tolist()
        unfinished = [at for at, row in enumerate(answers) if END not in row]
        beginnings.append(len({(at // 6, *answers[at]) for at in unfinished}))
    assert computed == beginnings[: len(computed)]
    assert 2 < computed[0] < 12


def test_alike_answers_cost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    ids, mask = prompts([5, 8])
    computed = []
    step = model.decoder.step
    monkeypatch.setattr(model.decoder, "step", lambda ids, *args: computed.append(len(ids)) or step(ids, *args))
    sampling = SamplingConfig(temperature=0, max_new_tokens=6)
    rows = rows_of(generate(model, ids, mask, memories(model, 2), sampling, eos_id=None, answers=4))
    assert rows[0] == rows[3] != rows[4] == rows[7]
    assert computed == [2] * 5
