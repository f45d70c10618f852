"""What each interaction is worth in bits, on subjects of which it is known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from rxt_mrl.envs.repeat_previous import repeat_previous_dialogues, symbol_tokenizer

from rxt_mrl.contracts import Dialogue, Interaction
from rxt_mrl.dialogues import encode_dialogues
from rxt_mrl.evaluation import EvaluationSettings, KnownSubject, RxTSubject, evaluate
from rxt_mrl.evaluation.bits import told_by_asked
from rxt_mrl.evaluation.subjects.known import GUESS_BITS
from rxt_mrl.evaluation.subjects.protocol import Reading

QUICK = EvaluationSettings(episodes=None, batch_size=4, score=False, controls=())
SYMBOLS, STEPS = 8, 6


def stripped(dialogues: list[Dialogue]) -> list[Dialogue]:
    """Without annotations."""
    return [
        dataclasses.replace(d, interactions=tuple(Interaction(turn.query, turn.answer) for turn in d.interactions))
        for d in dialogues
    ]


class Exact(KnownSubject):
    """Solves repeat-previous as well as it can: knows the symbol if it was told, else guesses among the others.

    Args:
        k: how many turns ago the symbol was told.
    """

    def __init__(self, tokenizer, k):
        super().__init__("oracle", tokenizer)
        self.k = k

    def read(self, state, turn):
        told_at = max(0, turn.number - self.k)
        knows = np.array(
            [
                told.dialogue == dialogue and told_at in told.turns
                for told, dialogue in zip(state, turn.dialogues, strict=True)
            ]
        )
        tokens = turn.answer.mask.sum(1).numpy()
        return Reading(np.where(knows, 0.0, math.log2(SYMBOLS - 1)), tokens, tokens * knows)


def encoded(dialogues):
    return encode_dialogues(dialogues, symbol_tokenizer(), max_query=16, max_answer=16)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_repeat_previous_is_exact(k, batch_size):
    told = repeat_previous_dialogues(12, k=k, symbols=SYMBOLS, steps=STEPS)
    subject = Exact(symbol_tokenizer(), k)
    settings = QUICK.model_copy(update={"batch_size": batch_size})
    result = evaluate(subject, encoded(told), settings)
    wanted = np.full((STEPS, STEPS), np.nan)
    for step in range(1, STEPS + 1):
        wanted[:step, step - 1] = 0
        wanted[max(0, step - k), step - 1] = math.log2(SYMBOLS - 1)
    np.testing.assert_allclose(told_by_asked(result.questions), wanted, rtol=1e-12)
    bits = result.to_json()["bits"]
    assert bits["agreement"] == 1.0
    assert bits["told_mean"] == bits["told_median"] == round(math.log2(SYMBOLS - 1), 4)
    assert bits["others_p95"] == 0.0
    assert bits["questions"] == 12 * STEPS
    gain = result.to_json()["memory_gain"]
    assert gain["wiped"]["mean"] == gain["swapped"]["mean"] == round(math.log2(SYMBOLS - 1), 4)
    # No annotation is looked at.
    plain = evaluate(subject, encoded(stripped(told)), settings)
    np.testing.assert_allclose(told_by_asked(plain.questions), wanted, rtol=1e-12)
    values = plain.to_json()
    assert (values["bits"]["questions"], values["bits"]["agreement"], values["recall"]) == (0, None, None)
    assert values["bits"]["told_by_asked"] == bits["told_by_asked"]


def test_an_oracle_has_all_its_bits_where_the_facts_were_told(tokenizer, dialogues):
    bits = evaluate(KnownSubject("oracle", tokenizer), dialogues, QUICK).to_json()["bits"]
    assert (bits["agreement"], bits["told_median"], bits["told_mean"]) == (1.0, GUESS_BITS, GUESS_BITS)
    assert (bits["others_median"], bits["others_p95"]) == (0.0, 0.0)
    assert set(bits["by_distance"]) == {"1", "2", "4"}


@pytest.mark.parametrize("kind", ["random", "echo"])
def test_what_nothing_depends_on_is_worth_nothing(tokenizer, dialogues, kind):
    values = evaluate(KnownSubject(kind, tokenizer), dialogues, QUICK).to_json()
    if kind == "echo":
        assert (values["bits"], values["ppl"], values["memory_gain"]["wiped"]) == (None, None, None)
    else:
        assert (values["bits"]["told_mean"], values["bits"]["agreement"]) == (0.0, 0.0)
        assert values["ppl"] == pytest.approx(tokenizer.vocab_size)


class Wiped(RxTSubject):
    """An RxT whose memory is wiped before each answer: nothing is ever written."""

    def write(self, state, turn):
        return state


def test_a_wiped_memory_has_no_bits(model, tokenizer, dialogues):
    values = evaluate(Wiped(model, tokenizer), dialogues, QUICK).to_json()
    assert {value for row in values["bits"]["told_by_asked"] for value in row} == {0.0, None}
    assert values["bits"]["agreement"] == 0.0
    assert values["memory_gain"]["wiped"] == {"mean": 0.0, "ci95": [0.0, 0.0]}


@pytest.mark.parametrize("batch_size", [2, 6])
def test_bits_of_an_rxt_against_one_scan_without_the_interaction(model, tokenizer, dialogues, batch_size):
    settings = QUICK.model_copy(update={"batch_size": batch_size, "bits": 5})
    questions = evaluate(RxTSubject(model, tokenizer), dialogues, settings).questions
    assert questions["lost"].notna().sum() == 5 * 4
    turns = dialogues.interactions()
    initial = model.initial_memory(6, seeds=[0] * 6)

    def bits(without, step):
        kept = [turn for turn in range(step) if turn != without]
        memory = model.scan(initial, turns.ids[:, kept], turns.mask[:, kept])[-1].detach()
        ids, answer = turns.ids[:, step], turns.answer_mask[:, step]
        log_probs = model.decode(ids, memory, turns.mask[:, step]).log_softmax(-1)[:, :-1]
        chosen = log_probs.gather(-1, ids[:, 1:, None]).squeeze(-1)
        return -(chosen * answer[:, 1:]).sum(1).detach().numpy() / math.log(2)

    for row in questions[questions["lost"].notna()].itertuples():
        if row.step > 1:  # at step 1 nothing would be written
            wanted = [
                bits(told, row.step)[row.dialogue] - bits(None, row.step)[row.dialogue] for told in range(row.step)
            ]
            assert row.lost == pytest.approx(wanted, abs=1e-4)
