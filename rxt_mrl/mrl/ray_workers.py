"""Rollouts on Ray actors: created once, given the weights by version, replaced when they die.

Plain actors, no framework on top. A replaced actor has lost everything, so stage and weights are pushed again before
it plays; its shards run again and give the same episodes, since they depend on seeds and weights alone.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch import Tensor

from rxt_mrl.errors import UserError
from rxt_mrl.files import reason
from rxt_mrl.model import RxT, products
from rxt_mrl.scoring.slow import set_share

from .config import RolloutSettings
from .environment import StageSetup
from .pool import LocalPool, Played, Pool, RolloutWorker, timed
from .ray_cluster import connect
from .rollout import Shard
from .trajectories import Trajectories, concatenate

log = logging.getLogger(__name__)


def make_pool(model: RxT, settings: RolloutSettings) -> Pool:
    """The pool that ``settings.workers`` asks for: 0 plays in this process."""
    return RayPool(model, settings) if settings.workers else LocalPool(model)


_UNSENDABLE = (TypeError, AttributeError, pickle.PicklingError)


def check_sendable(setup: StageSetup, workers: int) -> None:
    """Whether environment and reward could be sent to a worker.

    Raises:
        UserError: when they cannot.
    """
    from ray import cloudpickle

    try:
        cloudpickle.dumps(setup)
    except _UNSENDABLE as error:
        raise _unsendable(workers, error) from error


def _unsendable(workers: int, error: Exception) -> UserError:
    return UserError(
        f"rollout.workers = {workers}: environment or reward cannot be sent to a worker ({reason(error)}); what only "
        "this process has (a lock, an open file, a generator) it should make when it is first called; rollout.workers "
        "= 0 sends nothing"
    )


class _Actor(RolloutWorker):
    """A rollout worker in a process of its own: built from a configuration, never shares the learner's model."""

    def __init__(self, config: Any, way: products.Products, workers: int) -> None:
        super().__init__(RxT(config).eval())
        self._way = way
        set_share(workers)

    def play(self, shard: Shard) -> Trajectories:
        """As the learner's process would, to the last bit: its matrix products go the same way."""
        with products.using(self._way):
            return super().play(shard)


