"""Policies without a model, to test environments, rewards and trainers with: their scores are known in advance.

All implement :class:`rxt_mrl.contracts.Policy`. The oracle's state is a memory, so that wrapping it in
:class:`WipedPolicy` shows what an environment pays without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from rxt_mrl.contracts import Observation, Policy, PolicyOutput, TokenArray
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer
from rxt_mrl.seeding import uniforms


@dataclass(frozen=True)
class StepState:
    """The state of a policy that remembers nothing: seeds of the episodes, and the number of steps done."""

    seeds: tuple[int, ...]
    step: int = 0


class RandomPolicy:
    """Answers with ordinary tokens drawn uniformly, then [EOS].

    Args:
        tokenizer: whose tokens.
        tokens: of each answer, [EOS] not counted.
    """

    def __init__(self, tokenizer: DialogueTokenizer, tokens: int = 3) -> None:
        self._choice = np.setdiff1d(np.arange(tokenizer.vocab_size), tokenizer.special_ids)
        self._tokens, self._eos_id = tokens, tokenizer.eos_id

    def reset(self, batch: int, *, seeds: Sequence[int] | None = None) -> StepState:
        """One seed per episode; None: 0, 1, 2 ..."""
        return StepState(tuple(range(batch) if seeds is None else seeds))

    def act(self, observation: Observation, state: StepState) -> PolicyOutput:
        """The same answers for the same seeds and step, whatever is observed."""
        drawn = uniforms(state.seeds, self._tokens, f"random policy {state.step}").numpy()
        ids = np.full((len(state.seeds), self._tokens + 1), self._eos_id, dtype=np.int64)
        ids[:, :-1] = self._choice[(drawn * len(self._choice)).astype(np.int64)]
        log_probs = np.full(ids.shape, -np.log(len(self._choice)), dtype=np.float32)
        log_probs[:, -1] = 0.0
        actions: TokenArray = {"ids": ids, "mask": np.ones(ids.shape, dtype=np.int8)}
        return PolicyOutput(actions, log_probs, replace(state, step=state.step + 1))


class GuessPolicy:
    """Answers with one of some given answers, drawn uniformly: the chance level of a task with few answers.

    Args:
        tokenizer: encodes the answers.
        answers: what to choose from.
    """

    def __init__(self, tokenizer: DialogueTokenizer, answers: Sequence[str]) -> None:
        rows = [tokenizer.encode_answer(answer) for answer in answers]
        self._lengths = np.array([len(row) for row in rows])
        self._ids = np.zeros((len(rows), int(self._lengths.max())), dtype=np.int64)
        for row, ids in zip(self._ids, rows, strict=True):
            row[: len(ids)] = ids

    def reset(self, batch: int, *, seeds: Sequence[int] | None = None) -> StepState:
        """One seed per episode; None: 0, 1, 2 ..."""
        return StepState(tuple(range(batch) if seeds is None else seeds))

    def act(self, observation: Observation, state: StepState) -> PolicyOutput:
        """The same answers for the same seeds and step, whatever is observed."""
        drawn = uniforms(state.seeds, 1, f"guess policy {state.step}").numpy()[:, 0]
        choice = (drawn * len(self._ids)).astype(np.int64)
        mask = np.arange(self._ids.shape[1]) < self._lengths[choice, None]
        log_probs = np.zeros(mask.shape, dtype=np.float32)
        log_probs[:, 0] = -np.log(len(self._ids))  # the first token stands for the whole choice
        actions: TokenArray = {"ids": self._ids[choice], "mask": mask.astype(np.int8)}
        return PolicyOutput(actions, log_probs, replace(state, step=state.step + 1))


class EchoPolicy:
    """Answers each query with the query itself.

    Args:
        tokenizer: knows the template.
        max_new_tokens: longer queries are cut, and then end without [EOS].
    """

    def __init__(self, tokenizer: DialogueTokenizer, max_new_tokens: int) -> None:
        self._specials = np.array(tokenizer.special_ids)
        self._eos_id, self._limit = tokenizer.eos_id, max_new_tokens

    def reset(self, batch: int, *, seeds: Sequence[int] | None = None) -> StepState:
        """There is nothing to draw: seeds are kept and not used."""
        return StepState(tuple(range(batch) if seeds is None else seeds))

    def act(self, observation: Observation, state: StepState) -> PolicyOutput:
        """The query's text and [EOS]."""
        ids, mask = observation["query"]["ids"], observation["query"]["mask"].astype(bool)
        keep = mask & ~np.isin(ids, self._specials)
        order = np.argsort(~keep, axis=1, kind="stable")  # text first, in its order
        length = keep.sum(1, keepdims=True)
        position = np.arange(ids.shape[1])
        echoed = np.where(position == length, self._eos_id, np.take_along_axis(ids, order, axis=1))
        spoken = position <= length
        echoed, spoken = np.where(spoken, echoed, 0)[:, : self._limit], spoken[:, : self._limit]
        actions: TokenArray = {"ids": echoed, "mask": spoken.astype(np.int8)}
        return PolicyOutput(actions, np.zeros(spoken.shape, dtype=np.float32), replace(state, step=state.step + 1))


