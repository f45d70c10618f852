"""What a reward learns or counts while it is called, as a part of a training: saved, resumed, and merged over workers.

A reward with a state has ``state_dict()`` and ``load_state_dict(state)``, as torch modules have. Rollout workers begin
each shard with the state from before the update; ``merge(states)`` of a reward that still has that one makes of it what
comes of the states after the shards, in their order. A reward without ``merge`` is called in the learner's process
alone, shard after shard.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .. import plugins
from ..errors import UserError

States = Mapping[str, Any]
"""The state of each reward that has one, by a name that tells it from others."""

_PLAIN = (type(None), bool, int, float, str, bytes)
_ARRAY = "numpy array"


def stateful(reward: Any) -> Any:
    """The object inside a reward that has a state; None where there is none.

    Raises:
        UserError: for one that can give its state and not take it, or the other way round.
    """
    inner = reward
    while not (hasattr(inner, "state_dict") or hasattr(inner, "load_state_dict")):
        if isinstance(inner, functools.partial):
            inner = inner.func
        elif hasattr(inner, "plugin_target"):
            inner = inner.plugin_target
        else:
            return None
    for name in ("state_dict", "load_state_dict"):
        if not callable(getattr(inner, name, None)):
            raise UserError(f"reward {_label(inner)!r} has a state and no method {name}: it needs both, to be resumed")
    if isinstance(inner, torch.nn.Module) and not inner.state_dict():
        return None
    return inner


def capture(rewards: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of each reward's state.

    Args:
        rewards: what :func:`stateful` gives, by name.

    Raises:
        UserError: for a method that fails, or a state that holds something else than numbers, texts and tensors.
    """
    found = {}
    for name, reward in rewards.items():
        try:
            found[name] = _copied(_call(reward, reward.state_dict), "")
        except TypeError as error:
            raise UserError(f"reward {_label(reward)!r}: state_dict() holds {error}") from None
    return found


def restore(rewards: Mapping[str, Any], states: States) -> None:
    """Give each reward its state, where ``states`` has one.

    Raises:
        UserError: for a method that fails.
    """
    for name, reward in rewards.items():
        if name in states:
            _call(reward, reward.load_state_dict, _copied(states[name], ""))


def going_on(rewards: Mapping[str, Any], before: States, after: States) -> dict[str, Any]:
    """What the next shard of an update begins with: a reward without ``merge`` goes on from the shard before."""
    return {**before, **{name: after[name] for name, reward in rewards.items() if not _merges(reward)}}


def merged(rewards: Mapping[str, Any], before: States, parts: Sequence[States]) -> dict[str, Any]:
    """The states after an update.

    Args:
        rewards: of what was played; their states change.
        before: the states before the update, also of other rewards.
        parts: the states after each shard, in order.

    Raises:
        UserError: for a method that fails.
    """
    for name, reward in rewards.items():
        if _merges(reward):
            restore({name: reward}, before)
            _call(reward, reward.merge, [_copied(part[name], "") for part in parts])
        else:
            restore({name: reward}, parts[-1])
    return {**before, **capture(rewards)}


def check(rewards: Mapping[str, Any], workers: int, processes: int = 1) -> None:
    """Whether the states can be kept where several play: each is given, taken back and, where it can be, merged once.

    Args:
        rewards: what :func:`stateful` gives, by name.
        workers: of the rollouts.
        processes: that learn together.

    Raises:
        UserError: names the reward and the methods that it lacks, or one that fails.
    """
    before = capture(rewards)
    merged(rewards, before, [before])
    restore(rewards, before)
    for reward in rewards.values():
        if (workers or processes > 1) and not _merges(reward):
            where = f"rollout.workers = {workers}" if workers else f"{processes} processes"
            more = " (a torch module that never changes returns {} there)" * isinstance(reward, torch.nn.Module)
            raise UserError(
                f"reward {_label(reward)!r} has a state (state_dict{more}), and with {where} each would have one of "
                "its own; allowed: a method merge(states) that makes one of them, or rollout.workers = 0 in one process"
            )


def packed(value: Any) -> Any:
    """A state without NumPy's types, which a checkpoint that is read without running code cannot hold."""
    if isinstance(value, np.ndarray | np.generic):
        return {_ARRAY: torch.from_numpy(np.array(value)), "scalar": isinstance(value, np.generic)}
    return _mapped(value, packed)


def unpacked(value: Any) -> Any:
    """The state that :func:`packed` was given."""
    if isinstance(value, dict) and value.keys() == {_ARRAY, "scalar"}:
        array = value[_ARRAY].numpy()
        return array[()] if value["scalar"] else array
    return _mapped(value, unpacked)


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return type(value)((key, change(item)) for key, item in value.items())
    return type(value)(map(change, value)) if isinstance(value, list | tuple | set) else value


def _copied(value: Any, where: str) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, np.generic) or kind is np.ndarray:
        if value.dtype.kind in "biuf":
            return value.copy()
    elif kind in (dict, OrderedDict):
        return kind((_copied(key, where), _copied(item, f"{where}[{key!r}]")) for key, item in value.items())
    elif kind in (list, tuple, set):
        return kind([_copied(item, where) for item in value])
    what = f"array of {value.dtype}" if kind is np.ndarray else kind.__name__
    raise TypeError(
        f"a {what}{where and f' in {where}'}; allowed: numbers, texts, tensors, arrays of numbers, and lists, tuples, "
        "sets and dicts of them"
    )


def _call(reward: Any, method: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return method(*arguments)
    except (Exception, SystemExit) as error:  # whatever a user's method raises
        where = plugins.location(reward)
        what = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise UserError(
            f"reward {_label(reward)!r}: {method.__name__} failed: {what}{where and f' (the reward is at {where})'}"
        ) from error


def _merges(reward: Any) -> bool:
    return callable(getattr(reward, "merge", None))


def _label(reward: Any) -> str:
    return str(getattr(reward, "reward_name", None) or type(reward).__name__)
