"""The same environment for one episode at a time: a plain ``gymnasium.Env`` around a vector of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from rxt_mrl.contracts import Observation
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer
from rxt_mrl.errors import UserError

from .bundled import bundled_dialogues
from .memory_retention import MemoryRetentionVectorEnv


class MemoryRetentionEnv(gym.Env):
    """One dialogue at a time, with the rules of :class:`~rxt_mrl.envs.MemoryRetentionVectorEnv`.

    Observations and actions are those of the vector environment without their first axis. ``info`` is plain data:
    ``dialogue`` and ``step`` (int), ``written`` (arrays ``(tokens,)``), and after a step ``mode`` (str), ``asks``
    (tuple of ``Ask``), ``distance`` (int), ``answer`` (arrays), ``terms`` and ``metrics`` (``{name: float}`` of those
    that apply), ``valid`` (bool) and ``text`` (``query``, ``generated``, ``reference`` as strings).

    For an environment of your own, set ``vector_class`` in a subclass.

    Args:
        dialogues: the encoded data set; None, together with ``tokenizer``: a small bundled one.
        tokenizer: the tokenizer that encoded it.
        render_mode: ``ansi``: ``render()`` returns the dialogue so far as text.
        options: of the vector environment (``steps``, ``reward``, ``teacher_forcing`` ...); the reward is fact recall
            where nothing else is given.
    """

    vector_class: Callable[..., MemoryRetentionVectorEnv] = MemoryRetentionVectorEnv
    metadata = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 - Gymnasium's name

    def __init__(
        self,
        dialogues: DialogueTensors | None = None,
        tokenizer: DialogueTokenizer | None = None,
        *,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        taken = {"num_envs", "autoreset"} & set(options)
        if taken:
            raise UserError(f"{sorted(taken)[0]} is an option of the vector environment only")
        self.render_mode = render_mode
        options = {"reward": "fact_recall", **options, "render_mode": render_mode}
        self.vector = self.make_vector(dialogues, tokenizer, **options, num_envs=1, autoreset=AutoresetMode.DISABLED)
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space

    @classmethod
    def make_vector(
        cls, dialogues: DialogueTensors | None, tokenizer: DialogueTokenizer | None, **options: Any
    ) -> MemoryRetentionVectorEnv:
        """The vector environment of this kind, with bundled dialogues where none are given."""
        if (dialogues is None) != (tokenizer is None):
            raise UserError("dialogues and tokenizer go together: give both, or neither for the bundled ones")
        if dialogues is None or tokenizer is None:
            dialogues, tokenizer = bundled_dialogues(options.get("strategy") or "multi_step")
        return cls.vector_class(dialogues, tokenizer, **options)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; ``options={"episode": index}`` chooses the dialogue."""
        super().reset(seed=seed)
        unknown = set(options or {}) - {"episode"}
        if unknown:
            raise UserError(f"unknown reset option {sorted(unknown)[0]!r}; allowed: episode")
        chosen = {"episodes": np.array([options["episode"]])} if options else None
        # One generator for both: the vector draws from it, and users find it where Gymnasium keeps it.
        self.vector._np_random, self.vector._np_random_seed = self._np_random, self._np_random_seed
        observation, info = self.vector.reset(seed=seed, options=chosen)
        self._np_random, self._np_random_seed = self.vector._np_random, self.vector._np_random_seed
        return _first(observation), _single_info(info)

    def step(self, action: Mapping[str, Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Answer the query: ``ids`` and ``mask``, both ``(tokens,)``."""
        if not isinstance(action, Mapping):
            raise UserError(f"an action is a mapping with the keys ids and mask, got {type(action).__name__}")
        batch = {name: np.asarray(value)[None] for name, value in action.items()}
        observation, rewards, terminated, truncated, info = self.vector.step(batch)
        return _first(observation), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), _single_info(info)

    def render(self) -> str | None:
        """The interactions so far and the open query, as text; None without a render mode."""
        rendered = self.vector.render()
        return None if rendered is None else rendered[0]

    def hidden(self) -> dict[str, Any]:
        """What the agent must not see, for oracles (see the vector environment's ``hidden``)."""
        hidden = self.vector.hidden()
        return {
            "episode": int(hidden["episodes"][0]),
            "answer": _first(hidden["answer"]),
            "asks": hidden["asks"][0],
            "distance": int(hidden["distance"][0]),
        }


def _first(batch: Any) -> Any:
    """Row 0 of nested arrays."""
    return {key: _first(value) for key, value in batch.items()} if isinstance(batch, Mapping) else batch[0]


def _single_info(info: dict[str, Any]) -> dict[str, Any]:
    single: dict[str, Any] = {
        "dialogue": int(info["episodes"][0]),  # not "episode": there, Gymnasium's RecordEpisodeStatistics writes
        "step": int(info["step"][0]),
        "written": _first(info["written"]),
    }
    if "answer" not in info:
        return single
    return single | {
        "mode": str(info["mode"][0]),
        "asks": info["asks"][0],
        "distance": int(info["distance"][0]),
        "answer": _first(info["answer"]),
        "terms": {name: float(value[0]) for name, value in info["terms"].items() if not np.isnan(value[0])},
        "metrics": {name: float(value[0]) for name, value in info["metrics"].items() if not np.isnan(value[0])},
        "valid": bool(info["valid"][0]),
        "text": {name: info[name].text[0] for name in ("query", "generated", "reference")},
    }
