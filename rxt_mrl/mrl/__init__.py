"""Stage 5, memory reinforcement learning: policy, rollout, advantages, objectives, critic, curriculum, trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import AlgorithmSettings, EnvSpec, RolloutSettings

if TYPE_CHECKING:
    from .journal import rescore
    from .policy import RxTPolicy, RxTState
    from .ray_workers import make_pool
    from .trainer import MRLResult, Training, train_mrl

_LAZY = {
    "MRLResult": "trainer",
    "RxTPolicy": "policy",
    "RxTState": "policy",
    "make_pool": "ray_workers",
    "rescore": "journal",
    "Training": "trainer",
    "train_mrl": "trainer",
}

__all__ = [
    "AlgorithmSettings",
    "EnvSpec",
    "MRLResult",
    "RolloutSettings",
    "RxTPolicy",
    "RxTState",
    "Training",
    "make_pool",
    "rescore",
    "train_mrl",
]


def __getattr__(name: str) -> Any:
    """Import a part on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
