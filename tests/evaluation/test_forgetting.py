"""How fast facts fade, what further interactions cost them, and how many are kept: on answers whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rxt_mrl.evaluation.forgetting import forgetting


def questions(share, *, dialogues: int = 200, steps: int = 8, bits=lambda distance: 1.0) -> pd.DataFrame:
    """Each step asks for a fact of another interaction; the answer is right with the chance ``share(distance)``."""
    rng = np.random.default_rng(0)
    rows = []
    for dialogue in range(dialogues):
        for step in range(1, steps + 1):
            told = int(rng.integers(step))
            distance = step - told
            lost = [-0.25] * step
            lost[told] = 6.0
            rows.append(
                {
                    "dialogue": dialogue, "step": step, "steps": steps, "asked": True, "told": told,
                    "values": [f"value{told}"], "told_at": [told], "distance": distance,
                    "right": float(rng.random() < share(distance)), "bits": bits(distance), "lost": lost,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_a_half_life_is_found_with_its_interval() -> None:
    found = forgetting(questions(lambda distance: 0.95 * 2 ** (-distance / 5)))["half_life"]
    low, high = found["ci95"]
    assert low < 5 < high
    assert high - low < 2.5
    assert found["start"] == pytest.approx(0.95, abs=0.06)


def test_what_does_not_fade_has_no_half_life() -> None:
    found = forgetting(questions(lambda distance: 1.0))
    assert found["half_life"]["interactions"] is None
    assert found["capacity"]["kept"] == found["capacity"]["told"]
    assert found["capacity"]["told"][0] <= 1
    assert found["capacity"]["told"] == sorted(found["capacity"]["told"])


def test_nothing_is_kept_where_nothing_is_right() -> None:
    assert set(forgetting(questions(lambda distance: 0.0))["capacity"]["kept"]) == {0.0}


def test_what_a_further_interaction_costs() -> None:
    found = forgetting(questions(lambda distance: 0.9, bits=lambda distance: 1.0 + 0.5 * (distance - 1)))
    assert found["interference"]["per_interaction"] == {"bits": 0.5, "ci95": [0.5, 0.5]}
    assert found["interference"]["written_between"] == {"bits": 0.25, "ci95": [0.25, 0.25]}


def test_a_subject_without_probabilities_has_no_interference() -> None:
    found = forgetting(questions(lambda distance: 0.9**distance, bits=lambda distance: float("nan")))
    assert found["interference"] is None
    assert found["half_life"]["interactions"]


def test_unannotated_questions_say_nothing() -> None:
    rows = questions(lambda distance: 1.0, dialogues=2)
    assert forgetting(rows.assign(asked=False)) is None


def test_one_dialogue_has_no_interval() -> None:
    found = forgetting(questions(lambda distance: 0.9**distance, dialogues=1, bits=lambda distance: 1 + 0.1 * distance))
    assert found is not None
    assert found["half_life"]["ci95"] is None
    assert found["interference"]["per_interaction"] == {"bits": 0.1, "ci95": None}
