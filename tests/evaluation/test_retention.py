from __future__ import annotations

import dataclasses
import json
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console
from rxt_mrl.envs import MemoryRetentionVectorEnv

from rxt_mrl.contracts import NEVER_TOLD, OWN_WORDS, Ask, Dialogue, Interaction, RewardSpec, RewardTerm
from rxt_mrl.dialogues import encode_dialogues
from rxt_mrl.errors import UserError
from rxt_mrl.evaluation import (
    EvaluationSettings,
    evaluate,
    fixed_embedding,
    plot_retention,
    plot_stages,
    retention_table,
    token_metrics,
    write_retention,
)
from rxt_mrl.evaluation import answers as answers_module
from rxt_mrl.evaluation.controls import batch_bounds, read_memories
from rxt_mrl.model.generation import Generation
from rxt_mrl.supervised.losses import next_token_labels, token_loss

KEYS = {
    *("schema_version", "episodes", "steps", "recall", "recall_ci95", "recall_wiped", "recall_swapped"),
    *("recall_by_distance", "recall_told_first", "recall_told_later", "score_mean", "score_min", "score_max"),
    *("ppl", "accuracy"),
}
QUICK = EvaluationSettings(episodes=None, batch_size=4, score=False)


@pytest.fixture
def perfect(dialogues, monkeypatch):
    """Answers like the reference with the real memory, and nonsense from any other; keeps what was read."""
    calls = iter([(first, step) for first in (0, 3) for step in (1, 2, 3, 4)])
    memories = []

    def answer(model, query_ids, query_mask, memory, sampling, **options):
        memories.append(memory)
        first, step = next(calls)
        ids, mask = (part[first : first + 3, step] for part in (dialogues.answer.ids, dialogues.answer.mask))
        nonsense = torch.full_like(ids, 9)
        return Generation(torch.cat([ids, nonsense, nonsense]), mask.repeat(3, 1), torch.zeros(9, ids.shape[1]))

    monkeypatch.setattr(answers_module, "generate", answer)
    return memories


def test_perfect_answers_and_controls(model, tokenizer, dialogues, perfect):
    result = evaluate(model, tokenizer, dialogues, QUICK)
    values = result.to_json()
    assert values["recall"] == values["recall_told_first"] == values["recall_told_later"] == 1.0
    assert values["recall_wiped"] == values["recall_swapped"] == 0.0
    assert values["recall_by_distance"] == {"1": 1.0, "2": 1.0, "4": 1.0}
    assert values["recall_ci95"][0] < 1.0
    assert values["questions"] == 24
    assert [len(memory[0]) for memory in perfect] == [9] * 8  # two batches of three, not four and two
    on, wiped, swapped = perfect[0].split(3, dim=1)
    assert torch.equal(wiped, model.initial_memory(3, seeds=[0, 0, 0]))
    assert torch.equal(swapped, on.roll(1, dims=1))
    assert set(values) >= KEYS


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
def test_own_words_and_never_told_facts_are_judged_as_such(model, tokenizer, monkeypatch, later, recall):
    """Both dialogues choose green, whatever the reference takes; without the memory the answer is blue."""
    data = encode_dialogues(OWN, tokenizer, max_query=60, max_answer=12)
    steps = [["It is green."] * 2, ["It is pink.", "It is grey."], [f"It is {later}."] * 2, ["I do not know."] * 2]
    said = iter(steps * 2)

    def answer(model, query_ids, query_mask, memory, sampling, **options):
        rows = [tokenizer.encode_answer(text) for text in (*next(said), *["It is blue."] * 4)]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows])
        return Generation(ids, mask, torch.zeros(ids.shape))

    monkeypatch.setattr(answers_module, "generate", answer)
    reward = RewardSpec(
        terms=(RewardTerm(use="knows_or_abstains"),),
        metrics=(RewardTerm(use="rxt_mrl.rewards.answer_shares:recognised"), RewardTerm(use="bleu")),
    )
    settings = EvaluationSettings(episodes=None, batch_size=2, reward=reward)
    values = evaluate(model, tokenizer, data, settings).to_json()
    assert values["recall"] == recall
    assert values["recall_by_distance"] == {"0": 1.0, "2": recall}  # at 2 the hat, always right, and the ball
    assert values["recall_wiped_by_distance"] == {"0": 1.0, "2": 0.0}
    assert values["questions"] == 4
    assert values["metrics"]["recognised"] == 1.0
    values = evaluate(model, tokenizer, data, settings.model_copy(update={"reward": None})).to_json()
    assert values["score_by_step"][0] is None, "the published reward has no reference to compare with"
    json.dumps(values, allow_nan=False)


def test_data_without_facts_has_no_recall_and_all_the_rest(model, tokenizer, plain_dialogues):
    settings = EvaluationSettings(episodes=4, batch_size=4, max_new_tokens=4)
    values = evaluate(model, tokenizer, plain_dialogues, settings).to_json()
    assert all(values[key] is None for key in KEYS if key.startswith("recall"))
    assert 0 <= values["score_min"] <= values["score_mean"] <= values["score_max"] <= 10
    assert len(values["score_by_step"]) == 4
    assert values["ppl"] > 1


def test_the_result_depends_on_the_seed_and_not_on_the_batches(model, tokenizer, dialogues):
    settings = EvaluationSettings(episodes=None, batch_size=6, temperature=1.0, max_new_tokens=6, controls=())
    results = [
        evaluate(model, tokenizer, dialogues, settings.model_copy(update={"batch_size": size}), seed=seed)
        for size, seed in ((6, 1), (3, 1), (6, 2))
    ]
    scores = [result.score for result in results]
    assert np.allclose(scores[0], scores[1], atol=1e-5)
    assert not np.allclose(scores[0], scores[2], atol=1e-5)


