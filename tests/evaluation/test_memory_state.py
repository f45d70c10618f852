"""What writing does to a memory, on gates whose truth is known."""

from __future__ import annotations

import pytest
import torch

from rxt_mrl.dialogues import DialogueTokenizer, encode_dialogues
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.evaluation.memory_state import memory_state
from rxt_mrl.model import RxT
from rxt_mrl.model.presets import preset

SMALL = {"embed_dim": 16, "num_layers": 2, "slots": 4, "max_tokens": 96}


def measured(gate: dict, count: int = 3) -> dict:
    rows = dialogues(StoryworldConfig(steps=3), 4)
    tokenizer = DialogueTokenizer.train([turn.query for row in rows for turn in row.turns], 300)
    torch.manual_seed(0)
    model = RxT(preset("nano", **SMALL, vocab_size=tokenizer.vocab_size, memory_attention={"gate": gate}))
    encoded = encode_dialogues(rows, tokenizer, max_query=72, max_answer=24)
    return memory_state(model, encoded, range(count))


def test_one_number_for_each_write() -> None:
    found = measured({"type": "linear", "init": -3.0})
    assert found["dialogues"] == 3
    assert [len(found[name]) for name in ("norm", "effective_rank", "change", "gate")] == [5, 5, 4, 4]
    assert all(1 <= rank <= 4 for rank in found["effective_rank"])
    assert all(share == pytest.approx(0.0474, abs=0.01) for share in found["gate"])  # sigmoid(-3)
    assert sum(found["slot_usage"]) == pytest.approx(1, abs=1e-3)
    assert 1 <= found["slots_used"] <= 4


@pytest.mark.parametrize(
    ("gate", "share"),
    [
        ({"type": "replace"}, 1.0),
        ({"type": "add"}, None),
        ({"type": "static", "init": 0.0}, 0.5),
        ({"type": "static", "init": 0.0, "activation": "tanh"}, 0.5),
        ({"type": "static", "init": 2.0, "per_slot": False}, 0.8808),
        ({"type": "elementwise", "init": 0.0}, 0.5),
    ],
)
def test_how_far_the_gate_opens(gate: dict, share: float | None) -> None:
    found = measured(gate)
    assert found["gate"] == (None if share is None else [share] * 4)


def test_a_memory_that_is_hardly_written_hardly_changes() -> None:
    closed, open_ = measured({"type": "static", "init": -12.0}), measured({"type": "static", "init": 2.0})
    assert max(closed["change"][1:]) < 0.1 < min(open_["change"])
