"""From a name, class or function - ours or TRL's - to a reward that is ready to be called."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from .. import plugins
from ..contracts import Reward
from ..errors import UserError
from .from_trl import from_trl, is_trl, trl_options
from .slow import SlowReward, is_slow
from .values import name_of


def load_reward(spec: Any, /, **options: Any) -> Reward:
    """Find a reward and make it ready to be called.

    Args:
        spec: a name, ``package.module:Name``, ``file.py:Name``, or the class, function or object itself.
        options: arguments of its constructor; for a function, keyword arguments that it is given at each call; for a
            function in TRL's convention, those of :func:`~rxt_mrl.scoring.from_trl`.

    Raises:
        UserError: for an unknown name, a file that cannot be loaded, options that do not fit, a wrong signature.
    """
    if inspect.isawaitable(spec):
        if inspect.iscoroutine(spec):
            spec.close()
        raise UserError(f"the reward is a {type(spec).__name__}: give the function, and do not call it")
    if callable(spec):
        return as_reward(spec, name_of(spec), options)
    return as_reward(plugins.find("reward", spec), spec, options)


def as_reward(target: Any, label: str, options: Mapping[str, Any]) -> Reward:
    """Make a reward of a class, function or object, in our convention or TRL's.

    Raises:
        UserError: when options or signature do not fit.
    """
    made: Reward
    if is_trl(target):
        made = from_trl(target, **trl_options(label, options))
    else:
        made = plugins.build(target, label, dict(options))
        if is_trl(made):  # an instance of a class that is called as TRL calls
            made = from_trl(made)
        else:
            check_signature(made, label)
    return SlowReward(made, label, dict(options)) if is_slow(made) else made


def check_signature(reward: Any, label: str) -> None:
    """Check that ``reward(context)`` is a possible call.

    Raises:
        UserError: when it is not.
    """
    where = plugins.location(reward)
    where = f" ({where})" if where else ""
    wanted = "a reward is called as reward(context) and returns one float in [0, 1] per episode"
    if not callable(reward):
        raise UserError(f"{label}{where} is not callable, it is a {type(reward).__name__}; {wanted}")
    try:
        signature = inspect.signature(reward)
    except (TypeError, ValueError):  # a builtin that does not tell: the first call will
        return
    try:
        signature.bind(object())
    except TypeError as error:
        raise UserError(f"{label}{where} has the signature {signature} ({error}); {wanted}") from None
