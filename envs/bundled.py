"""A small data set that comes with the environments, so that ``gymnasium.make`` works without any files."""

from __future__ import annotations

from functools import lru_cache

from rxt_mrl.contracts import Strategy
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer, encode_dialogues
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues

EPISODES, STEPS, VOCAB_SIZE = 64, 8, 600


@lru_cache(maxsize=2)
def bundled_dialogues(strategy: Strategy = "multi_step") -> tuple[DialogueTensors, DialogueTokenizer]:
    """64 storyworld dialogues of 8 follow-ups, and a tokenizer trained on them; made once per process."""
    told = dialogues(StoryworldConfig(steps=STEPS, strategy=strategy), EPISODES)
    turns = [turn for dialogue in told for turn in dialogue.turns]
    tokenizer = DialogueTokenizer.train([text for turn in turns for text in (turn.query, turn.answer)], VOCAB_SIZE)
    tensors = encode_dialogues(told, tokenizer, max_query=512, max_answer=512, strategy=strategy, on_long="error")
    return tensors, tokenizer
