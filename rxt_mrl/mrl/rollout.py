"""Play one shard of episodes and record it: the same code in the learner's process and on a Ray actor.

At each step the completed interaction is written to memory once, several answers are sampled from that memory, all are
scored, and one of them goes on: what the step after it writes. So the answers of a step differ in nothing but chance,
and what they earn tells what each was worth there.

An update's episodes are split into shards of a fixed size. What a shard gives depends on its dialogues, its seeds and
the weights, so the result is the same bit for bit with 0, 1 or 4 workers (a shard runs on one thread everywhere).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rxt_mrl.contracts import Environment, PolicyOutput, ScoresCandidates, TokenArray
from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT
from rxt_mrl.scoring.states import States

from .environment import StageSetup
from .policy import RxTPolicy, RxTState
from .stages import CarriedAnswer
from .trajectories import Trajectories, pad_steps, stack_steps


@dataclass(frozen=True)
class Shard:
    """Episodes that are played together.

    Attributes:
        index: place among the shards of an update.
        dialogues: row of each episode's dialogue.
        seeds: seed of each episode.
        before: row of the dialogue that the memory of an episode already holds; -1: none, a fresh memory.
        carry: what each episode carries on to memory; empty: the sampled answer.
        setup: which of the configured setups they are played in.
        states: of rewards, which they begin with; None: nobody keeps them.
    """

    index: int
    dialogues: tuple[int, ...]
    seeds: tuple[int, ...]
    before: tuple[int, ...]
    carry: tuple[CarriedAnswer, ...] = ()
    setup: int = 0
    states: States | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Step:
    """The answers of one step, scored: ``(E * K, ...)``, the K answers of an episode next to each other.

    Attributes:
        answers: what was sampled.
        rewards: float ``(E * K,)``.
        info: ``valid``, ``terms``, ``metrics``, each ``(E * K,)``.
        carried: long ``(E,)``, which answer went on; -1: another text.
    """

    answers: PolicyOutput
    rewards: np.ndarray
    info: Mapping[str, Any]
    carried: np.ndarray


def play_shard(env: Environment, model: RxT, setup: StageSetup, shard: Shard) -> Trajectories:
    """Play one shard in an environment that has as many rows as it has episodes (see :func:`begin_shard`)."""
    return begin_shard(env, model, setup, shard)()


def begin_shard(env: Environment, model: RxT, setup: StageSetup, shard: Shard) -> Callable[[], Trajectories]:
    """Play one shard; what comes back waits for the scores of slow rewards, where nothing in play depends on them.

    Raises:
        UserError: for an environment that cannot score candidates where that is needed, or whose rows end at
            different steps; or what environment and reward raise.
    """
    policy = RxTPolicy(model, setup.tokenizer, setup.sampling, warmup=setup.warmup, precision=setup.precision)
    start = _start_memory(policy, env, shard) if setup.continues else None
    state = policy.reset(len(shard.dialogues), seeds=shard.seeds, start=start)
    if hasattr(env, "defer"):
        env.defer = "best" not in shard.carry
    options: dict[str, Any] = {"episodes": np.array(shard.dialogues, dtype=np.int64)}
    forced = np.array([kind == "reference" for kind in shard.carry], dtype=bool)
    if forced.any():
        options["teacher_forced"] = forced
    observation, _ = env.reset(options=options)
    record = _Record()
    ended = False
    while not ended:
        observed = observation
        state = policy.write(observed, state)
        answers = policy.answer(observed, state, setup.answers)
        state = policy.stepped(state)
        if setup.answers == 1 and "greedy" not in shard.carry:
            observation, rewards, terminated, truncated, info = env.step(answers.actions)
            step = Step(answers, rewards, info, np.where(forced, -1, 0) if len(forced) else np.zeros(len(rewards), int))
        else:
            step, actions = _choose(env, policy, observed, state, answers, shard, setup.answers)
            observation, _, terminated, truncated, info = env.step(actions)
        record.add(observed, step, info)
        done = np.asarray(terminated) | np.asarray(truncated)
        ended = bool(done.all())
        if done.any() and not ended:
            raise UserError(
                f"environment {_name(env)}: {int(done.sum())} of {len(done)} episodes ended at step "
                f"{len(record.steps)}; all rows of an environment must have the same number of steps"
            )
    return lambda: record.trajectories(shard, None if start is None else start.cpu(), setup)


def _choose(
    env: Environment,
    policy: RxTPolicy,
    observed: Any,
    state: RxTState,
    answers: PolicyOutput,
    shard: Shard,
    count: int,
) -> tuple[Step, TokenArray]:
    """Score the answers without moving on, and choose what goes on to memory."""
    if not isinstance(env, ScoresCandidates):
        raise UserError(
            f"environment {_name(env)} cannot score candidates: it has no method 'score(actions, rows)'; "
            "rollout.answers = 1 needs none"
        )
    episodes = len(shard.dialogues)
    rows = np.arange(episodes).repeat(count)
    rewards, info = env.score(answers.actions, rows)
    kinds = shard.carry or ("sampled",) * episodes
    carried = np.zeros(episodes, dtype=np.int64)
    valid = np.asarray(info.get("valid", np.ones(len(rewards))), dtype=bool)
    known = np.where(valid, rewards, -np.inf).reshape(episodes, count)
    best = np.array([kind == "best" for kind in kinds])
    carried[best] = known[best].argmax(1)
    place = np.arange(episodes) * count + carried
    actions: TokenArray = {"ids": answers.actions["ids"][place], "mask": answers.actions["mask"][place]}
    greedy = np.array([kind == "greedy" for kind in kinds])
    if greedy.any():
        actions = _replaced(actions, policy.answer_greedily(observed, state).actions, greedy)
    carried[greedy | np.array([kind == "reference" for kind in kinds])] = -1
    return Step(answers, rewards, info, carried), actions


def _replaced(actions: TokenArray, others: TokenArray, rows: np.ndarray) -> TokenArray:
    """``actions`` with the chosen rows of ``others`` in their place."""
    width = max(actions["ids"].shape[1], others["ids"].shape[1])

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, ((0, 0), (0, width - values.shape[1])))

    chosen = rows[:, None]
    return {
        "ids": np.where(chosen, padded(others["ids"]), padded(actions["ids"])),
        "mask": np.where(chosen, padded(others["mask"]), padded(actions["mask"])),
    }


class _Record:
    """Collects the steps of a shard."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.tokens: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in ("written", "query", "reference")}
        self.asks: list[Sequence[Any]] = []
        self.columns: list[Sequence[Any]] = []
        self.modes: list[str] = []

    def add(self, observed: Any, step: Step, info: Mapping[str, Any]) -> None:
        count = len(step.carried)
        self.steps.append(step)
        self.tokens["written"].append(_tokens(observed["interaction"]))
        self.tokens["query"].append(_tokens(observed["query"]))
        reference = info.get("reference")
        nothing = (torch.zeros(count, 1, dtype=torch.long), torch.zeros(count, 1, dtype=torch.bool))
        self.tokens["reference"].append(nothing if reference is None else (reference.ids, reference.mask))
        self.asks.append(info.get("asks", [()] * count))
        self.columns.append(info.get("columns", [{}] * count))
        self.modes.append(str(np.asarray(info.get("mode", "standard")).ravel()[0]))

    def trajectories(self, shard: Shard, start: Tensor | None, setup: StageSetup) -> Trajectories:
        for step in self.steps:
            if "finish" in step.info:
                step.info["finish"]()
        shape = (len(shard.dialogues), setup.answers)
        actions = [tuple(part.unflatten(0, shape) for part in _tokens(step.answers.actions)) for step in self.steps]
        tokens = {name: stack_steps(steps) for name, steps in self.tokens.items()}
        tokens["action"] = stack_steps(actions)
        parts: dict[str, Any] = {
            f"{name}_{part}": value
            for name, pair in tokens.items()
            for part, value in zip(("ids", "mask"), pair, strict=True)
        }
        log_probs = [torch.from_numpy(np.array(step.answers.log_probs, dtype=np.float32)) for step in self.steps]
        known = [_known(step) for step in self.steps]
        rewards = [np.where(k, step.rewards, 0.0) for k, step in zip(known, self.steps, strict=True)]

        def columns(steps: Sequence[np.ndarray], dtype: Any = np.float32) -> Tensor:
            return torch.from_numpy(np.stack([np.asarray(one, dtype=dtype).reshape(shape) for one in steps], axis=1))

        def scores(kind: str) -> dict[str, Tensor]:
            names = self.steps[0].info.get(kind, {})
            return {name: columns([step.info[kind][name] for step in self.steps]) for name in names}

        batch = Trajectories(
            **parts,
            log_probs=pad_steps([values.unflatten(0, shape) for values in log_probs]),
            rewards=columns(rewards),
            valid=columns(known, bool),
            failed=columns([step.info.get("failed", np.zeros(shape, bool)) for step in self.steps], bool),
            terms=scores("terms"),
            metrics=scores("metrics"),
            carried=torch.from_numpy(np.stack([step.carried for step in self.steps], axis=1).astype(np.int64)),
            dialogues=torch.tensor(shard.dialogues),
            seeds=shard.seeds,
            start=start,
            warmup=setup.warmup,
            asks=tuple(tuple(tuple(step[row]) for step in self.asks) for row in range(shape[0])),
            columns=tuple(tuple(step[row] for step in self.columns) for row in range(shape[0])),
            mode=tuple(self.modes),
        )
        return batch.select(range(len(batch)))


def _name(env: Environment) -> str:
    return str(getattr(env, "label", type(env).__name__))


def _known(step: Step) -> np.ndarray:
    return np.asarray(step.info.get("valid", np.ones(len(step.rewards))), dtype=bool) & np.isfinite(step.rewards)


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
