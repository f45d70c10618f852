"""Text as a view of the token environments: strings come out, and a string or tokens go in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rxt_mrl.contracts import Observation

from .single import MemoryRetentionEnv
from .spaces import OpenText


class TextView(gym.Wrapper):
    """A :class:`~rxt_mrl.envs.MemoryRetentionEnv` whose observations and actions are strings.

    The observation is ``{"interaction": {"query", "answer"}, "query"}``. An action is a string, which is encoded
    once (with [EOS]; cut to ``max_new_tokens``, then without it, as a generation that ran out of tokens), or tokens
    as in the wrapped environment, which are used as they are: what a model sampled is never tokenised again. The
    action as it was used is ``info["answer"]``.

    Note:
        In an ``AsyncVectorEnv`` give ``shared_memory=False``: with shared memory, the default, Gymnasium returns
        garbage for ``Text`` spaces, also inside ``Dict``.
    """

    env: MemoryRetentionEnv

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        vector = env.unwrapped.vector  # type: ignore[attr-defined]
        self._tokenizer, self._limit = vector.tokenizer, vector.max_new_tokens
        # A byte-level token stands for at most as many characters as its name has letters.
        longest = max(map(len, self._tokenizer.tokenizer.get_vocab()))
        query_width = vector.dialogues.query.ids.shape[-1]
        answer_width = vector.interaction_width - query_width
        self.observation_space = spaces.Dict(
            {
                "interaction": spaces.Dict(
                    {"query": OpenText(query_width * longest), "answer": OpenText(answer_width * longest)}
                ),
                "query": OpenText(query_width * longest),
            }
        )
        self.action_space = OpenText(self._limit * longest)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As the wrapped environment's, with text."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._text(observation, info), info

    def step(self, action: str | Mapping[str, Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """As the wrapped environment's, with text."""
        tokens = self.encode(action) if isinstance(action, str) else action
        observation, reward, terminated, truncated, info = self.env.step(tokens)
        return self._text(observation, info), reward, terminated, truncated, info

    def encode(self, answer: str) -> dict[str, np.ndarray]:
        """A string as an action of the wrapped environment."""
        ids = np.array(self._tokenizer.encode_answer(answer)[: self._limit], dtype=np.int64)
        return {"ids": ids, "mask": np.ones(len(ids), dtype=np.int8)}

    def _text(self, observation: Observation, info: dict[str, Any]) -> dict[str, Any]:
        written = info["written"]
        answer = written["answer_mask"].astype(bool)
        asked = written["mask"].astype(bool) & ~answer
        query = observation["query"]
        return {
            "interaction": {
                "query": self._tokenizer.decode(written["ids"][asked].tolist()),
                "answer": self._tokenizer.decode(written["ids"][answer].tolist()),
            },
            "query": self._tokenizer.decode(query["ids"][query["mask"].astype(bool)].tolist()),
        }
