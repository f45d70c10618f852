"""The stateless peer: as large as the RxT, the same tokens, and trained by TRL in earnest."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rxt_mrl.baseline.config import SftSettings
from rxt_mrl.baseline.data import conversations, growing, questions
from rxt_mrl.baseline.model import causal_lm, chat_tokenizer
from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT
from rxt_mrl.model.presets import preset

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def tokenizer() -> DialogueTokenizer:
    rows = dialogues(StoryworldConfig(steps=2), 50)
    return DialogueTokenizer.train(
        [text for row in rows for turn in row.turns for text in (turn.query, turn.answer)], 400
    )


@pytest.mark.parametrize("name", ["nano", "tiny", "small"])
def test_the_peer_is_as_large(name: str, tokenizer: DialogueTokenizer) -> None:
    config = preset(name, vocab_size=tokenizer.vocab_size)
    parameters = sum(parameter.numel() for parameter in RxT(config).parameters())
    peer = causal_lm(config, parameters, tokenizer, positions=256)
    assert peer.num_parameters() == pytest.approx(parameters, rel=0.02)
    assert peer.config.hidden_size == config.embed_dim
    assert causal_lm(config, parameters, tokenizer, positions=256, layers=2).config.num_hidden_layers == 2
    with pytest.raises(UserError, match="no room for so many"):
        causal_lm(config, parameters, tokenizer, positions=256, layers=500)


def test_the_chat_template_gives_the_tokens_that_the_rxt_sees(tokenizer: DialogueTokenizer) -> None:
    rows = dialogues(StoryworldConfig(steps=2), 2)
    theirs = chat_tokenizer(tokenizer, positions=256)
    found = theirs.apply_chat_template(
        conversations(rows)[0]["messages"], return_dict=True, return_assistant_tokens_mask=True
    )
    ids: list[int] = []
    answers: list[int] = []
    for turn in rows[0].turns:
        query, answer = tokenizer.encode_query(turn.query), tokenizer.encode_answer(turn.answer)
        ids += query + answer
        answers += [0] * len(query) + [1] * len(answer)
    assert found["input_ids"] == ids
    assert found["assistant_masks"] == answers
    asked = questions(rows)
    assert len(asked) == 4
    last = theirs.apply_chat_template(asked[1]["prompt"], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert last == ids[: -len(tokenizer.encode_answer(rows[0].turns[2].answer))]
    assert asked[1]["reference"] == rows[0].turns[2].answer
    assert [ask["value"] for ask in asked[1]["asks"]] == [ask.value for ask in rows[0].turns[2].asks]


def test_dialogues_grow_and_every_pass_sees_them_all() -> None:
    settings = SftSettings(updates=6, batch_size=2, grow=0.5)
    rows = dialogues(StoryworldConfig(steps=4), 4)
    grown = growing(rows, settings, seed=0)
    assert [len(row.interactions) for row in grown] == [1, 1, 1, 1, 1, 1, 4, 4, 4, 4, 4, 4]
    for start in (0, 4, 8):
        assert {row.query for row in grown[start : start + 4]} == {row.query for row in rows}
    assert [row.query for row in growing(rows, settings, seed=1)] != [row.query for row in grown]
    assert SftSettings(grow=0).steps_at(0, 8) == 8


@pytest.mark.slow
def test_sft_and_grpo_with_our_rewards(cli: Command, tmp_path: Path, tiny: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "peer"
    changes = ["sft.updates=3", "sft.batch_size=4", "grpo.updates=2", "grpo.questions=2", "grpo.answers=2"]
    done = cli(
        "baseline", tiny, "--out", out, *(word for change in changes for word in ("--set", f"baseline.{change}"))
    )
    assert done.code == 0, done.err
    known = json.loads((out / "baseline.json").read_text())
    assert known["parameters"] == pytest.approx(known["rxt_parameters"], rel=0.1)
    assert math.isfinite(known["sft"]["log"][-1]["train_loss"])
    rewards = [line["rewards/reward/mean"] for line in known["grpo"]["log"] if "rewards/reward/mean" in line]
    assert rewards
    assert all(0 <= value <= 1 for value in rewards)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.num_parameters() == known["parameters"]
    assert AutoTokenizer.from_pretrained(out).chat_template
    assert "new or empty directory" in cli("baseline", tiny, "--out", out).line


def test_a_peer_that_would_learn_nothing(cli: Command, tmp_path: Path, tiny: Path) -> None:
    refused = cli("baseline", tiny, "--out", tmp_path / "peer", "--set", "baseline.sft.updates=0")
    assert "trains nothing" in refused.line
    assert not (tmp_path / "peer").exists()
