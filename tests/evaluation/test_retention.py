from __future__ import annotations

import dataclasses
import json
import math
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from rxt_mrl.envs import MemoryRetentionVectorEnv

from rxt_mrl.contracts import NEVER_TOLD, OWN_WORDS, Ask, Dialogue, Interaction, RewardSpec, RewardTerm
from rxt_mrl.dialogues import encode_dialogues
from rxt_mrl.dialogues.template import pad_rows
from rxt_mrl.errors import UserError
from rxt_mrl.evaluation import (
    EvaluationSettings,
    KnownSubject,
    RxTSubject,
    evaluate,
    fixed_embedding,
    plot_retention,
    plot_stages,
    retention_table,
    write_retention,
)
from rxt_mrl.evaluation.subjects.protocol import Answers
from rxt_mrl.supervised.losses import next_token_labels, token_loss

KEYS = {
    *("schema_version", "episodes", "steps", "recall", "recall_ci95", "recall_wiped", "recall_swapped"),
    *("recall_frozen", "recall_oracle", "recall_by_distance", "recall_told_first", "recall_told_later"),
    *("score_mean", "score_min", "score_max", "ppl", "accuracy", "abilities", "bits", "memory_gain"),
}
QUICK = EvaluationSettings(episodes=None, batch_size=4, score=False, bits=0)


@pytest.fixture
def subject(model, tokenizer):
    return RxTSubject(model, tokenizer)


class Scripted(KnownSubject):
    """Says what a script says: a text for each step, dialogue and whether it answers from its own memory."""

    def __init__(self, tokenizer, script):
        super().__init__("oracle", tokenizer)
        self.script = script

    def answer(self, state, turn, sampling, seeds):
        texts = [
            self.script(turn.number, dialogue, told.dialogue == dialogue and len(told.turns) == turn.number)
            for dialogue, told in zip(turn.dialogues, state, strict=True)
        ]
        tokens = pad_rows([self.tokenizer.encode_answer(text) for text in texts])
        return Answers(tokens, np.zeros(len(texts), dtype=np.int64))


def test_an_oracle_knows_what_it_was_told_and_nothing_else(tokenizer, dialogues):
    result = evaluate(KnownSubject("oracle", tokenizer), dialogues, QUICK)
    values = result.to_json()
    assert values["recall"] == values["recall_told_first"] == values["recall_told_later"] == 1.0
    assert values["recall_wiped"] == values["recall_swapped"] == 0.0
    assert values["recall_by_distance"] == {"1": 1.0, "2": 1.0, "4": 1.0}
    assert values["recall_frozen_by_distance"] == {"1": 0.5, "2": 1.0, "4": 1.0}  # the ball is told in step 2
    assert values["recall_oracle"] is None, "it does not read queries"
    assert values["recall_ci95"][0] < 1.0
    assert values["questions"] == 24
    assert values["recall_by_distance_and_step"]["1"]["3"] == {"recall": 1.0, "ci95": [0.6097, 1.0], "questions": 6}
    assert values["abilities"]["recall"]["recall"] == 1.0
    assert (values["ppl"], values["accuracy"]) == (1.0, 1.0)
    assert values["memory_gain"]["wiped"]["mean"] == values["memory_gain"]["swapped"]["mean"] == 10.0
    assert set(values) >= KEYS


@pytest.mark.parametrize("batch_size", [1, 2, 4, 6])
def test_controls_read_other_memories_and_the_same_ones_whatever_the_batch(subject, dialogues, batch_size, monkeypatch):
    read = {}
    original = type(subject).answer

    def watched(self, state, turn, sampling, seeds):
        for dialogue in set(turn.dialogues):
            places = [place for place, other in enumerate(turn.dialogues) if other == dialogue]
            if len(places) > 1:  # it is not there for the sake of another one's control
                read[turn.number, dialogue] = [state[:, place] for place in places]
        return original(self, state, turn, sampling, seeds)

    monkeypatch.setattr(type(subject), "answer", watched)
    settings = QUICK.model_copy(
        update={
            "batch_size": batch_size,
            "teacher_forcing": True,
            "max_new_tokens": 1,
            "controls": ("swapped", "wiped", "frozen"),
        }
    )
    evaluate(subject, dialogues, settings)
    model, turns = subject.model, dialogues.interactions()
    initial = model.initial_memory(6, seeds=[0] * 6).detach()
    memories = model.scan(initial, turns.ids[:, :-1], turns.mask[:, :-1]).detach()
    for step in range(1, 5):
        for dialogue in range(6):
            wanted = [
                memories[step, :, dialogue],
                memories[step, :, dialogue - 1],
                initial[:, dialogue],
                memories[1, :, dialogue],
            ]
            found = read[step, dialogue]
            for name, want, got in zip(("on", "swapped", "wiped", "frozen"), wanted, found, strict=True):
                assert torch.allclose(want, got, atol=1e-5), (step, dialogue, name)