class RayPool:
    """``settings.workers`` actors, each playing one shard at a time.

    Connects to a cluster or starts Ray (:mod:`.ray_cluster`; then :meth:`close` ends what it began), unless this
    process has one already. Actors compute on the CPU, with one thread each; on a cluster they are spread over its
    nodes, and those of a node that dies are replaced on the others.

    Args:
        model: the learner's.
        settings: number of workers, timeouts, size of the object store.
    """

    def __init__(self, model: RxT, settings: RolloutSettings) -> None:
        import ray

        self._ray = ray
        self._model = model
        self._settings = settings
        self._owns_ray, self._closed = not ray.is_initialized(), False
        self._background = ThreadPoolExecutor(1, thread_name_prefix="rollout")
        self._setups: Any = None
        self._weights: Any = None
        self._actors: list[Any] = []
        self._replaced = 0
        try:
            if self._owns_ray:
                connect(ray, settings, self._background)
            self._class: Any = ray.remote(num_cpus=0, max_restarts=0, max_task_retries=0)(_Actor)
            for place in range(settings.workers):
                self._actors.append(self._create(place))
        except BaseException:
            self.close()
            raise

    @property
    def actors(self) -> list[Any]:
        """The actors now alive, for tests."""
        return list(self._actors)

    def configure(self, setups: Sequence[StageSetup]) -> None:
        """Go to another stage."""
        self._check_raylet()
        try:
            self._setups = self._ray.put(tuple(setups))
        except _UNSENDABLE as error:
            raise _unsendable(self._settings.workers, error) from error
        calls = [actor.configure.remote(self._setups) for actor in self._actors]
        errors = self._ray.exceptions
        try:
            self._ray.get(calls, timeout=self._settings.timeout)
        except errors.RayTaskError as error:
            raise _told(error) from error
        except errors.RayError:
            return  # an actor that died or hangs is replaced when it is to play

    def sync(self) -> None:
        """Put the learner's weights into the object store once, for all actors."""
        self._check_raylet()
        weights: dict[str, Tensor] = {name: value.detach().cpu() for name, value in self._model.state_dict().items()}
        self._weights = self._ray.put(weights)
        for actor in self._actors:
            actor.load.remote(self._weights)

    def rollout(self, shards: Sequence[Shard]) -> Trajectories:
        """Play all shards, on whichever actor is free; episodes come in the order of the shards.

        Raises:
            UserError: when actors keep dying or not answering; or what environment and reward raise.
        """
        if self._weights is None:
            self.sync()
        waiting = deque(shards)
        free = list(range(len(self._actors)))
        running: dict[Any, tuple[int, Shard, float]] = {}
        results: dict[int, Trajectories] = {}
        failures = 0
        while waiting or running:
            while waiting and free:
                place, shard = free.pop(), waiting.popleft()
                reference = self._actors[place].play.remote(shard)
                running[reference] = (place, shard, time.monotonic() + self._settings.timeout)
            patience = max(0.0, min(deadline for _, _, deadline in running.values()) - time.monotonic())
            try:
                ready, _ = self._ray.wait(list(running), num_returns=1, timeout=patience)
            except (self._ray.exceptions.RayError, ConnectionError) as error:
                raise UserError(f"Ray has ended ({reason(error)})") from error
            late = [ref for ref, (_, _, deadline) in running.items() if time.monotonic() > deadline]
            for reference in ready or late:
                place, shard, _ = running.pop(reference)
                result, why = self._collect(reference, bool(ready))
                if result is None:
                    if self._closed:
                        raise UserError("the rollout workers were ended while they played")
                    self._check_raylet()
                    failures += 1
                    if failures > self._settings.restarts:
                        raise UserError(
                            f"rollout workers failed {failures} times in a row (rollout.restarts = "
                            f"{self._settings.restarts}): {why}"
                        )
                    log.warning("a rollout worker is replaced (%s); its episodes are played again", why)
                    self._replace(place)
                    waiting.appendleft(shard)
                else:
                    failures = 0
                    results[shard.index] = result
                free.append(place)
        return concatenate([results[shard.index] for shard in shards])

    def start(self, shards: Sequence[Shard]) -> Callable[[], Played]:
        """Play all shards in the background, while the caller learns."""
        return self._background.submit(timed, self, shards).result

    def close(self) -> None:
        """Kill the actors, and end Ray if this pool started it."""
        self._closed = True
        for actor in self._actors:
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        self._actors = []
        if self._owns_ray and self._ray.is_initialized():
            with contextlib.suppress(Exception):  # it may have ended by itself
                self._ray.shutdown()
            self._owns_ray = False
        self._background.shutdown(cancel_futures=True)  # what still plays ends with the actors

    def _create(self, place: int) -> Any:
        """An actor on one of the nodes that are alive, in turn: Ray puts those that reserve nothing on one."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        alive = (node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU"))
        nodes = sorted(node["NodeID"] for node in alive)
        # A node that just died is called alive for a while: a replacement goes to the next one.
        turn = place + self._replaced
        home = NodeAffinitySchedulingStrategy(nodes[turn % len(nodes)], soft=False) if nodes else "DEFAULT"
        actor = self._class.options(scheduling_strategy=home).remote(
            self._model.config, products.current(), self._settings.workers
        )
        # Calls of one actor run in order, so nothing has to be waited for.
        if self._setups is not None:
            actor.configure.remote(self._setups)
        if self._weights is not None:
            actor.load.remote(self._weights)
        return actor

    def _check_raylet(self) -> None:
        """Whether the raylet that this process started is alive: without it, Ray ends the process at the next object.

        Raises:
            UserError: when it is not.
        """
        ray: Any = self._ray
        node = ray._private.worker._global_node  # it has no public name
        raylets = node.all_processes.get("raylet", ()) if self._owns_ray and node is not None else ()
        if any(info.process.poll() is not None for info in raylets):
            raise UserError("Ray has ended on this machine (its raylet was killed)")

    def _replace(self, place: int) -> None:
        with contextlib.suppress(Exception):
            self._ray.kill(self._actors[place])
        self._replaced += 1
        self._actors[place] = self._create(place)

    def _collect(self, reference: Any, ready: bool) -> tuple[Trajectories | None, str]:
        """The episodes of a shard, or None with the reason if its actor has to be replaced."""
        if not ready:
            return None, f"no answer within {self._settings.timeout:g} s (rollout.timeout)"
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference, timeout=self._settings.timeout), ""
        except errors.RayTaskError as error:
            # Raised inside our code or a plug-in: a new actor would raise it again.
            raise _told(error) from error
        except errors.LocalRayletDiedError as error:
            raise UserError("Ray has ended on this machine (its raylet was killed)") from error
        except errors.RayError as error:  # an actor that died, its node, an object that went with it, no answer
            return None, reason(error)


def _told(error: Any) -> UserError:
    """What a worker raised, in one line."""
    cause = error.cause
    if isinstance(cause, UserError):
        return cause
    return UserError(f"a rollout worker failed: {type(cause).__name__}: {reason(cause)}")
