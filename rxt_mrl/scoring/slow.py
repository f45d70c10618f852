"""Rewards that take their time, a judge over the network for example: many answers at once, again after a failure.

``async def`` rewards, and functions and classes declared with ``@reward(concurrent=True)``, are called for one answer
at a time: a context of one episode in, its score out. Calls run beside each other, at most ``limit`` of them, on an
event loop of the process (``async``) or on threads. A call that fails or takes longer than ``timeout`` is made again,
``retries`` times, after a pause that doubles. What a judge has said is kept on disk, so that neither a resumed run nor
an answer that comes again asks it a second time.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import json
import math
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from .. import plugins
from ..contracts import Calls, MissingColumnError, Reward, RewardContext
from ..errors import UserError

LONGEST_PAUSE = 60.0
"""Seconds between two tries, at most."""


class CacheError(UserError):
    """Scores can neither be kept nor read again."""


class SlowReward:
    """A reward that is asked for one answer at a time, many at once.

    Args:
        reward: called with a context of one episode; its result may have to be awaited.
        name: in the cache's key.
        options: of the reward, in the cache's key.
        calls: how it is called.
    """

    def __init__(self, reward: Reward, name: str, options: Any = None, calls: Calls | None = None) -> None:
        self.plugin_target = reward  # where error messages look for the user's lines
        self.calls = calls or Calls()
        self.name, self.options = name, options
        declared = reward
        while isinstance(declared, functools.partial):
            declared = declared.func
        for attribute in (
            "reward_name",
            "reward_weight",
            "reward_episode",
            "needs_reference",
            "blind_to",
        ):
            if hasattr(declared, attribute):
                setattr(self, attribute, getattr(declared, attribute))

    def with_calls(self, calls: Calls) -> SlowReward:
        """The same reward, called otherwise."""
        return SlowReward(self.plugin_target, self.name, self.options, calls)

    def __call__(self, context: RewardContext) -> list[Any]:
        """Score a batch.

        Raises:
            Exception: of the first answer that failed in the end.
        """
        outcomes = self.start(context)()
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes

    def start(self, context: RewardContext, *, bounded: bool = True) -> Callable[[], list[Any]]:
        """Begin to score a batch; what comes back waits for the scores.

        A value outside [0, 1] (``bounded``; else one that is not finite) is a failure as any other: the judge is asked
        again, and what it said is not kept.

        The function that is returned gives for each episode what the reward returned for it, or the exception with
        which it failed in the end.
        """
        running: dict[str, Future[Any]] = {}  # answers that are alike are asked for once
        order: list[str] = []
        for row in range(len(context)):
            alone = context.select([row]).copy()  # what a reward does to its columns stays with it
            place = self._key(alone)
            order.append(place)
            if place not in running:
                running[place] = _submit(self._score(alone, place, bounded))

        def finish() -> list[Any]:
            outcomes = {place: _outcome(future) for place, future in running.items()}
            return [outcomes[place] for place in order]

        return finish

    async def _score(self, context: RewardContext, place: str, bounded: bool) -> Any:
        cache = _cache(self.calls)
        known = cache.get(place) if cache else None
        if known is not None and _will_do(known[0], bounded):
            return known[0]
        async with _runtime().gate(self.calls.limit, self._identity):
            value = await self._try(context, bounded)
        if cache:
            cache.put(place, value)
        return value

    async def _try(self, context: RewardContext, bounded: bool) -> float | None:
        for attempt in range(self.calls.retries + 1):
            try:
                value = _one(await asyncio.wait_for(self._call(context), self.calls.timeout))
                if not _will_do(value, bounded):
                    allowed = "a float in [0, 1]" if bounded else "a finite number"
                    raise ValueError(f"returned {value:g}, expected {allowed}")
                return value
            except MissingColumnError:
                raise
            except TimeoutError:
                failure: Exception = TimeoutError(f"no score within {self.calls.timeout:g} s")
            except Exception as error:  # whatever a judge's client raises
                failure = error
            if attempt < self.calls.retries:
                pause = self.calls.backoff * 2**attempt * random.uniform(0.5, 1.0)
                await asyncio.sleep(min(max(pause, _asked_pause(failure)), LONGEST_PAUSE))
        raise failure

    async def _call(self, context: RewardContext) -> Any:
        try:
            if _is_async(self.plugin_target):
                return await self.plugin_target(context)  # type: ignore[misc]
            return await _runtime().on_thread(self.calls.limit, self.plugin_target, context)
        except (SystemExit, KeyboardInterrupt) as error:  # would end the loop, and all would wait for ever
            raise RuntimeError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error

    @functools.cached_property
    def _identity(self) -> str:
        """The reward, its source and its options."""
        return _digest([self.name, plugins.source_digest(self.plugin_target), repr(self.options)])

    def _key(self, context: RewardContext) -> str:
        """What a score depends on: the reward and everything that one answer's context tells."""
        texts = [context.query, context.generated, context.reference, *context.history]
        columns = {name: _whole(values[0]) for name, values in sorted(context.columns.items())}
        place = [context.step, context.steps, context.strategy, context.mode]
        return _digest([self._identity, [text.text[0] for text in texts], repr(context.asks), place, repr(columns)])

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.pop("_identity", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["plugin_target"], state["name"], state["options"], state["calls"])  # type: ignore[misc]


