"""What a turn costs: constant with a memory, growing with a history."""

from __future__ import annotations

import torch

from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.evaluation.cost import conversation, turn_costs
from rxt_mrl.evaluation.subjects.rxt import RxTSubject
from rxt_mrl.model import RxT
from rxt_mrl.model.presets import preset


class Stateless(RxTSubject):
    """An RxT that says that it reads its whole history."""

    def about(self) -> dict:
        return {**super().about(), "kind": "causal_lm"}


def test_a_memory_reads_as_much_at_every_turn_and_a_history_more_and_more() -> None:
    rows = dialogues(StoryworldConfig(steps=3), 3)
    texts = [text for row in rows for turn in row.turns for text in (turn.query, turn.answer)]
    tokenizer = DialogueTokenizer.train(texts, 400)
    torch.manual_seed(0)
    config = preset("nano", embed_dim=16, num_layers=1, slots=4, max_tokens=128, vocab_size=tokenizer.vocab_size)
    model = RxT(config)
    with_memory, with_history = (
        turn_costs(kind(model, tokenizer), rows, turns=(1, 4, 9), repeats=1) for kind in (RxTSubject, Stateless)
    )
    assert list(with_memory["turns"]) == ["1", "4", "9"]
    assert all(turn["milliseconds"] > 0 for turn in with_memory["turns"].values())
    assert max(turn["tokens"] for turn in with_memory["turns"].values()) < 200
    tokens = [turn["tokens"] for turn in with_history["turns"].values()]
    chain = conversation(rows, 9)
    lengths = [
        len(tokenizer.encode_query(turn.query)) + len(tokenizer.encode_answer(turn.answer)) for turn in chain.turns
    ]
    assert tokens == sorted(tokens)
    assert sum(lengths[:9]) < tokens[2] <= sum(lengths[:10])
    assert with_memory["state_mb"] == round(1 * 4 * 16 * 4 / 2**20, 4)
    assert with_memory["peak_mb"] is None or with_memory["peak_mb"] >= 0


def test_a_conversation_out_of_several_dialogues() -> None:
    rows = dialogues(StoryworldConfig(steps=1), 2)
    chain = conversation(rows, 5)
    assert len(chain.interactions) == 5
    said = [turn.query for turn in chain.turns]
    assert said[:4] == [turn.query for row in rows for turn in row.turns]
    assert said[4:] == said[:2]
