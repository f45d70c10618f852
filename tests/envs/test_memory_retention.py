from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from rxt_mrl.envs import MemoryRetentionVectorEnv
from rxt_mrl.envs.bundled import bundled_dialogues
from rxt_mrl.envs.policies import EchoPolicy, OraclePolicy, RandomPolicy, play_episode

from rxt_mrl.contracts import RewardContext, mode_of
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer, join
from rxt_mrl.errors import UserError
from rxt_mrl.texts import Tokens

EPISODES = {"episodes": np.array([7, 2, 2])}


class Watching:
    """A reward that keeps what it was shown."""

    def __init__(self, applies: bool = True) -> None:
        self.seen: list[RewardContext] = []
        self.applies = applies

    def __call__(self, context: RewardContext) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append(context)
        return torch.full((len(context),), context.step / 100), torch.full((len(context),), self.applies)


def make(dialogues: DialogueTensors, tokenizer: DialogueTokenizer, rows: int = 3, **options: Any) -> Any:
    return MemoryRetentionVectorEnv(dialogues, tokenizer, num_envs=rows, **{"autoreset": "disabled", **options})


@pytest.mark.parametrize("teacher_forcing", [False, True])
def test_observations_follow_the_dialogue(
    dialogues: DialogueTensors, tokenizer: DialogueTokenizer, teacher_forcing: bool
) -> None:
    env = make(dialogues, tokenizer, teacher_forcing=teacher_forcing, max_new_tokens=5)
    batch = dialogues.select(EPISODES["episodes"])
    policy = RandomPolicy(tokenizer, 4)
    state = policy.reset(3)
    observation, info = env.reset(options=EPISODES)
    answer = {"ids": batch.answer.ids[:, 0], "mask": batch.answer.mask[:, 0]}
    for turn in range(dialogues.steps + 1):
        said = Tokens(torch.as_tensor(answer["ids"]), torch.as_tensor(answer["mask"]).bool())
        expected = join(batch.query.part(slice(None), turn), said, width=env.interaction_width)
        written = info["written"]
        for name in ("ids", "mask", "answer_mask"):
            assert np.array_equal(written[name], getattr(expected, name).numpy())
        assert np.array_equal(observation["interaction"]["ids"], written["ids"])
        assert np.array_equal(info["episodes"], EPISODES["episodes"])
        assert info["step"].tolist() == [turn] * 3
        query_mask = observation["query"]["mask"].astype(bool)
        if turn == dialogues.steps:
            assert not query_mask.any()
            break
        following = batch.query.ids[:, turn + 1].numpy()
        assert (observation["query"]["ids"][:, : following.shape[1]] * query_mask[:, : following.shape[1]]
                == following * batch.query.mask[:, turn + 1].numpy()).all()  # fmt: skip
        output = policy.act(observation, state)
        state = output.state
        observation, _, _, _, info = env.step(output.actions)
        assert np.array_equal(info["answer"]["ids"], output.actions["ids"])
        reference = {"ids": batch.answer.ids[:, turn + 1], "mask": batch.answer.mask[:, turn + 1]}
        answer = reference if teacher_forcing else output.actions
        assert info["asks"][0] == batch.asks[0][turn + 1]
        assert np.array_equal(info["distance"], batch.distance[:, turn + 1])


def test_rewards_see_the_step_and_all_that_was_written(
    dialogues: DialogueTensors, tokenizer: DialogueTokenizer
) -> None:
    watching = Watching()
    trained = torch.nn.Embedding(tokenizer.vocab_size, 2).weight
    env = make(dialogues, tokenizer, reward=watching, embedding=trained)
    before = trained.detach().clone()
    with torch.no_grad():
        trained += 1
    played = play_episode(env, EchoPolicy(tokenizer, env.max_new_tokens), options=EPISODES)
    batch = dialogues.select(EPISODES["episodes"])
    texts = tokenizer.decode_batch(batch.query.ids[0], batch.query.mask[0])
    for step, context in enumerate(watching.seen, start=1):
        assert (context.step, context.steps, len(context.history), len(context)) == (step, env.steps, step, 3)
        assert context.query.text[0] == texts[step]
        assert context.asks == tuple(row[step] for row in batch.asks)
        assert context.embedding is not None
        assert torch.equal(context.embedding, before)
        for turn, written in enumerate(context.history[1:], start=1):
            # The agent's own answer is in the history, and it is an echo (cut where it was too long).
            assert written.text[0].startswith(texts[turn])
            assert texts[turn][:10] in written.text[0][len(texts[turn]) :]
    originals = [context.history[0]._original for context in (watching.seen[0], watching.seen[-1])]
    assert originals[0] is originals[1]  # decoded once per episode
    assert np.allclose(played.rewards[0], np.arange(1, env.steps + 1) / 100)
    assert played.infos[1]["terms"]["Watching"].tolist() == pytest.approx([0.02] * 3)


