import dataclasses
import json

import pytest
import torch

from rxt_mrl.contracts import RewardSpec
from rxt_mrl.errors import UserError
from rxt_mrl.mrl import rescore
from rxt_mrl.mrl.journal import Journal

RECALL = RewardSpec(terms=[{"use": "rxt_mrl.rewards.fact_recall:FactRecall"}])


@pytest.fixture
def journal(tmp_path, model, play, tokenizer):
    journal = Journal(tmp_path / "rollouts" / "mrl-1.jsonl", tokenizer)
    batch = play(model, count=6)
    journal.write(batch, stage="mrl-1", update=0)
    return journal, batch


def test_a_line_says_what_happened(journal, dialogues, tokenizer):
    journal, batch = journal
    lines = [json.loads(line) for line in journal.path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 6 * 3
    line, query = lines[4], dialogues.query.ids[1, 2]
    assert (line["episode"], line["step"], line["steps"], line["update"]) == (1, 2, 3, 0)
    assert line["query"] == tokenizer.decode(query[dialogues.query.mask[1, 2]])
    assert line["reference"] == line["asks"][0]["value"]
    assert line["memory_write"] == {"query": lines[3]["query"], "answer": lines[3]["generated"]}
    assert line["reward"] == pytest.approx(float(batch.rewards[1, 1]))


def test_identical_answers_that_earned_differently_are_lines_of_their_own(tmp_path, model, play, tokenizer):
    batch = play(model, count=1, answers=3)
    ids, mask = batch.action_ids.clone(), batch.action_mask.clone()
    ids[:, :, 1:], mask[:, :, 1:] = ids[:, :, :1], mask[:, :, :1]
    rewards = torch.tensor([0.5, 1.0, 0.5]).expand_as(batch.rewards)
    batch = dataclasses.replace(batch, action_ids=ids, action_mask=mask, rewards=rewards)
    journal = Journal(tmp_path / "mrl-1.jsonl", tokenizer)
    journal.write(batch, stage="mrl-1", update=0)
    lines = [json.loads(line) for line in journal.path.read_text(encoding="utf-8").splitlines()]
    seen = [(line["reward"], line["times"], line["carried"]) for line in lines if line["step"] == 1]
    assert seen == [(0.5, 2, True), (1.0, 1, False)]


def test_rollouts_score_again_as_they_did(journal, tokenizer):
    journal, _ = journal
    rows = rescore(journal.path, RECALL, tokenizer)
    assert [row["reward"] for row in rows] == [row["reward_before"] for row in rows]
    assert any(row["reward"] for row in rows)


def test_another_reward_sees_the_history(journal, tokenizer, tmp_path):
    journal, _ = journal
    plugin = tmp_path / "seen.py"
    plugin.write_text(
        "def seen(context):\n"
        "    assert len(context.history) == context.step\n"
        "    return [float(text != '') for text in context.history[-1].text]\n"
    )
    rows = rescore(journal.path, RewardSpec(terms=[{"use": f"{plugin}:seen"}]), tokenizer)
    assert {row["reward"] for row in rows} == {1.0}


def test_lines_of_updates_that_will_be_done_again_are_cut(journal, tokenizer, model, play):
    journal, batch = journal
    before, position = journal.path.read_bytes(), journal.position
    journal.write(batch, stage="mrl-1", update=1)
    assert Journal(journal.path, tokenizer, position=position).position == position
    assert journal.path.read_bytes() == before
    few = Journal(journal.path, tokenizer, log=1)
    few.write(batch, stage="mrl-1", update=0)
    assert len(few.path.read_text().splitlines()) == 3


def test_what_is_no_journal_is_refused_by_line(tmp_path, tokenizer):
    path = tmp_path / "rollouts.jsonl"
    with pytest.raises(UserError, match="no rollouts at"):
        rescore(path, RECALL, tokenizer)
    path.write_text('{"stage": "mrl-1"}\n')
    with pytest.raises(UserError, match="line 1: not a rollout"):
        rescore(path, RECALL, tokenizer)
    path.write_text("{\n")
    with pytest.raises(UserError, match="line 1: not a JSON object"):
        rescore(path, RECALL, tokenizer)
