"""Own words: right is what the agent itself chose, whatever the reference says."""

from __future__ import annotations

import numpy as np
import pytest
from rxt_mrl.envs import OwnWordsVectorEnv
from rxt_mrl.envs.own_words import bundled_own_words
from rxt_mrl.envs.policies import EchoPolicy, OraclePolicy, play_episode

from rxt_mrl.contracts import OWN_WORDS, Ask, Dialogue, Interaction, RewardContext
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer, by_own_words, encode_dialogues

ASK = Ask("red", 1, ("blue", "green"), OWN_WORDS)
DIALOGUE = Dialogue(
    "There was a boy.",
    "Nice.",
    (
        Interaction("Choose a colour for the fence: red, blue or green.", "I choose red for the fence.", (ASK,)),
        Interaction("The boy was called Tom.", "I see."),
        Interaction("Which colour did you choose for the fence?", "I chose red for the fence.", (ASK,)),
    ),
)


@pytest.fixture(scope="module")
def data() -> tuple[DialogueTensors, DialogueTokenizer]:
    texts = [text for turn in DIALOGUE.turns for text in (turn.query, turn.answer)]
    tokenizer = DialogueTokenizer.train(texts, 300)
    return encode_dialogues([DIALOGUE], tokenizer, max_query=64, max_answer=64), tokenizer


def rewards(data: tuple[DialogueTensors, DialogueTokenizer], *answers: str, **options: bool) -> list[float]:
    """What answers to the three queries earn."""
    dialogues, tokenizer = data
    env = OwnWordsVectorEnv(dialogues, tokenizer, reward="fact_recall", max_new_tokens=64, **options)
    env.reset(options={"episodes": [0]})
    earned = []
    for answer in answers:
        ids = np.array([tokenizer.encode_answer(answer)])
        earned.append(float(env.step({"ids": ids, "mask": np.ones_like(ids, dtype=np.int8)})[1][0]))
    return earned


@pytest.mark.parametrize(
    ("chosen", "later", "choice", "answer"),
    [
        ("I choose red for the fence.", "I chose red for the fence.", 1, 1),
        ("Blue!", "It was blue.", 1, 1),
        ("Blue!", "I chose red for the fence.", 1, 0),
        ("Blue!", "I chose red or blue.", 1, 0),
        ("Blue!", "Choose a colour for the fence: red, blue or green.", 1, 0),
        ("Red and blue.", "Red and blue.", 0, 0),
        ("Choose a colour for the fence: red, blue or green.", "I chose red for the fence.", 0, 0),
        ("I choose pink for the fence.", "I chose pink for the fence.", 0, 0),
        ("", "", 0, 0),
    ],
)
def test_right_is_what_the_agent_said(
    data: tuple[DialogueTensors, DialogueTokenizer], chosen: str, later: str, choice: float, answer: float
) -> None:
    assert rewards(data, chosen, "I see.", later) == [choice, 0.0, answer]


def test_what_was_written_counts_not_what_was_answered(data: tuple[DialogueTensors, DialogueTokenizer]) -> None:
    answers = ("Blue!", "I see.", "I chose red for the fence.")
    assert rewards(data, *answers, teacher_forcing=True) == [1.0, 0.0, 1.0]


def test_candidates_are_judged_each_by_its_own_choice(data: tuple[DialogueTensors, DialogueTokenizer]) -> None:
    dialogues, tokenizer = data
    env = OwnWordsVectorEnv(dialogues, tokenizer, reward="fact_recall", max_new_tokens=8)
    env.reset(options={"episodes": [0]})
    rows = [tokenizer.encode_answer(text) for text in ("red", "blue", "pink")]
    width = max(map(len, rows))
    ids = np.array([row + [0] * (width - len(row)) for row in rows])
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], dtype=np.int8)
    assert env.score({"ids": ids, "mask": mask}, np.zeros(3, dtype=np.int64))[0].tolist() == [1, 1, 0]


def test_references_are_withheld_where_own_words_are_asked_for() -> None:
    history = [[("Choose: red, blue or green.", "Blue.")], [("Choose: red, blue or green.", "Red.")]]
    asks = [(Ask("red", 0, ("blue", "green"), OWN_WORDS),), (Ask("red", 0),)]
    context = RewardContext.from_text(["Which?"] * 2, ["red", "red"], "I chose red.", history=history, asks=asks)
    judged = by_own_words(context)
    assert judged.asks[0] == (Ask("blue", 0, ("red", "green"), OWN_WORDS),)
    assert judged.asks[1] == asks[1]
    assert judged.reference.text == ["", "I chose red."]


def test_the_oracle_gets_everything_and_an_echo_nothing() -> None:
    dialogues, tokenizer = bundled_own_words()
    env = OwnWordsVectorEnv(dialogues, tokenizer, num_envs=32, reward="fact_recall")
    assert play_episode(env, OraclePolicy(dialogues), seed=0).rewards.min() == 1
    assert play_episode(env, EchoPolicy(tokenizer, env.max_new_tokens), seed=0).rewards.max() == 0