def is_slow(reward: Any) -> bool:
    """Whether a reward is to be called for one answer at a time: ``async def``, or declared ``concurrent``."""
    if isinstance(reward, SlowReward):
        return False
    target = reward
    while isinstance(target, functools.partial):
        target = target.func
    return _is_async(reward) or bool(getattr(target, "reward_concurrent", False))


def _is_async(reward: Any) -> bool:
    while isinstance(reward, functools.partial) or hasattr(reward, "plugin_target"):
        reward = reward.func if isinstance(reward, functools.partial) else reward.plugin_target
    return inspect.iscoroutinefunction(reward) or (
        not inspect.isroutine(reward) and inspect.iscoroutinefunction(type(reward).__call__)
    )


def _will_do(value: float | None, bounded: bool) -> bool:
    return value is None or (0 <= value <= 1 if bounded else math.isfinite(value))


def _asked_pause(failure: Exception) -> float:
    """Seconds that a server wants to be left alone for: the header ``Retry-After`` of a client's error, or its own."""
    headers = getattr(getattr(failure, "response", None), "headers", None) or {}
    try:
        return float(getattr(failure, "retry_after", None) or headers.get("Retry-After") or 0)
    except (TypeError, ValueError):  # a date
        return 0.0


def _one(value: Any) -> float | None:
    """The score of a single answer, from a number, or a list, array or tensor of one."""
    if isinstance(value, tuple) and len(value) == 2:
        value = value[0] if bool(_one(value[1])) else None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or isinstance(value, bool | int | float):
        return None if value is None else float(value)
    raise ValueError(f"returned {value!r} for one answer, expected a float or None")


def _outcome(future: Future[Any]) -> Any:
    try:
        return future.result()
    except Exception as error:
        return error


def _whole(value: Any) -> Any:
    """An array with all that it holds, which its ``repr`` shortens."""
    return value.tolist() if hasattr(value, "tolist") else value


def _digest(content: Any) -> str:
    return hashlib.blake2b(
        json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass"), digest_size=16
    ).hexdigest()


# --- where calls run -------------------------------------------------------------------------------------------------


class _Runtime:
    """An event loop on a thread of its own, and threads for rewards that block; one of each process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._rooms: dict[int, asyncio.Semaphore] = {}
        threading.Thread(target=self.loop.run_forever, name="slow-rewards", daemon=True).start()

    def gate(self, limit: int, name: str) -> asyncio.Semaphore:
        """Lets ``limit`` calls of a reward through at a time."""
        if name not in self._gates:
            self._gates[name] = asyncio.Semaphore(max(1, limit // share()))
        return self._gates[name]

    async def on_thread(self, limit: int, reward: Reward, context: RewardContext) -> Any:
        """A blocking call on a thread that Python does not wait for at its end, as it would for an executor's.

        There is room for ``limit`` calls, and for three times as many that nobody waits for any longer but that hang.
        """
        room = self._rooms.setdefault(limit, asyncio.Semaphore(4 * limit))
        await room.acquire()
        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()  # who no longer waits cannot end the call
        done.add_done_callback(lambda _: self.loop.call_soon_threadsafe(room.release))

        def call() -> None:
            try:
                result = reward(context)
            except StopIteration as error:  # which no future takes
                done.set_exception(RuntimeError(repr(error)))
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(result)

        threading.Thread(target=call, name="slow-rewards", daemon=True).start()
        return await asyncio.wrap_future(done)


_running: list[_Runtime] = []
_shares: list[int] = []


def share() -> int:
    """Among how many processes the limits are shared out."""
    return _shares[-1] if _shares else 1


def set_share(processes: int) -> None:
    """Share the limits out among the workers of a run."""
    _shares[:] = [max(1, processes)]


def _runtime() -> _Runtime:
    if not _running or _running[0].process != os.getpid():  # a fork has the object and not its thread
        _running[:] = [_Runtime()]
    return _running[0]


def _submit(call: Coroutine[Any, Any, Any]) -> Future[Any]:
    return asyncio.run_coroutine_threadsafe(call, _runtime().loop)


# --- what was said already -------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where scores are kept: ``RXT_MRL_CACHE``, or ``rxt-mrl`` in the user's folder for caches."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RXT_MRL_CACHE") or Path(base) / "rxt-mrl")


class _Cache:
    """Scores by key in a SQLite file, which several processes may use at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._open() as base:
            base.execute("CREATE TABLE IF NOT EXISTS scores (place TEXT PRIMARY KEY, score REAL)")

    def get(self, place: str) -> tuple[float | None] | None:
        """The score in a tuple, or None where there is none."""
        with self._open() as base:
            row = base.execute("SELECT score FROM scores WHERE place = ?", (place,)).fetchone()
        return None if row is None else (row[0],)

    def put(self, place: str, score: float | None) -> None:
        """Keep a score."""
        with self._open() as base:
            base.execute("INSERT OR REPLACE INTO scores VALUES (?, ?)", (place, score))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=30)) as base, base:
                yield base
        except (sqlite3.Error, OSError) as error:
            raise CacheError(
                f"{self._file}: scores cannot be kept there: {error}; delete it, name another folder in RXT_MRL_CACHE, "
                "or set calls: {cache: false}"
            ) from error


@functools.cache
def _cache_of(file: Path) -> _Cache:
    return _Cache(file)


def _cache(calls: Calls) -> _Cache | None:
    return _cache_of(cache_folder() / "scores.sqlite") if calls.cache else None
