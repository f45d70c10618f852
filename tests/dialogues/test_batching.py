import pytest
import torch

from rxt_mrl.contracts import Ask, Dialogue, Interaction
from rxt_mrl.dialogues import DialogueTokenizer, encode_dialogues
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.errors import UserError

MADE = dialogues(StoryworldConfig(steps=5), 40)


@pytest.fixture(scope="module")
def tokenizer():
    return DialogueTokenizer.train([turn.query for dialogue in MADE for turn in dialogue.turns], 600)


@pytest.fixture(scope="module")
def tensors(tokenizer):
    return encode_dialogues(MADE, tokenizer, max_query=80, max_answer=40)


def test_tensors_hold_the_template_of_every_interaction(tokenizer, tensors):
    assert (len(tensors), tensors.steps) == (40, 5)
    assert tensors.query.ids.dtype == torch.long
    assert tensors.query.mask.dtype == torch.bool
    for row in (0, 17, 39):
        for turn, interaction in enumerate(MADE[row].turns):
            query = tensors.query.ids[row, turn][tensors.query.mask[row, turn]].tolist()
            answer = tensors.answer.ids[row, turn][tensors.answer.mask[row, turn]].tolist()
            assert query == tokenizer.encode_query(interaction.query)
            assert answer == tokenizer.encode_answer(interaction.answer)
            assert tensors.asks[row][turn] == interaction.asks
    assert (tensors.query.ids[~tensors.query.mask] == 0).all()


def test_interactions_are_queries_with_answers(tokenizer, tensors):
    joined = tensors.interactions()
    turn = MADE[3].turns[2]
    ids = tokenizer.encode_query(turn.query) + tokenizer.encode_answer(turn.answer)
    assert joined.ids[3, 2][joined.mask[3, 2]].tolist() == ids
    assert joined.ids[3, 2][joined.answer_mask[3, 2]].tolist() == tokenizer.encode_answer(turn.answer)


def test_distance(tensors):
    assert (tensors.distance[:, 0] == -1).all()
    for row, dialogue in enumerate(MADE):
        for turn, interaction in enumerate(dialogue.interactions, start=1):
            assert tensors.told_at[row, turn] == interaction.asks[0].told_at
            assert tensors.distance[row, turn] == turn - interaction.asks[0].told_at


def test_several_or_no_asks_have_no_distance(tokenizer):
    asks = (Ask("a", 0), Ask("b", 0))
    dialogue = Dialogue("a", "b", (Interaction("c", "d", asks), Interaction("e", "f")))
    tensors = encode_dialogues([dialogue], tokenizer, max_query=9, max_answer=9)
    assert tensors.distance.tolist() == [[-1, -1, -1]]


def test_select_cuts_and_trims(tensors):
    part = tensors.select([7, 3], steps=2)
    assert (len(part), part.steps) == (2, 2)
    assert part.asks == (tensors.asks[7][:3], tensors.asks[3][:3])
    assert part.query.mask.any(dim=(0, 1)).all()
    assert part.answer.mask.any(dim=(0, 1)).all()
    width = part.query.ids.shape[-1]
    assert torch.equal(part.query.ids[1], tensors.query.ids[3, :3, :width])
    assert torch.equal(part.distance, tensors.distance[[7, 3], :3])
    everything = tensors.select(slice(None))
    assert torch.equal(everything.answer.ids, tensors.answer.ids)
    assert torch.equal(tensors.select(torch.tensor([5])).query.ids, tensors.select([5]).query.ids)
    with pytest.raises(UserError, match="steps 6 is not possible: the dialogues have 5"):
        tensors.select([0], steps=6)


def test_what_is_cut_is_reported(tokenizer, caplog):
    dialogue = Dialogue("one two three", "four five six", (Interaction("x", "y"),))
    length = len(tokenizer.encode_query(dialogue.query))
    tensors = encode_dialogues([dialogue], tokenizer, max_query=5, max_answer=3)
    assert tensors.report is not None
    assert (tensors.report.cut_queries, tensors.report.cut_answers) == (1, 1)
    assert tensors.report.longest_query == length
    assert "1 of 2 queries" in caplog.text
    query = tensors.query.ids[0, 0].tolist()
    assert len(query) == 5
    assert query[-1] == tokenizer.answer_id, "a cut query still ends with [A]"
    assert tokenizer.eos_id not in tensors.answer.ids[0, 0].tolist(), "a cut answer has no [EOS]"
    with pytest.raises(UserError, match=f"dialogue 0 interaction 0: the query has {length} tokens and the limit is 5"):
        encode_dialogues([dialogue], tokenizer, max_query=5, max_answer=3, on_long="error")


def test_ragged_dialogues_need_steps(tokenizer):
    ragged = [MADE[0], Dialogue("a", "b", (Interaction("c", "d"),))]
    with pytest.raises(UserError, match="1 to 5 follow-ups"):
        encode_dialogues(ragged, tokenizer, max_query=80, max_answer=40)
    with pytest.raises(UserError, match="steps 2 is longer than the shortest dialogue, which has 1"):
        encode_dialogues(ragged, tokenizer, max_query=80, max_answer=40, steps=2)
    assert encode_dialogues(ragged, tokenizer, max_query=80, max_answer=40, steps=1).steps == 1
    with pytest.raises(UserError, match="no dialogues"):
        encode_dialogues([], tokenizer, max_query=80, max_answer=40)
