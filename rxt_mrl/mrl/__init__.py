"""Stage 5, memory reinforcement learning: policy, rollout, advantages, objectives, critic, curriculum, trainer.

``from rxt_mrl.mrl import train_mrl, sampled_reward``; the parts are imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import AlgorithmSettings, EnvSpec, RolloutSettings

if TYPE_CHECKING:
    from .evaluate import SampledReward, sampled_reward
    from .guards import NotFiniteError
    from .journal import rescore
    from .policy import RxTPolicy, RxTState
    from .ray_workers import make_pool
    from .trainer import MRLResult, train_mrl

_LAZY = {
    "MRLResult": "trainer",
    "NotFiniteError": "guards",
    "RxTPolicy": "policy",
    "RxTState": "policy",
    "SampledReward": "evaluate",
    "make_pool": "ray_workers",
    "rescore": "journal",
    "sampled_reward": "evaluate",
    "train_mrl": "trainer",
}

__all__ = [
    "AlgorithmSettings",
    "EnvSpec",
    "MRLResult",
    "NotFiniteError",
    "RolloutSettings",
    "RxTPolicy",
    "RxTState",
    "SampledReward",
    "make_pool",
    "rescore",
    "sampled_reward",
    "train_mrl",
]


def __getattr__(name: str) -> Any:
    """Import a part on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
