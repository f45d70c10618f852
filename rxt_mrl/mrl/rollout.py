"""Play episodes: the same code in the learner's process and on a Ray actor.

An update's episodes are split into shards of a fixed size. What a shard gives depends on its dialogues, its seeds and
the weights, so the result is the same bit for bit with 0, 1 or 4 workers (a shard runs on one thread everywhere).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rxt_mrl import plugins
from rxt_mrl.contracts import Environment, PolicyOutput, RewardSpec, Strategy, TokenArray
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.scoring import WeightedReward

from .config import EnvSpec
from .policy import RxTPolicy
from .trajectories import Trajectories, concatenate, pad_steps, stack_steps


@dataclass(frozen=True)
class Shard:
    """Episodes that are played together.

    Attributes:
        index: place among the shards of an update.
        dialogues: row of each episode's dialogue.
        seeds: seed of each episode.
        before: row of the dialogue that the memory of an episode already holds; -1: none, a fresh memory.
    """

    index: int
    dialogues: tuple[int, ...]
    seeds: tuple[int, ...]
    before: tuple[int, ...]


@dataclass(frozen=True)
class StageSetup:
    """What a worker has to know about a stage, ready to be pickled (plug-ins from files go by value).

    Attributes:
        environment: class or function that makes the environment.
        options: its options from the recipe.
        offered: what the engine offers it besides; it takes what it knows.
        sampling: how answers are drawn.
        tokenizer: of policy and environment.
        warmup: write the first interaction twice.
        carry: some episodes go on from another dialogue's memory.
    """

    environment: Callable[..., Any]
    options: Mapping[str, Any]
    offered: Mapping[str, Any]
    sampling: SamplingConfig
    tokenizer: DialogueTokenizer
    warmup: bool = False
    carry: bool = False

    def make(self, count: int) -> Environment:
        """The environment with ``count`` rows."""
        return plugins.build(self.environment, "environment", {**self.options, **_accepted(self), "num_envs": count})


def make_setup(
    env: EnvSpec,
    *,
    dialogues: DialogueTensors | None,
    tokenizer: DialogueTokenizer,
    reward: RewardSpec | None,
    sampling: SamplingConfig,
    steps: int,
    strategy: Strategy = "multi_step",
    teacher_forcing: bool = False,
    embedding: Tensor | None = None,
    warmup: bool = False,
    carry: bool = False,
) -> StageSetup:
    """Find the environment and build the reward of a stage.

    Args:
        env: which environment.
        dialogues: what it plays; None for one that brings its own.
        tokenizer: of the dialogues.
        reward: what it is scored by; None: the environment's own default.
        sampling: how answers are drawn.
        steps: answers of an episode.
        strategy: how the dialogues are built.
        teacher_forcing: the reference goes to memory in place of the answer.
        embedding: frozen embedding for rewards.
        warmup: write the first interaction twice.
        carry: some episodes go on from another dialogue's memory.

    Raises:
        UserError: for an unknown environment or reward.
    """
    offered: dict[str, Any] = {
        "dialogues": dialogues,
        "tokenizer": tokenizer,
        "steps": steps,
        "strategy": strategy,
        "teacher_forcing": teacher_forcing,
        "embedding": embedding,
        "max_new_tokens": sampling.max_new_tokens,
        "autoreset": "disabled",
    }
    if reward is not None:
        offered["reward"] = WeightedReward(reward)
    if dialogues is None:
        del offered["dialogues"], offered["strategy"]
    environment = plugins.find("env", env.use)
    return StageSetup(environment, dict(env.options), offered, sampling, tokenizer, warmup, carry)


@dataclass
class RolloutWorker:
    """Plays shards. Holds a model, and the environments of the current stage.

    Args:
        model: the learner's own (in its process), or a copy.
    """

    model: RxT
    _setup: StageSetup | None = None
    _environments: dict[int, Environment] = field(default_factory=dict)

    def configure(self, setup: StageSetup) -> None:
        """Go to another stage."""
        self._setup = setup
        self._environments = {}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of the learner."""
        self.model.load_state_dict(weights)

    def play(self, shard: Shard) -> Trajectories:
        """Play the episodes of a shard to their end.

        Raises:
            UserError: before :meth:`configure`; or what environment and reward raise.
        """
        if self._setup is None:
            raise UserError("a rollout worker has to be configured before it plays")
        setup = self._setup
        count = len(shard.dialogues)
        if count not in self._environments:
            self._environments[count] = setup.make(count)
        with single_thread():
            return play(self._environments[count], self.model, setup, shard)


def play(env: Environment, model: RxT, setup: StageSetup, shard: Shard) -> Trajectories:
    """Play one shard in an environment that has as many rows as it has episodes."""
    policy = RxTPolicy(model, setup.tokenizer, setup.sampling, warmup=setup.warmup)
    start = _start_memory(policy, env, shard) if setup.carry else None
    state = policy.reset(len(shard.dialogues), seeds=shard.seeds, start=start)
    observation, _ = env.reset(options={"episodes": np.array(shard.dialogues, dtype=np.int64)})
    record = _Record()
    ended = False
    while not ended:
        output = policy.act(observation, state)
        observed, state = observation, output.state
        observation, rewards, terminated, truncated, info = env.step(output.actions)
        record.add(observed, output, rewards, info)
        done = np.asarray(terminated) | np.asarray(truncated)
        ended = bool(done.all())
        if done.any() and not ended:
            raise UserError(
                f"environment {type(env).__name__}: {int(done.sum())} of {len(done)} episodes ended at step "
                f"{len(record.rewards)}; all rows of an environment must have the same number of steps"
            )
    return record.trajectories(shard, None if start is None else start.cpu(), setup.warmup)