def test_dialogues_do_not_see_each_other(model, tokenizer, dialogues):
    settings = EvaluationSettings(episodes=None, batch_size=6, max_new_tokens=6, controls=(), score=True)
    whole = evaluate(model, tokenizer, dialogues, settings)
    alone = evaluate(model, tokenizer, dialogues.select([0, 1]), settings)
    assert np.allclose(whole.score[:2], alone.score, atol=1e-5)


def test_own_answers_are_written_unless_teacher_forcing(model, tokenizer, dialogues, monkeypatch):
    written = []
    original = type(model).write

    def watched(self, memory, ids, mask):
        written.append(ids)
        return original(self, memory, ids, mask)

    monkeypatch.setattr(type(model), "write", watched)
    settings = EvaluationSettings(episodes=2, batch_size=2, max_new_tokens=3, controls=(), score=False)
    evaluate(model, tokenizer, dialogues, settings.model_copy(update={"teacher_forcing": True}))
    turns = dialogues.select([0, 1]).interactions()
    for step, ids in enumerate(written):
        assert torch.equal(ids, turns.ids[:, step, : ids.shape[1]])
    forced, written[:] = list(written), []
    evaluate(model, tokenizer, dialogues, settings)
    assert torch.equal(written[0], forced[0])
    assert not torch.equal(written[1], forced[1])


def test_the_model_is_left_as_it_was(model, tokenizer, dialogues):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    evaluate(model, tokenizer, dialogues, EvaluationSettings(episodes=2, max_new_tokens=2))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_reward_of_ones_own_makes_the_score(model, tokenizer, dialogues):
    spec = RewardSpec(terms=(RewardTerm(use="length"),))
    settings = EvaluationSettings(episodes=4, max_new_tokens=1, reward=spec, controls=())
    assert evaluate(model, tokenizer, dialogues, settings).to_json()["score_max"] < 10


def test_scores_on_long_range_data_differ_by_mode_as_the_environments_rewards(model, tokenizer, dialogues, monkeypatch):
    """The published composite weighs its parts by mode: the first step leaves the topic, the last returns to it."""
    answers = zip(dialogues.answer.ids[:, 1:].unbind(1), dialogues.answer.mask[:, 1:].unbind(1), strict=True)
    said = [(ids.roll(1, dims=0), mask.roll(1, dims=0)) for ids, mask in answers]  # those of another dialogue

    def scores(strategy):
        given = iter(said)
        monkeypatch.setattr(
            answers_module, "generate", lambda *_, **__: Generation(*(part := next(given)), torch.zeros(part[1].shape))
        )
        settings = EvaluationSettings(episodes=None, batch_size=6, controls=())
        return evaluate(model, tokenizer, dataclasses.replace(dialogues, strategy=strategy), settings).score_by_step

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
def test_token_metrics_against_one_dialogue_at_a_time(model, dialogues):
    found = token_metrics(model, dialogues, batch_size=3)
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
    assert found.ppl == pytest.approx(np.exp(nll / tokens), rel=1e-4)
    assert found.accuracy == pytest.approx(correct / tokens)
    assert found.tokens == tokens


def test_too_few_dialogues(model, tokenizer, dialogues):
    with pytest.raises(UserError, match="episodes is 300, the data has 6"):
        evaluate(model, tokenizer, dialogues)
    with pytest.raises(UserError, match="follow-ups"):
        evaluate(model, tokenizer, dialogues, EvaluationSettings(episodes=2, steps=9))


def test_batches_are_even_and_memories_side_by_side():
    assert batch_bounds(101, 100) == [(0, 50), (50, 101)]
    assert batch_bounds(3, 100) == [(0, 3)]
    memory, initial = torch.randn(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)
    read = read_memories(memory, initial, ("swapped", "wiped"))
    assert torch.equal(read[:, 3:6], memory[:, [2, 0, 1]])
    assert torch.equal(read[:, 6:], initial)
    with pytest.raises(ValueError, match="two dialogues"):
        read_memories(memory[:, :1], initial[:, :1], ("swapped",))


def test_a_single_dialogue_has_no_swapped_memory(model, tokenizer, dialogues):
    settings = EvaluationSettings(episodes=1, max_new_tokens=2, score=False)
    values = evaluate(model, tokenizer, dialogues, settings).to_json()
    assert values["recall_swapped"] is None
    assert values["recall_wiped"] is not None


def test_files_and_table(model, tokenizer, dialogues, tmp_path):
    result = evaluate(model, tokenizer, dialogues, EvaluationSettings(episodes=None, max_new_tokens=3)).to_json()
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
    rows = [line.split("│")[1:3] for line in console.file.getvalue().splitlines() if line.startswith("│")]
    said = [(name.strip(), recall.strip()) for name, recall in rows]
    assert ("memory_aware", "50.0") in said[said.index(("main", "")) : said.index(("long", ""))]
    assert said[said.index(("long", "")) :] == [("long", ""), ("memory_aware", "25.0")]
    main = {name: sources["main"] for name, sources in results.items()}
    for made in (plot_retention(result, tmp_path / "a.png"), plot_stages(main, tmp_path / "b.png")):
        assert made.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="no recall by distance"):
        plot_retention({**result, "recall_by_distance": None}, tmp_path / "c.png")
