from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rxt_mrl.envs import RepeatPreviousVectorEnv, repeat_previous_dialogues
from rxt_mrl.envs.policies import EchoPolicy, GuessPolicy, OraclePolicy, WipedPolicy, play_episode
from rxt_mrl.envs.repeat_previous import SYMBOLS, TIERS, chance, symbol_tokenizer

from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.errors import UserError


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_the_answer_is_the_symbol_of_k_turns_ago(k: int) -> None:
    for dialogue in repeat_previous_dialogues(50, k=k, symbols=3, steps=6, seed=1):
        told = [turn.query for turn in dialogue.turns]
        for turn, interaction in enumerate(dialogue.interactions, start=1):
            (ask,) = interaction.asks
            assert interaction.answer == ask.value == told[max(0, turn - k)]
            assert ask.told_at == max(0, turn - k)
            assert interaction.query != interaction.answer
            assert set(ask.wrong) == set(SYMBOLS[:3]) - {ask.value}


def test_seeds_choose_the_dialogues() -> None:
    assert repeat_previous_dialogues(5, seed=1) == repeat_previous_dialogues(5, seed=1)
    assert repeat_previous_dialogues(5, seed=1) != repeat_previous_dialogues(5, seed=2)
    symbols = {turn.query for dialogue in repeat_previous_dialogues(100, symbols=5) for turn in dialogue.turns}
    assert symbols == set(SYMBOLS[:5])


@pytest.mark.parametrize("tier", TIERS)
def test_only_memory_solves_it(tier: str) -> None:
    env = RepeatPreviousVectorEnv(tier=tier, num_envs=40)
    setting = TIERS[tier]
    oracle = OraclePolicy(env.dialogues)
    assert (play_episode(env, oracle, seed=0).rewards == 1).all()
    assert not play_episode(env, EchoPolicy(env.tokenizer, env.max_new_tokens), seed=0).rewards.any()
    assert not play_episode(env, WipedPolicy(oracle), seed=0).rewards[:, 1:].any()
    guess = play_episode(env, GuessPolicy(env.tokenizer, SYMBOLS[: setting.symbols]), seed=0)
    assert guess.rewards.mean() < 2 * chance(setting.symbols)
    assert guess.rewards.shape == (40, setting.steps)


def test_a_list_of_all_symbols_earns_nothing() -> None:
    env = RepeatPreviousVectorEnv(num_envs=8, max_new_tokens=8)
    assert not play_episode(env, GuessPolicy(env.tokenizer, [" ".join(SYMBOLS[:4])])).rewards.any()


def test_symbols_are_single_tokens() -> None:
    tokenizer = symbol_tokenizer()
    assert all(len(tokenizer.encode_text(symbol)) == 1 for symbol in SYMBOLS)
    assert tokenizer.vocab_size < 400


def test_any_tokenizer_will_do(tokenizer: DialogueTokenizer) -> None:
    env = RepeatPreviousVectorEnv(tokenizer=tokenizer, k=1, symbols=3, steps=2, episodes=10)
    assert env.tokenizer is tokenizer
    assert (play_episode(env, OraclePolicy(env.dialogues)).rewards == 1).all()
    assert np.array_equal(np.unique(env.dialogues.distance[:, 1:]), [1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tier": "extreme"}, "'extreme' is not one of easy, medium, hard"),
        ({"k": 0}, "k: 0 is not allowed; at least 1"),
        ({"symbols": 1}, r"symbols: 1 is not allowed; 2 \.\. 25"),
        ({"symbols": 26}, "symbols: 26"),
        ({"episodes": 0}, "episodes: 0"),
        ({"steps": 0}, "steps: 0"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RepeatPreviousVectorEnv(**options)