class Pool(Protocol):
    """Whoever plays the shards of an update: this process, or Ray actors."""

    def configure(self, setup: StageSetup) -> None:
        """Go to another stage."""
        ...

    def sync(self) -> None:
        """Hand the learner's present weights to the workers."""
        ...

    def rollout(self, shards: Sequence[Shard]) -> Trajectories:
        """Play all shards; episodes come in the order of the shards."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class LocalPool:
    """Plays in this process, with the learner's model."""

    def __init__(self, model: RxT) -> None:
        self._worker = RolloutWorker(model)

    def configure(self, setup: StageSetup) -> None:
        """Go to another stage."""
        self._worker.configure(setup)

    def sync(self) -> None:
        """Nothing to do: the model is the learner's."""

    def rollout(self, shards: Sequence[Shard]) -> Trajectories:
        """Play all shards, one after the other."""
        return concatenate([self._worker.play(shard) for shard in shards])

    def close(self) -> None:
        """Nothing to end."""


@contextmanager
def single_thread() -> Iterator[None]:
    """One torch thread: a shard must not depend on how many cores are at hand."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Record:
    """Collects the steps of a shard."""

    def __init__(self) -> None:
        self.tokens: dict[str, list[tuple[Tensor, Tensor]]] = {
            name: [] for name in ("written", "query", "action", "reference")
        }
        self.log_probs: list[Tensor] = []
        self.rewards: list[np.ndarray] = []
        self.valid: list[np.ndarray] = []
        self.scores: dict[str, dict[str, list[np.ndarray]]] = {"terms": {}, "metrics": {}}
        self.asks: list[Sequence[Any]] = []
        self.modes: list[str] = []

    def add(self, observed: Any, output: PolicyOutput, rewards: np.ndarray, info: Mapping[str, Any]) -> None:
        count = len(rewards)
        self.tokens["written"].append(_tokens(observed["interaction"]))
        self.tokens["query"].append(_tokens(observed["query"]))
        self.tokens["action"].append(_tokens(output.actions))
        self.log_probs.append(torch.from_numpy(np.array(output.log_probs, dtype=np.float32)))
        reference = info.get("reference")
        nothing = (torch.zeros(count, 1, dtype=torch.long), torch.zeros(count, 1, dtype=torch.bool))
        self.tokens["reference"].append(nothing if reference is None else (reference.ids, reference.mask))
        known = np.asarray(info.get("valid", np.ones(count)), dtype=bool) & np.isfinite(rewards)
        self.valid.append(known)
        self.rewards.append(np.where(known, rewards, 0.0).astype(np.float32))
        for kind, scores in self.scores.items():
            for name, values in info.get(kind, {}).items():
                scores.setdefault(name, []).append(np.asarray(values, dtype=np.float32))
        self.asks.append(info.get("asks", [()] * count))
        self.modes.append(str(np.asarray(info.get("mode", "standard")).ravel()[0]))

    def trajectories(self, shard: Shard, start: Tensor | None, warmup: bool) -> Trajectories:
        tokens = {name: stack_steps(steps) for name, steps in self.tokens.items()}
        parts = {
            f"{name}_{part}": value
            for name, pair in tokens.items()
            for part, value in zip(("ids", "mask"), pair, strict=True)
        }
        batch = Trajectories(
            **parts,
            log_probs=pad_steps(self.log_probs),
            rewards=_columns(self.rewards),
            valid=_columns(self.valid),
            terms={name: _columns(steps) for name, steps in self.scores["terms"].items()},
            metrics={name: _columns(steps) for name, steps in self.scores["metrics"].items()},
            dialogues=torch.tensor(shard.dialogues),
            seeds=shard.seeds,
            start=start,
            warmup=warmup,
            asks=tuple(tuple(tuple(step[row]) for step in self.asks) for row in range(len(shard.dialogues))),
            mode=tuple(self.modes),
        )
        return batch.select(range(len(batch)))


def _columns(steps: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(steps, axis=1))


def _tokens(tokens: TokenArray) -> tuple[Tensor, Tensor]:
    return (
        torch.from_numpy(np.array(tokens["ids"], dtype=np.int64)),
        torch.from_numpy(np.array(tokens["mask"], dtype=bool)),
    )


@torch.no_grad()
def _start_memory(policy: RxTPolicy, env: Environment, shard: Shard) -> Tensor:
    """Memories to begin with: fresh ones, or those at the end of another dialogue."""
    memory = policy.reset(len(shard.seeds), seeds=shard.seeds).memory.clone()
    rows = [row for row, before in enumerate(shard.before) if before >= 0]
    if rows:
        told = env.dialogues.select([shard.before[row] for row in rows]).interactions()
        memory[:, rows] = policy.remember(told.ids, told.mask, [shard.seeds[row] for row in rows])
    return memory


def _accepted(setup: StageSetup) -> dict[str, Any]:
    """What an environment takes of the things that the engine offers.

    One that does not name ``dialogues`` or ``tokenizer`` brings its own. What the recipe sets goes before.
    """
    parameters = inspect.signature(setup.environment).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    own = {"dialogues", "tokenizer"}
    return {
        name: value
        for name, value in setup.offered.items()
        if name not in setup.options and (name in parameters or (anything and name not in own))
    }
