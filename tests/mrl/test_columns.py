"""Other columns of a data set reach the rewards, wherever these are called."""

import json
from dataclasses import replace

import pytest
import torch
from rxt_mrl.envs.repeat_previous import repeat_previous_dialogues

from rxt_mrl.contracts import Columns, MissingColumnError, RewardContext, RewardSpec
from rxt_mrl.dialogues import encode_dialogues
from rxt_mrl.dialogues.schema import from_row, to_row
from rxt_mrl.dialogues.sources.rows import Columns as Names
from rxt_mrl.dialogues.sources.rows import dialogue_from_row
from rxt_mrl.mrl import rescore
from rxt_mrl.mrl.journal import Journal
from rxt_mrl.pipeline.rehearsal import rehearse

ROW = {
    "q": "a",
    "answer": "b",
    "difficulty": 3,
    "tags": ["x", "y"],
    "interactions": [
        {"q": "c", "answer": "d", "ground_truth": 0.5, "difficulty": None},
        {"q": "e", "answer": "f", "ground_truth": None, "difficulty": 7},
    ],
}


def test_a_row_keeps_its_other_columns_with_their_types():
    dialogue = dialogue_from_row(ROW, Names(query="q"))
    assert dialogue.columns == {"difficulty": 3, "tags": ["x", "y"]}
    assert dialogue.turns[1].columns == {"ground_truth": 0.5, "difficulty": None}
    assert from_row(to_row(dialogue)) == dialogue


@pytest.fixture
def told(tokenizer):
    dialogues = repeat_previous_dialogues(8, k=1, symbols=3, steps=3, seed=0)
    marked = [
        replace(
            dialogue,
            columns={"number": number},
            interactions=tuple(replace(turn, columns={"turn": at}) for at, turn in enumerate(dialogue.interactions, 1)),
        )
        for number, dialogue in enumerate(dialogues)
    ]
    return encode_dialogues(marked, tokenizer, max_query=5, max_answer=3)


PLUGIN = """
def told(context):
    assert list(context.columns["turn"]) == [context.step] * len(context)
    return [0.1 * number for number in context.columns["number"]]

def by_name(prompts, completions, number, turn):
    return [0.1 * value for value in number]
"""


@pytest.mark.parametrize("name", ["told", "by_name"])
def test_columns_travel_to_rollouts_and_rescore(tmp_path, model, play, setup_of, tokenizer, told, name):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    spec = RewardSpec(terms=[{"use": f"{file}:{name}"}])
    batch = play(model, dialogues=told, reward=spec, count=6)
    assert torch.allclose(batch.rewards[:, 0, 0], 0.1 * batch.dialogues.float())
    assert batch.select([2, 3]).columns[0][1] == {"number": int(batch.dialogues[2]), "turn": 2}
    journal = Journal(tmp_path / "rollouts.jsonl", tokenizer)
    journal.write(batch, stage="mrl-1", update=0)
    line = json.loads(journal.path.read_text().splitlines()[1])
    assert line["columns"] == {"number": line["episode"], "turn": 2}
    rows = rescore(journal.path, spec, tokenizer)
    assert [row["reward"] for row in rows] == [row["reward_before"] for row in rows]


def test_a_missing_column_is_said_before_the_run(tmp_path, setup_of, told, tokenizer):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN.replace('"number"', '"level"').replace("number, turn", "level"))
    for name in ("told", "by_name"):
        setup = setup_of(dialogues=told, reward=RewardSpec(terms=[{"use": f"{file}:{name}"}], on_error="skip"))
        with pytest.raises(MissingColumnError, match=r"reward '(told|by_name)' needs the column 'level'.*number, turn"):
            rehearse(setup, "curriculum.0")


def test_a_batch_of_rows_with_different_columns():
    assert Columns.of([{"a": 1}, {"b": 2}]) == {"a": [1, None], "b": [None, 2]}
    context = RewardContext.from_text(["q"] * 3, ["x"] * 3, columns={"a": [1, 2, 3]})
    assert context.select([2, 0]).columns["a"] == [3, 1]