def test_the_oracle_control_has_the_facts_in_the_query(subject, tokenizer, dialogues, monkeypatch):
    asked = []
    original = type(subject).answer

    def watched(self, state, turn, sampling, seeds):
        asked.append(tokenizer.token_text(*turn.query).text)
        return original(self, state, turn, sampling, seeds)

    monkeypatch.setattr(type(subject), "answer", watched)
    evaluate(subject, dialogues, QUICK.model_copy(update={"controls": ("oracle",), "batch_size": 6}))
    first, third = asked[0], asked[2]
    told = tokenizer.token_text(*dialogues.query.part(slice(None), 0)).text[0]
    assert (first[0], first[6]) == ("What colour is the hat?", f"{told} Nice. What colour is the hat?")
    assert third[6].startswith("The ball is")
    assert third[6].endswith("What colour is the ball?")


OWN = [
    Dialogue(
        f"The hat is {told}.",
        "Nice.",
        (
            Interaction("Choose red, blue or green for the ball.", f"It is {chosen}.", (choice,)),
            Interaction("What colour is the hat?", f"It is {told}.", (Ask(told, 0),)),
            Interaction("What did you choose for the ball?", f"It is {chosen}.", (choice,)),
            Interaction("What colour is the coat?", "I do not know.", (Ask("", NEVER_TOLD),)),
        ),
    )
    for told, chosen in (("pink", "red"), ("grey", "blue"))
    for choice in [Ask(chosen, 1, tuple(word for word in ("red", "blue", "green") if word != chosen), OWN_WORDS)]
]


@pytest.mark.parametrize(("later", "recall"), [("green", 1.0), ("red", 0.5)])
def test_own_words_and_never_told_facts_are_judged_as_such(tokenizer, later, recall):
    """Both dialogues choose green, whatever the reference takes; without the memory the answer is blue."""
    data = encode_dialogues(OWN, tokenizer, max_query=60, max_answer=12)
    steps = [["It is green."] * 2, ["It is pink.", "It is grey."], [f"It is {later}."] * 2, ["I do not know."] * 2]
    said = Scripted(tokenizer, lambda step, dialogue, on: steps[step - 1][dialogue] if on else "It is blue.")
    reward = RewardSpec(
        terms=(RewardTerm(use="knows_or_abstains"),),
        metrics=(RewardTerm(use="rxt_mrl.rewards.answer_shares:recognised"), RewardTerm(use="bleu")),
    )
    settings = EvaluationSettings(episodes=None, batch_size=2, reward=reward, max_new_tokens=20)
    values = evaluate(said, data, settings).to_json()
    assert values["recall"] == recall
    assert values["recall_by_distance"] == {"0": 1.0, "2": recall}  # at 2 the hat, always right, and the ball
    assert values["recall_wiped_by_distance"] == {"0": 1.0, "2": 0.0}
    assert values["questions"] == 4
    assert values["metrics"]["recognised"] == 1.0
    found = {name: ability["recall"] for name, ability in values["abilities"].items()}
    assert found == {"own_words": float(later == "green"), "recall": 1.0, "abstention": 1.0}
    assert values["abilities"]["abstention"]["wiped"] == 0.0
    values = evaluate(said, data, settings.model_copy(update={"reward": None})).to_json()
    assert values["score_by_step"][0] is None, "the published reward has no reference to compare with"
    json.dumps(values, allow_nan=False)


