"""Conversations: streamed events, whole characters, memory updates in order, files, several at once."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from rxt_mrl.conversation import (
    Answer,
    Conversation,
    Conversations,
    MemoryUpdateFinished,
    MemoryUpdateStarted,
    Token,
)
from rxt_mrl.conversation.known import example
from rxt_mrl.conversation.text_stream import TextStream
from rxt_mrl.dialogues.tokenizer import DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT, preset
from rxt_mrl.model.sampling import SamplingConfig

SAMPLING = SamplingConfig(max_new_tokens=6)


@pytest.fixture(scope="module")
def tokenizer() -> DialogueTokenizer:
    return DialogueTokenizer.train(["The cat is called Whiskers. Who is it? It is a cat."] * 3, 280)


def build(tokenizer: DialogueTokenizer, seed: int = 0, **overrides: Any) -> RxT:
    torch.manual_seed(seed)
    sizes = {"vocab_size": tokenizer.vocab_size, "embed_dim": 16, "slots": 4, "max_tokens": 48, **overrides}
    return RxT(preset("nano", **sizes)).eval()


@pytest.fixture(scope="module")
def model(tokenizer: DialogueTokenizer) -> RxT:
    return build(tokenizer)


def test_events_of_a_turn(model: RxT, tokenizer: DialogueTokenizer) -> None:
    conversation = Conversation(model, tokenizer, sampling=SAMPLING, seed=1)
    before = conversation.memory
    events = list(conversation.ask("The cat is called Whiskers."))
    tokens = [event for event in events if isinstance(event, Token)]
    answer = next(event for event in events if isinstance(event, Answer))
    assert [type(event) for event in events[-3:]] == [Answer, MemoryUpdateStarted, MemoryUpdateFinished]
    assert "".join(event.text for event in tokens) == answer.text == tokenizer.decode(answer.ids)
    assert not answer.complete or answer.ids[-1] == tokenizer.eos_id
    assert conversation.turns == 1
    ids = torch.tensor([[*tokenizer.encode_query("The cat is called Whiskers."), *answer.ids]])
    with torch.no_grad():
        want = model.write(before, ids, torch.ones_like(ids, dtype=torch.bool))
    torch.testing.assert_close(conversation.memory, want)
    assert not conversation.memory.is_inference()


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "naïve café",
        "日本語のテキスト",
        "👩‍👩‍👧 family",
        "a  b \n c",
        "ends with space ",
        "　wide",
        "“quotes” …",
    ],
)
def test_stream_has_only_whole_characters(tokenizer: DialogueTokenizer, text: str) -> None:
    stream = TextStream(tokenizer)
    ids = tokenizer.encode_answer(text)
    pieces = [stream.push(token) for token in ids]
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) + stream.finish() == tokenizer.decode(ids) == text.strip()


def test_stream_of_broken_bytes_adds_up(tokenizer: DialogueTokenizer) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        ids = torch.randint(0, tokenizer.vocab_size, (20,), generator=generator).tolist()
        stream = TextStream(tokenizer)
        assert "".join(map(stream.push, ids)) + stream.finish() == tokenizer.decode(ids)


def test_same_seed_same_conversation_and_background_changes_nothing(model: RxT, tokenizer: DialogueTokenizer) -> None:
    questions = ["Who is it?", "It is a cat.", "Who?"]
    answers, memories = [], []
    for background in (False, True, True):
        conversation = Conversation(model, tokenizer, sampling=SAMPLING, seed=7, background=background)
        answers.append([conversation.answer(question) for question in questions])
        memories.append(conversation.memory)
        conversation.close()
    assert answers[0] == answers[1] == answers[2]
    assert torch.equal(memories[0], memories[1])


def test_background_update_is_awaited(
    model: RxT, tokenizer: DialogueTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, write = threading.Event(), model.write

    def slow(*args: Any) -> torch.Tensor:
        assert gate.wait(10)
        return write(*args)

    monkeypatch.setattr(model, "write", slow)
    conversation = Conversation(model, tokenizer, sampling=SAMPLING, seed=1, background=True)
    events = list(conversation.ask("Who is it?"))
    assert isinstance(events[-1], MemoryUpdateStarted)
    gate.set()
    following = list(conversation.ask("It is a cat."))
    assert isinstance(following[0], MemoryUpdateFinished)
    finished = conversation.wait()
    assert finished is not None
    assert finished.rows == (0,)
    assert conversation.wait() is None
    conversation.close()


def test_failed_update_is_reported_and_keeps_the_memory(
    model: RxT, tokenizer: DialogueTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> torch.Tensor:
        raise UserError("no memory today")

    conversation = Conversation(model, tokenizer, sampling=SAMPLING, seed=1, background=True)
    before = conversation.memory
    with monkeypatch.context() as patch:
        patch.setattr(model, "write", broken)
        list(conversation.ask("Who is it?"))
        with pytest.raises(UserError, match="no memory today"):
            conversation.wait()
    assert torch.equal(conversation.memory, before)
    conversation.close()


def test_left_answers_are_not_written(model: RxT, tokenizer: DialogueTokenizer) -> None:
    conversation = Conversation(model, tokenizer, sampling=SAMPLING, seed=1)
    before = conversation.memory
    left = conversation.ask("Who is it?")
    next(left)
    conversation.answer("Who?")
    assert conversation.turns == 1
    with pytest.raises(UserError, match="unfinished"):
        list(left)
    assert not torch.equal(conversation.memory, before)
    # Leaving at the update's event does not lose the update.
    for event in conversation.ask("It is a cat."):
        if isinstance(event, MemoryUpdateStarted):
            break
    other = Conversation(model, tokenizer, sampling=SAMPLING, seed=1)
    other.answer("Who?")
    other.answer("It is a cat.")
    assert torch.equal(conversation.memory, other.memory)


def test_batch_equals_single_conversations(model: RxT, tokenizer: DialogueTokenizer) -> None:
    turns = [["Who is it?", "It is a cat. Whiskers.", "A"], ["Who?", None, "Is it?"]]
    batch = Conversations(model, tokenizer, 3, sampling=SAMPLING, seeds=[4, 5, 6])
    answers = [batch.answer(queries) for queries in turns]
    assert answers[1][1] is None
    assert batch.turns == (2, 1, 2)
    for row, seed in enumerate((4, 5, 6)):
        single = Conversation(model, tokenizer, sampling=SAMPLING, seed=seed)
        for queries, texts in zip(turns, answers, strict=True):
            if queries[row] is not None:
                assert single.answer(queries[row]) == texts[row]
        torch.testing.assert_close(single.memory, batch.memory[:, row : row + 1])


def test_initial_text_and_reset(model: RxT, tokenizer: DialogueTokenizer) -> None:
    plain = Conversation(model, tokenizer, sampling=SAMPLING, seed=1)
    told = Conversation(model, tokenizer, sampling=SAMPLING, seed=1, initial_text="It is a cat.")
    ids = torch.tensor([[tokenizer.bos_id, *tokenizer.encode_text("It is a cat."), tokenizer.eos_id]])
    with torch.no_grad():
        want = model.write(plain.memory, ids, torch.ones_like(ids, dtype=torch.bool))
    torch.testing.assert_close(told.memory, want)
    told.reset()
    assert torch.equal(told.memory, plain.memory)
    # Longer than the width of 48: written in pieces, nothing is cut.
    text = "Whiskers is a cat and " * 20
    content = tokenizer.encode_text(text)
    assert len(content) > 100
    memory = plain.memory
    for start in range(0, len(content), 46):
        piece = torch.tensor([[tokenizer.bos_id, *content[start : start + 46], tokenizer.eos_id]])
        with torch.no_grad():
            memory = model.write(memory, piece, torch.ones_like(piece, dtype=torch.bool))
    plain.remember(text)
    torch.testing.assert_close(plain.memory, memory)


def test_saved_conversation_goes_on_as_if_never_interrupted(
    model: RxT, tokenizer: DialogueTokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "memory.safetensors"
    first = Conversations(model, tokenizer, 2, sampling=SAMPLING, seeds=[1, 2])
    first.answer(["Who is it?", "It is a cat."])
    assert first.save(path) == path
    second = Conversations(model, tokenizer, 2, sampling=SAMPLING)
    second.restore(path)
    assert second.seeds == (1, 2)
    assert second.answer(["Who?", "Is it?"]) == first.answer(["Who?", "Is it?"])
    assert torch.equal(first.memory, second.memory)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_wrong_memory_files_are_refused(model: RxT, tokenizer: DialogueTokenizer, tmp_path: Path) -> None:
    path = tmp_path / "memory.safetensors"
    Conversation(model, tokenizer, seed=1).save(path)
    (tmp_path / "junk").write_bytes(b"junk")
    other_weights = build(tokenizer, seed=5)
    Conversation(other_weights, tokenizer, seed=1).restore(path, any_weights=True)
    cases = [
        (model, tmp_path / "none", "no memory file"),
        (model, tmp_path / "junk", "is not a memory file"),
        (build(tokenizer, slots=8), path, "slots=4"),
        (other_weights, path, "other weights"),
    ]
    for other, file, message in cases:
        with pytest.raises(UserError, match=message) as error:
            Conversation(other, tokenizer, seed=1).restore(file)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="holds 1 conversations"):
        Conversations(model, tokenizer, 2).restore(path)
    with pytest.raises(UserError, match="does not exist"):
        Conversation(model, tokenizer).save(tmp_path / "missing" / "memory")
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.tex: the file holds something else; give another"):
        Conversation(model, tokenizer).save(tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    Conversation(model, tokenizer).save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    Conversation(model, tokenizer).restore(tmp_path / "elsewhere")


def test_bad_input_is_refused_at_the_call(model: RxT, tokenizer: DialogueTokenizer) -> None:
    conversation = Conversation(model, tokenizer, seed=1)
    both = Conversations(model, tokenizer, 2)
    calls = [
        lambda: conversation.ask("  "),
        lambda: conversation.ask("Whiskers " * 60),
        lambda: both.ask(["one"]),
        lambda: both.ask("on"),
        lambda: both.ask([None, None]),
        lambda: Conversations(model, tokenizer, 0),
        lambda: Conversations(model, tokenizer, 2, seeds=[1]),
        lambda: Conversation(build(tokenizer, vocab_size=100), tokenizer),
        lambda: conversation.remember(""),
    ]
    for call in calls:
        with pytest.raises(UserError):
            call()
    assert conversation.turns == 0


def test_chat_knows_an_example_of_what_it_was_trained_on(tmp_path: Path) -> None:
    assert example(tmp_path) is None
    (tmp_path / "rollouts").mkdir()
    rows = [
        {
            "step": 1,
            "reward": 0.2,
            "query": "Who?",
            "generated": "A cat.",
            "memory_write": {"query": "A", "answer": "B"},
        },
        {"step": 2, "reward": 1.0, "query": "No", "generated": "No", "memory_write": {"query": "No", "answer": "No"}},
        {
            "step": 1,
            "reward": 1.0,
            "query": "What?",
            "generated": "Red.",
            "memory_write": {"query": "C", "answer": "D"},
        },
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows) + "{half a li"
    (tmp_path / "rollouts" / "mrl-1.jsonl").write_text(lines)
    assert example(tmp_path) == (("C", "D"), ("What?", "Red."))
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "answers.parquet").write_text("no parquet")
    assert example(tmp_path) == (("C", "D"), ("What?", "Red."))
