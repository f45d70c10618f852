"""Who plays the shards of an update: a worker in this process, or several elsewhere (:mod:`.ray_workers`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from rxt_mrl.contracts import Environment
from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT
from rxt_mrl.scoring.states import capture, going_on, restore

from .checked_environment import CheckedEnvironment
from .environment import StageSetup
from .rollout import Shard, begin_shard
from .trajectories import Trajectories, concatenate


@dataclass
class RolloutWorker:
    """Plays shards. Holds a model, and the environments of the current stage.

    Args:
        model: the learner's own (in its process), or a copy.
    """

    model: RxT
    _setups: tuple[StageSetup, ...] = ()
    _environments: dict[tuple[int, int], Environment] = field(default_factory=dict)

    def configure(self, setups: Sequence[StageSetup]) -> None:
        """Go to another stage; shards name one of its setups by number."""
        self._setups = tuple(setups)
        self._environments = {}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of the learner."""
        self.model.load_state_dict(weights)

    def play(self, shard: Shard) -> Trajectories:
        """Play the episodes of a shard to their end, and wait for their scores (see :meth:`begin`)."""
        return self.begin(shard)()

    def begin(self, shard: Shard) -> Callable[[], Trajectories]:
        """Play the episodes of a shard to their end; what comes back waits for the scores of slow rewards.

        Raises:
            UserError: before :meth:`configure`; or what environment and reward raise.
        """
        if not self._setups:
            raise UserError("a rollout worker has to be configured before it plays")
        setup, place = self._setups[shard.setup], (shard.setup, len(shard.dialogues))
        if place not in self._environments:
            environment: Any = CheckedEnvironment(setup.make(place[1]), setup.steps)
            self._environments[place] = environment
        with single_thread():
            if shard.states is None or not setup.stateful:
                return begin_shard(self._environments[place], self.model, setup, shard)
            restore(setup.stateful, shard.states)
            played = begin_shard(self._environments[place], self.model, setup, shard)()
            played = replace(played, states=(capture(setup.stateful),))
            return lambda: played

    def stateful(self, shard: Shard) -> Mapping[str, Any]:
        """The rewards with a state that score a shard."""
        return self._setups[shard.setup].stateful


class Pool(Protocol):
    """Whoever plays the shards of an update: this process, or Ray actors."""

    def configure(self, setups: Sequence[StageSetup]) -> None:
        """Go to another stage."""
        ...

    def sync(self) -> None:
        """Hand the learner's present weights to the workers."""
        ...

    def rollout(self, shards: Sequence[Shard]) -> Trajectories:
        """Play all shards; episodes come in the order of the shards."""
        ...

    def start(self, shards: Sequence[Shard]) -> Callable[[], Played]:
        """Begin to play all shards with the weights of the last :meth:`sync`; what is returned waits for the end."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class LocalPool:
    """Plays in this process, with the learner's model."""

    def __init__(self, model: RxT) -> None:
        self._worker = RolloutWorker(model)

    def configure(self, setups: Sequence[StageSetup]) -> None:
        """Go to another stage."""
        self._worker.configure(setups)

    def sync(self) -> None:
        """Nothing to do: the model is the learner's."""

    def rollout(self, shards: Sequence[Shard]) -> Trajectories:
        """Play all shards, one after the other; slow rewards go on meanwhile."""
        begun: list[Callable[[], Trajectories]] = []
        states = shards[0].states
        for shard in shards:
            begun.append(self._worker.begin(shard if states is None else replace(shard, states=states)))
            if states is not None and (stateful := self._worker.stateful(shard)):
                states = going_on(stateful, states, begun[-1]().states[0])
        return concatenate([finish() for finish in begun])

    def start(self, shards: Sequence[Shard]) -> Callable[[], Played]:
        """Play them at once: the model would change while it plays."""
        played = timed(self, shards)
        return lambda: played

    def close(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True)
class Played:
    """What a pool played, and the seconds that it took."""

    batch: Trajectories
    seconds: float


def timed(pool: Pool, shards: Sequence[Shard]) -> Played:
    """Play all shards and take the time."""
    started = time.perf_counter()
    batch = pool.rollout(shards)
    return Played(batch, time.perf_counter() - started)


@contextmanager
def single_thread() -> Iterator[None]:
    """One torch thread: a shard must not depend on how many cores are at hand."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