def test_data_without_facts_has_no_recall_and_all_the_rest(subject, plain_dialogues):
    settings = EvaluationSettings(episodes=4, batch_size=4, max_new_tokens=4)
    values = evaluate(subject, plain_dialogues, settings).to_json()
    assert all(values[key] is None for key in KEYS if key.startswith("recall"))
    assert 0 <= values["score_min"] <= values["score_mean"] <= values["score_max"] <= 10
    assert len(values["score_by_step"]) == 4
    assert values["ppl"] > 1


def test_the_result_depends_on_the_seed_and_not_on_the_batches(subject, dialogues):
    settings = EvaluationSettings(episodes=None, batch_size=6, temperature=1.0, max_new_tokens=6, controls=())
    results = [
        evaluate(subject, dialogues, settings.model_copy(update={"batch_size": size}), seed=seed)
        for size, seed in ((6, 1), (3, 1), (6, 2))
    ]
    scores = [result.questions["score"].to_numpy() for result in results]
    assert np.allclose(scores[0], scores[1], atol=1e-5)
    assert not np.allclose(scores[0], scores[2], atol=1e-5)


def test_dialogues_do_not_see_each_other(subject, dialogues):
    settings = EvaluationSettings(episodes=None, batch_size=6, max_new_tokens=6, controls=(), score=True)
    whole = evaluate(subject, dialogues, settings)
    alone = evaluate(subject, dialogues.select([0, 1]), settings)
    assert np.allclose(whole.questions["score"][:8], alone.questions["score"], atol=1e-5)


def test_own_answers_are_written_unless_teacher_forcing(subject, model, dialogues, monkeypatch):
    written = []
    original = type(model).write

    def watched(self, memory, ids, mask):
        written.append(ids)
        return original(self, memory, ids, mask)

    monkeypatch.setattr(type(model), "write", watched)
    settings = QUICK.model_copy(update={"episodes": 2, "max_new_tokens": 3, "controls": ()})
    evaluate(subject, dialogues, settings.model_copy(update={"teacher_forcing": True}))
    turns = dialogues.select([0, 1]).interactions()
    for step, ids in enumerate(written):  # read with the references, then answered
        assert torch.equal(ids, turns.ids[:, step % 4, : ids.shape[1]])
    forced, written[:] = list(written), []
    evaluate(subject, dialogues, settings)
    assert torch.equal(written[4], forced[4])
    assert not torch.equal(written[5], forced[5])


def test_the_model_is_left_as_it_was(subject, model, dialogues):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    evaluate(subject, dialogues, EvaluationSettings(episodes=2, max_new_tokens=2))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_reward_of_ones_own_makes_the_score(subject, dialogues):
    spec = RewardSpec(terms=(RewardTerm(use="length"),))
    settings = EvaluationSettings(episodes=4, max_new_tokens=1, reward=spec, controls=())
    assert evaluate(subject, dialogues, settings).to_json()["score_max"] < 10


def test_scores_on_long_range_data_differ_by_mode_as_the_environments_rewards(tokenizer, dialogues):
    """The published composite weighs its parts by mode: the first step leaves the topic, the last returns to it."""
    answers = zip(dialogues.answer.ids[:, 1:].unbind(1), dialogues.answer.mask[:, 1:].unbind(1), strict=True)
    said = [(ids.roll(1, dims=0), mask.roll(1, dims=0)) for ids, mask in answers]  # those of another dialogue
    texts = [tokenizer.decode_batch(*part) for part in said]
    other = Scripted(tokenizer, lambda step, dialogue, on: texts[step - 1][dialogue])

    def scores(strategy):
        settings = EvaluationSettings(episodes=None, batch_size=6, controls=(), bits=0)
        result = evaluate(other, dataclasses.replace(dialogues, strategy=strategy), settings)
        return result.questions.groupby("step")["score"].mean().to_numpy()

    def rewards(strategy):
        env = MemoryRetentionVectorEnv(
            dialogues,
            tokenizer,
            num_envs=6,
            reward="published",
            strategy=strategy,
            embedding=fixed_embedding(tokenizer.vocab_size),
            autoreset="disabled",
        )
        env.reset(options={"episodes": np.arange(6)})
        actions = ({"ids": ids.numpy(), "mask": mask.numpy().astype(np.int8)} for ids, mask in said)
        return np.array([env.step(action)[1].mean() for action in actions])

    for strategy in ("long_range", "multi_step"):
        assert scores(strategy) == pytest.approx(10 * rewards(strategy), abs=1e-4)


