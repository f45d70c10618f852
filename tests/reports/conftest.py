"""A small evaluation with everything in it that a report can show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

STEPS = 3


def result(recall: float) -> dict[str, Any]:
    """One result, as ``retention.json`` has it."""
    distances = {str(distance): round(recall - 0.05 * distance, 4) for distance in range(1, STEPS + 1)}
    return {
        "schema_version": 3, "episodes": 12, "steps": STEPS, "recall": recall, "recall_ci95": [0.5, 0.98],
        "recall_wiped": 0.05, "recall_swapped": 0.0, "recall_frozen": 0.4, "recall_oracle": None,
        "recall_by_distance": distances,
        "recall_by_distance_ci95": {name: [value - 0.1, value + 0.1] for name, value in distances.items()},
        "recall_wiped_by_distance": dict.fromkeys(distances, 0.05),
        "recall_by_distance_and_step": {
            str(d): {str(s): {"recall": 0.5 + 0.1 * d, "ci95": [0, 1], "questions": 4} for s in range(d, STEPS + 1)}
            for d in range(1, STEPS + 1)
        },
        "recall_told_first": 0.9, "recall_told_later": 0.7,
        "abilities": {"recall": {"recall": recall, "ci95": [0.5, 0.98], "questions": 36, "wiped": 0.05}},
        "score_mean": 8.0, "score_max": 9.5, "score_min": 4.0, "ppl": 1.2, "accuracy": 0.95, "bits_per_answer": 2.25,
        "memory_gain": {"wiped": {"mean": 7.5, "ci95": [7.0, 8.0]}, "swapped": {"mean": 9.0, "ci95": [8.0, 10.0]}},
        "bits": {
            "dialogues": 12, "told_by_asked": [[8.0, 3.0, 2.0], [None, 5.0, 1.0], [None, None, -0.001]],
            "questions": 36, "agreement": 0.97, "agreement_ci95": [0.9, 0.99], "told_median": 7.8, "told_mean": 8.1,
            "others_median": -0.0004, "others_p95": 0.4,
            "by_distance": {str(d): {"mean": 9.0 - d, "ci95": [7.0, 9.5], "questions": 12} for d in (1, 2, 3)},
        },
        "memory": {
            "half_life": {"interactions": 24.05, "ci95": [18.8, None], "start": 1.0},
            "interference": {"per_interaction": {"bits": 0.08, "ci95": [0.02, 0.14]}, "written_between": None},
            "capacity": {"told": [2.0, 3.0, 4.0], "kept": [2.0, 2.5, 3.0]},
            "state": {
                "dialogues": 12, "norm": [0.3, 1.0, 1.0, 1.1, 1.2], "change": [3.7, 0.2, 0.2, 0.2],
                "effective_rank": [7.4, 5.9, 5.8, 5.7, 5.6], "gate": [0.13, 0.05, 0.05, 0.05],
                "slot_usage": [0.75, 0.25], "slots_used": 1.75, "slots": 2,
            },
        },
        "cost": {
            "turns": {"1": {"milliseconds": 20.0, "tokens": 40}, "64": {"milliseconds": 21.0, "tokens": 41}},
            "state_mb": 0.5, "peak_mb": 12.0,
        },
    }  # fmt: skip


@pytest.fixture
def document() -> dict[str, Any]:
    last = result(0.8)
    stages = {"memory_aware": result(0.7), "mrl": last}
    return {
        "schema_version": 3, "target": {"name": "runs/<demo>", "kind": "rxt", "parameters": 432743},
        "partial": {"answered": 10, "of": 12}, "source": "main", **last,
        "stages": {
            name: {"sources": {"main": found, "far & wide": result(0.6)}} for name, found in stages.items()
        },
    }  # fmt: skip


@pytest.fixture
def questions() -> pd.DataFrame:
    rows = []
    for dialogue in range(4):
        for step in range(1, STEPS + 1):
            right = float(dialogue >= step)
            rows.append(
                {
                    "stage": "mrl", "source": "main", "dialogue": dialogue, "step": step, "steps": STEPS,
                    "written_query": "The fox ate <plums>.", "written_answer": "A nice story.",
                    "query": "What did it eat?", "reference": "It ate plums.",
                    "answer": "It ate PLUMS." if right else "It ate a plumsicle.", "asked": True, "values": ["plums"],
                    "told_at": [0], "told": 0.0, "distance": float(step), "right": right, "score": 5.0 + right,
                }
            )  # fmt: skip
    return pd.DataFrame(rows).assign(values=lambda frame: frame["values"].map(np.array))
