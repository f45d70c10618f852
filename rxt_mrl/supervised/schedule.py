"""How far a stage has come, and the learning rate that follows from it."""

from __future__ import annotations

import math
import time

from .config import OptimizerSettings


def rate_factor(settings: OptimizerSettings, update: int, share: float) -> float:
    """The learning rate as a share of the highest one.

    Args:
        update: updates done so far (the warm-up counts updates).
        share: how far the stage has come, 0 to 1 (the decay follows it).
    """
    warm = min(1.0, (update + 1) / settings.warmup) if settings.warmup else 1.0
    share = min(max(share, 0.0), 1.0)
    if settings.schedule == "constant":
        return warm
    if settings.schedule == "cosine":
        down = 0.5 * (1 + math.cos(math.pi * share))
    else:
        down = min(1.0, (1.0 - share) / settings.decay_share)
    return warm * (settings.final + (1 - settings.final) * down)


class Budget:
    """Updates and, optionally, seconds that a stage may use.

    Args:
        updates: planned updates.
        max_seconds: wall-clock limit; None: none.
        used: seconds that were used before an interruption.
    """

    def __init__(self, updates: int, max_seconds: float | None = None, used: float = 0.0) -> None:
        self.updates = updates
        self.max_seconds = max_seconds
        self._used = used
        self._started: float | None = None

    def start(self, used: float | None = None) -> None:
        """Start the clock; ``used`` replaces the seconds used before."""
        if used is not None:
            self._used = used
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds used so far, interruptions left out."""
        return self._used + (0.0 if self._started is None else time.monotonic() - self._started)

    def share(self, update: int) -> float:
        """How far the stage has come after ``update`` updates: 0 to 1, the nearer end of the two limits."""
        done = update / self.updates if self.updates else 1.0
        if self.max_seconds is not None:
            done = max(done, self.seconds / self.max_seconds)
        return min(done, 1.0)

    @property
    def out_of_time(self) -> bool:
        """Whether the seconds are used up."""
        return self.max_seconds is not None and self.seconds >= self.max_seconds