@torch.no_grad()
def test_bits_against_one_dialogue_at_a_time(subject, model, dialogues):
    found = evaluate(subject, dialogues, QUICK).to_json()
    nll = tokens = correct = 0.0
    for row in range(len(dialogues)):
        turns = dialogues.select([row]).interactions()
        memory = model.initial_memory(1)
        for turn in range(1, 5):
            memory = model.write(memory, turns.ids[:, turn - 1], turns.mask[:, turn - 1])
            logits = model.decode(turns.ids[:, turn], memory)
            labels = next_token_labels(turns.ids[:, turn], turns.answer_mask[:, turn])
            mean, right, counted = token_loss(logits, labels)
            nll, correct, tokens = nll + float(mean * counted), correct + float(right), tokens + float(counted)
    assert found["ppl"] == pytest.approx(np.exp(nll / tokens), rel=1e-4)
    assert found["accuracy"] == pytest.approx(correct / tokens, abs=1e-4)
    assert found["bits_per_answer"] == pytest.approx(nll / math.log(2) / 24, rel=1e-4)


def test_too_few_dialogues(subject, dialogues):
    with pytest.raises(UserError, match="episodes is 300, the data has 6"):
        evaluate(subject, dialogues)
    with pytest.raises(UserError, match="follow-ups"):
        evaluate(subject, dialogues, EvaluationSettings(episodes=2, steps=9))


def test_a_single_dialogue_has_no_swapped_memory(subject, dialogues):
    settings = EvaluationSettings(episodes=1, max_new_tokens=2, score=False)
    values = evaluate(subject, dialogues, settings).to_json()
    assert values["recall_swapped"] is None
    assert values["recall_wiped"] is not None


def test_files_and_table(subject, dialogues, tmp_path):
    result = evaluate(subject, dialogues, EvaluationSettings(episodes=None, max_new_tokens=3)).to_json()
    results = {
        "joint": {"main": result},
        "interaction": {"main": result},
        "memory_aware": {"main": {**result, "recall": 0.5}, "long": {**result, "recall": 0.25}},
    }
    path = write_retention(SimpleNamespace(evaluation_dir=tmp_path / "evaluation"), results)
    written = json.loads(path.read_text())
    assert (written["source"], written["recall"]) == ("main", 0.5)
    stages = {name: stage["sources"] for name, stage in written["stages"].items()}
    assert {name: list(sources) for name, sources in stages.items()} == {
        "joint": ["main"],
        "interaction": ["main"],
        "memory_aware": ["main", "long"],
    }
    assert stages["memory_aware"]["long"]["recall"] == 0.25
    assert "by_dialogue" not in stages["joint"]["main"]
    assert "by_dialogue" in stages["interaction"]["main"]
    console = Console(width=160, file=StringIO())
    console.print(retention_table(results))
    said = [line.split()[:2] for line in console.file.getvalue().splitlines()]
    assert ["memory_aware", "50.0"] in said[said.index(["main"]) : said.index(["long"])]
    assert said[said.index(["long"]) :] == [["long"], ["memory_aware", "25.0"]]
    main = {name: sources["main"] for name, sources in results.items()}
    for made in (plot_retention(result, tmp_path / "a.png"), plot_stages(main, tmp_path / "b.png")):
        assert made.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="no recall by distance"):
        plot_retention({**result, "recall_by_distance": None}, tmp_path / "c.png")


def test_evaluation_in_bfloat16(subject, dialogues, tokenizer):
    exact = evaluate(subject, dialogues, QUICK).to_json()
    rounded = evaluate(subject, dialogues, QUICK.model_copy(update={"precision": "bfloat16"})).to_json()
    assert rounded["ppl"] == pytest.approx(exact["ppl"], rel=0.01)
    assert rounded["ppl"] != exact["ppl"]
    with pytest.raises(UserError, match=r"evaluation.precision = 'bfloat16': .* is no RxT; allowed: float32"):
        evaluate(KnownSubject("oracle", tokenizer), dialogues, QUICK.model_copy(update={"precision": "bfloat16"}))
