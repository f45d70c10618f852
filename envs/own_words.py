"""Own words: the agent is asked to choose, and later what it chose. No reference can be right, only rewards teach it.

The dialogues come from the storyworld with ``own_words`` above 0, or from any data whose ``asks`` have the slot
``own_words`` (:func:`rxt_mrl.dialogues.by_own_words`). A choice is right when it takes exactly one of the values
offered; a later question is right when the answer says what went to memory then. The values are drawn anew in each
dialogue, so that no habit answers the later question.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from rxt_mrl.contracts import RewardContext
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer, by_own_words, encode_dialogues
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues

from .memory_retention import MemoryRetentionVectorEnv
from .single import MemoryRetentionEnv

EPISODES, STEPS, VOCAB_SIZE = 64, 8, 700


class OwnWordsVectorEnv(MemoryRetentionVectorEnv):
    """Memory retention that asks the agent for its own words too; options as of the class above it.

    The rewards see asks with what the agent chose, and no reference where own words are asked for. ``info["asks"]`` and
    ``hidden()`` are the data's, whose references choose for themselves.
    """

    def context(self, context: RewardContext) -> RewardContext:
        """The context with the agent's own choices in its asks."""
        return by_own_words(context)


class OwnWordsEnv(MemoryRetentionEnv):
    """One episode of :class:`OwnWordsVectorEnv` at a time; where no dialogues are given, a few of the storyworld."""

    vector_class = OwnWordsVectorEnv

    @classmethod
    def make_vector(
        cls, dialogues: DialogueTensors | None, tokenizer: DialogueTokenizer | None, **options: Any
    ) -> MemoryRetentionVectorEnv:
        """The vector environment of this kind, with a few dialogues where none are given."""
        if dialogues is None and tokenizer is None:
            dialogues, tokenizer = bundled_own_words()
        return super().make_vector(dialogues, tokenizer, **options)


@lru_cache(maxsize=1)
def bundled_own_words() -> tuple[DialogueTensors, DialogueTokenizer]:
    """64 storyworld dialogues of 8 follow-ups, all about own words, and a tokenizer trained on them."""
    told = dialogues(StoryworldConfig(steps=STEPS, own_words=1.0), EPISODES)
    turns = [turn for dialogue in told for turn in dialogue.turns]
    tokenizer = DialogueTokenizer.train([text for turn in turns for text in (turn.query, turn.answer)], VOCAB_SIZE)
    return encode_dialogues(told, tokenizer, max_query=512, max_answer=512, on_long="error"), tokenizer