@dataclass(frozen=True)
class OracleState:
    """What an oracle remembers: ``possible`` bool ``(episodes, dialogues)``, which dialogues each may be in."""

    possible: np.ndarray
    step: int = 0


class OraclePolicy:
    """Knows all dialogues by heart, and has to remember which one it is in: every answer is the reference answer.

    Its memory is the set of dialogues that fit everything observed so far. With the memory wiped it recognises a
    first interaction and nothing after it, and answers with nothing (so a fact told in the interaction that stands
    in the observation is answered in step 1 only).

    Args:
        dialogues: those of the environment.
    """

    def __init__(self, dialogues: DialogueTensors) -> None:
        self._answer_ids = dialogues.answer.ids.numpy()
        self._answer_mask = dialogues.answer.mask.numpy()
        joined = dialogues.interactions()
        width = max(joined.ids.shape[-1], dialogues.query.ids.shape[-1])
        # A random number per position makes a hash of a row that does not depend on its padding.
        self._factors = np.random.Generator(np.random.Philox(key=7)).integers(1, 2**62, size=width, dtype=np.int64)
        self._interactions = self._hash(joined.ids.numpy(), joined.mask.numpy())
        self._queries = self._hash(dialogues.query.ids.numpy(), dialogues.query.mask.numpy())

    def reset(self, batch: int, *, seeds: Sequence[int] | None = None) -> OracleState:
        """Every dialogue is possible; there is nothing to draw, seeds are not used."""
        return OracleState(np.ones((batch, len(self._interactions)), dtype=bool))

    def act(self, observation: Observation, state: OracleState) -> PolicyOutput:
        """The reference answer of the first dialogue that is still possible; an empty one where none is."""
        interaction = self._hash(observation["interaction"]["ids"], observation["interaction"]["mask"].astype(bool))
        query = self._hash(observation["query"]["ids"], observation["query"]["mask"].astype(bool))
        turn = state.step + 1
        possible = (
            state.possible
            & (self._interactions[:, state.step] == interaction[:, None])
            & (self._queries[:, turn] == query[:, None])
        )
        known, dialogue = possible.any(1), possible.argmax(1)
        mask = self._answer_mask[dialogue, turn] & known[:, None]
        actions: TokenArray = {
            "ids": np.where(mask, self._answer_ids[dialogue, turn], 0),
            "mask": mask.astype(np.int8),
        }
        return PolicyOutput(actions, np.zeros(mask.shape, dtype=np.float32), OracleState(possible, turn))

    def _hash(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """One number per row of tokens; tokens beyond the longest known interaction count as well."""
        factors = np.resize(self._factors, ids.shape[-1])
        with np.errstate(over="ignore"):
            return (np.where(mask, (ids + 1) ** 3, 0) * factors).sum(-1)


class WipedPolicy:
    """Another policy without its memory: its state is reset before each act.

    It still sees the observation: the interaction just completed and the query. Facts told in that interaction
    (distance 1) need no more.

    Args:
        policy: the policy to wipe.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def reset(self, batch: int, *, seeds: Sequence[int] | None = None) -> StepState:
        """Seeds of the wrapped policy's fresh states; None: 0, 1, 2 ..."""
        return StepState(tuple(range(batch) if seeds is None else seeds))

    def act(self, observation: Observation, state: StepState) -> PolicyOutput:
        """The wrapped policy's answer from a fresh state."""
        fresh = self._policy.reset(len(state.seeds), seeds=state.seeds)
        output = self._policy.act(observation, fresh)
        return PolicyOutput(output.actions, output.log_probs, replace(state, step=state.step + 1))


@dataclass(frozen=True)
class Playthrough:
    """One episode per row: ``rewards`` and ``valid`` ``(episodes, steps)``, ``distance`` likewise, and all infos."""

    rewards: np.ndarray
    valid: np.ndarray
    distance: np.ndarray
    infos: tuple[dict[str, Any], ...]


def play_episode(
    env: VectorEnv,
    policy: Policy,
    *,
    seed: int | None = None,
    seeds: Sequence[int] | None = None,
    options: dict[str, Any] | None = None,
) -> Playthrough:
    """Play one episode in every row of a memory-retention environment.

    Args:
        env: with either autoreset mode.
        policy: the agent.
        seed: of the environment's ``reset``.
        seeds: of the policy's ``reset``, one per row.
        options: of the environment's ``reset``.
    """
    observation, _ = env.reset(seed=seed, options=options)
    state = policy.reset(env.num_envs, seeds=seeds)
    rewards, infos, ended = [], [], False
    while not ended:
        output = policy.act(observation, state)
        observation, reward, terminated, _, info = env.step(output.actions)
        state, ended = output.state, bool(terminated.all())
        rewards.append(reward)
        infos.append(info)
    valid, distance = (np.stack([info[name] for info in infos], axis=1) for name in ("valid", "distance"))
    return Playthrough(np.stack(rewards, axis=1), valid, distance, tuple(infos))
