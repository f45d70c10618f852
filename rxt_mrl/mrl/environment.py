"""The environment of a stage: found by its name, offered what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rxt_mrl import plugins
from rxt_mrl.contracts import Environment, RewardSpec, Strategy
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.model.device import Precision
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.scoring import WeightedReward

from .config import EnvSpec


@dataclass(frozen=True)
class StageSetup:
    """What a worker has to know to play one kind of episode, ready to be pickled (plug-ins from files go by value).

    Attributes:
        environment: class or function that makes the environment.
        options: its options from the recipe.
        offered: what the engine offers it besides; it takes what it knows.
        sampling: how answers are drawn.
        tokenizer: of policy and environment.
        answers: sampled from the memory of each step.
        warmup: write the first interaction twice.
        continues: some episodes go on from another dialogue's memory.
        precision: of what the model computes while it plays.
    """

    environment: Callable[..., Any]
    options: Mapping[str, Any]
    offered: Mapping[str, Any]
    sampling: SamplingConfig
    tokenizer: DialogueTokenizer
    answers: int = 1
    warmup: bool = False
    continues: bool = False
    precision: Precision = "float32"

    def make(self, count: int) -> Environment:
        """The environment with ``count`` rows."""
        if "num_envs" not in (names := inspect.signature(self.environment).parameters) and not _takes_anything(names):
            name = getattr(self.environment, "__name__", "it")
            raise UserError(
                f"environment {name} takes no num_envs: one for training plays several episodes side by side "
                "(docs/environments.md)"
            )
        return plugins.build(self.environment, "environment", {**self.options, **self._accepted(), "num_envs": count})

    @property
    def stateful(self) -> Mapping[str, Any]:
        """The rewards that have a state (:mod:`rxt_mrl.scoring.states`); they are called by all its environments."""
        reward = self._accepted().get("reward")
        return reward.stateful if isinstance(reward, WeightedReward) else {}

    @property
    def steps(self) -> int | None:
        """Steps of an episode, where the environment is told them; None: they are its own."""
        told = "steps" in self._accepted() or "steps" in self.options
        return self.options.get("steps", self.offered["steps"]) if told else None

    def dialogues(self) -> int:
        """How many dialogues there are to choose from: the engine's, or those of an environment that brings its own.

        Raises:
            UserError: for an environment without dialogues.
        """
        environment = self.make(1)
        if getattr(environment, "dialogues", None) is None:
            name = type(environment).__name__
            raise UserError(f"environment {name} has no dialogues: it needs an attribute 'dialogues'")
        return len(environment.dialogues)

    def _accepted(self) -> dict[str, Any]:
        """What the environment takes of the things that the engine offers.

        One that does not name ``dialogues`` or ``tokenizer`` brings its own. What the recipe sets goes before.
        """
        parameters = inspect.signature(self.environment).parameters
        anything = _takes_anything(parameters)
        own = {"dialogues", "tokenizer"}
        return {
            name: value
            for name, value in self.offered.items()
            if name not in self.options and (name in parameters or (anything and name not in own))
        }


def make_setup(
    env: EnvSpec,
    *,
    dialogues: DialogueTensors | None,
    tokenizer: DialogueTokenizer,
    reward: RewardSpec | None,
    sampling: SamplingConfig,
    steps: int,
    strategy: Strategy | None = None,
    embedding: Tensor | None = None,
    answers: int = 1,
    warmup: bool = False,
    continues: bool = False,
    precision: Precision = "float32",
) -> StageSetup:
    """Find the environment and build the reward.

    Args:
        env: which environment.
        dialogues: what it plays; None for one that brings its own.
        tokenizer: of the dialogues.
        reward: what it is scored by; None: the environment's own default.
        sampling: how answers are drawn.
        steps: of an episode.
        strategy: how the dialogues are built; None: as they say.
        embedding: frozen embedding for rewards.
        answers: see :class:`StageSetup`.
        warmup: see :class:`StageSetup`.
        continues: see :class:`StageSetup`.
        precision: see :class:`StageSetup`.

    Raises:
        UserError: for an unknown environment or reward.
    """
    offered: dict[str, Any] = {
        "tokenizer": tokenizer,
        "steps": steps,
        "embedding": embedding,
        "max_new_tokens": sampling.max_new_tokens,
        "autoreset": "disabled",
    }
    if dialogues is not None:
        offered |= {"dialogues": dialogues, "strategy": strategy or dialogues.strategy}
    if reward is not None:
        offered["reward"] = WeightedReward(reward)
    environment = plugins.find("env", env.use)
    if not callable(environment):
        raise UserError(
            f"env {env.use!r} is a {type(environment).__name__}; allowed: a class or a function that makes one"
        )
    return StageSetup(
        environment, dict(env.options), offered, sampling, tokenizer, answers, warmup, continues, precision
    )


def _takes_anything(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