def test_teacher_forcing_puts_references_into_the_history(
    dialogues: DialogueTensors, tokenizer: DialogueTokenizer
) -> None:
    watching = Watching()
    env = make(dialogues, tokenizer, reward=watching, teacher_forcing=True)
    play_episode(env, EchoPolicy(tokenizer, env.max_new_tokens), options=EPISODES)
    answer = tokenizer.decode_batch(dialogues.answer.ids[7], dialogues.answer.mask[7])[1]
    assert watching.seen[1].history[1].text[0].endswith(answer)
    assert watching.seen[1].generated.text[0] != answer


def test_unknown_rewards_are_marked(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    env = make(dialogues, tokenizer, reward=Watching(applies=False))
    played = play_episode(env, EchoPolicy(tokenizer, env.max_new_tokens))
    assert not played.valid.any()
    assert (played.rewards == 0).all()


def test_rewards_are_made_from_names_and_specs(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    spec = {"terms": [{"use": "fact_recall"}, {"use": "bleu", "weight": 3.0}], "metrics": [{"use": "length"}]}
    env = make(dialogues, tokenizer, reward=spec)
    info = play_episode(env, OraclePolicy(dialogues)).infos[0]
    assert (set(info["terms"]), set(info["metrics"])) == ({"fact_recall", "bleu"}, {"length"})
    assert info["reference"].text == info["generated"].text
    unscored = play_episode(make(dialogues, tokenizer), OraclePolicy(dialogues))
    assert (unscored.rewards == 0).all()
    assert unscored.infos[0]["terms"] == {}


def test_a_failing_reward_names_the_example(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    def half_wrong(context: RewardContext) -> list[float]:
        return [0.5, 2.0, 0.5]

    env = make(dialogues, tokenizer, reward=half_wrong)
    with pytest.raises(UserError, match=r"'half_wrong'.*returned 2.*test_memory_retention.py.*episode 1"):
        play_episode(env, EchoPolicy(tokenizer, env.max_new_tokens))


def test_the_rule_of_modes() -> None:
    assert [mode_of("multi_step", step, 3) for step in (1, 2, 3)] == ["standard"] * 3
    assert [mode_of("long_range", step, 3) for step in (1, 2, 3)] == ["topic_switch", "standard", "return"]


def test_modes(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    def modes(**options: Any) -> list[str]:
        env = make(dialogues, tokenizer, **options)
        return [info["mode"][0] for info in play_episode(env, EchoPolicy(tokenizer, env.max_new_tokens)).infos]

    assert modes(steps=3) == ["standard"] * 3
    assert modes(steps=4, strategy="long_range") == ["topic_switch", "standard", "standard", "return"]
    assert modes(steps=2, strategy="long_range") == ["topic_switch", "return"]
    long_range, own = bundled_dialogues("long_range")
    env = make(long_range, own, reward="fact_recall")
    assert env.strategy == "long_range"
    played = play_episode(env, OraclePolicy(long_range))
    assert played.valid.mean() > 0.8  # a switch of topic asks for nothing, and is not scored by recall
    assert (played.rewards[played.valid] == 1).all()


def test_every_dialogue_once_before_any_twice(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    env = make(dialogues, tokenizer, rows=24, seed=5)
    drawn = np.concatenate([env.reset()[1]["episodes"] for _ in range(8)])
    assert sorted(drawn[:64]) == sorted(drawn[64:128]) == list(range(64))
    assert drawn[:64].tolist() != drawn[64:128].tolist()
    again = make(dialogues, tokenizer, rows=24, seed=5)
    assert np.array_equal(again.reset()[1]["episodes"], drawn[:24])
    assert np.array_equal(again.reset(seed=5)[1]["episodes"], drawn[:24])


def test_single_rows_can_be_reset(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    watching = Watching()
    env = make(dialogues, tokenizer, steps=3, reward=watching)
    oracle = OraclePolicy(dialogues)
    observation, _ = env.reset(options={"episodes": np.array([0, 1, 2])})
    state = oracle.reset(3)
    for _ in range(2):
        output = oracle.act(observation, state)
        state, (observation, *_) = output.state, env.step(output.actions)
    kept = env.transcript(0)
    mask = np.array([False, True, False])
    observation, info = env.reset(options={"reset_mask": mask, "episodes": np.array([9])})
    assert info["episodes"].tolist() == [0, 9, 2]
    assert info["step"].tolist() == [2, 0, 2]
    assert env.transcript(0) == kept
    hidden = env.hidden()
    watching.seen.clear()
    _, rewards, terminated, _, info = env.step(hidden["answer"])
    assert [context.step for context in watching.seen] == [1, 3]
    assert [len(context) for context in watching.seen] == [1, 2]
    assert [len(context.history) for context in watching.seen] == [1, 3]
    assert watching.seen[0].asks == (dialogues.asks[9][1],)
    assert rewards.tolist() == pytest.approx([0.03, 0.01, 0.03])
    assert terminated.tolist() == [True, False, True]
    joined = dialogues.interactions()
    for row, (episode, turn) in enumerate([(0, 3), (9, 1), (2, 3)]):
        text = tokenizer.decode(joined.ids[episode, turn][joined.mask[episode, turn]])
        assert tokenizer.decode(info["written"]["ids"][row][info["written"]["mask"][row].astype(bool)].tolist()) == text


def test_rows_out_of_step_are_reset_alone(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    env = make(dialogues, tokenizer, steps=2, autoreset="same_step")
    env.reset(options={"episodes": np.array([0, 1, 2])})
    answer = RandomPolicy(tokenizer, 2)
    act = answer.act({}, answer.reset(3)).actions
    env.step(act)
    env.reset(options={"reset_mask": np.array([True, False, False])})
    observation, _, terminated, _, info = env.step(act)
    assert terminated.tolist() == info["_final_obs"].tolist() == [False, True, True]
    assert observation["query"]["mask"].any(1).all()
    assert info["final_obs"]["query"]["mask"].any(1).tolist() == [True, False, False]
    _, _, terminated, _, _ = env.step(act)
    assert terminated.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 9}, "steps: 9 is longer than the dialogues, which have 8 follow-ups"),
        ({"steps": 0}, "steps: 0 is not at least 1"),
        ({"steps": 1, "strategy": "long_range"}, "at least 2"),
        ({"strategy": "other"}, "multi_step, long_range"),
        ({"num_envs": 0}, "num_envs: 0"),
        ({"max_new_tokens": 0}, "max_new_tokens: 0"),
        ({"autoreset": "next_step"}, "'next_step' is not one of same_step, disabled"),
        ({"reward": "fact_recal"}, "fact_recall"),
        ({"reward": {"terms": [{"use": "bleu", "wait": 1}]}}, "reward: unknown key .terms.0.wait. .did you mean"),
        ({"reward": lambda: 0.5}, "a reward is called as reward"),
    ],
)
def test_wrong_options(
    dialogues: DialogueTensors, tokenizer: DialogueTokenizer, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        MemoryRetentionVectorEnv(dialogues, tokenizer, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episode": 1}, "unknown reset option 'episode'; allowed: episodes, reset_mask"),
        ({"episodes": [1, 2]}, "one index for each of 3 rows"),
        ({"episodes": [1, 2, 64]}, r"episode 64 does not exist; allowed: 0 \.\. 63"),
        ({"episodes": [1.0, 2.0, 3.0]}, "one index"),
        ({"reset_mask": np.array([True, False, True])}, "first reset is of all rows"),
        ({"reset_mask": np.array([1, 1, 1])}, r"bool \(3,\)"),
    ],
)
def test_wrong_reset_options(
    dialogues: DialogueTensors, tokenizer: DialogueTokenizer, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make(dialogues, tokenizer).reset(options=options)


def test_a_step_needs_a_reset(dialogues: DialogueTensors, tokenizer: DialogueTokenizer) -> None:
    env = make(dialogues, tokenizer)
    with pytest.raises(UserError, match="call reset"):
        env.step(env.action_space.sample())
