"""What an update learns from: played when it is due, or one update ahead, while the update before it is learnt.

Played ahead, the episodes of update n come from the weights before update n - 1, those of a stage's first update from
the present ones. The objective's probability ratio, between the policy that learns and the one that acted, corrects for
it. What is played depends on seeds and these weights alone, as ever: any number of workers gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from rxt_mrl.model import RxT

from .pool import Played, Pool, timed
from .rollout import Shard

Weights = dict[str, Tensor]


class Rollouts:
    """The episodes of the updates of a stage, in order.

    Args:
        pool: who plays, configured for the stage.
        model: the learner's.
        ahead: whether the next update is played while one learns.
        played_by: the weights that the first update is played with, in a stage that is gone on with; None: the
            model's.
    """

    def __init__(self, pool: Pool, model: RxT, *, ahead: bool, played_by: Weights | None = None) -> None:
        self._pool, self._model, self._ahead = pool, model, ahead
        self._before = played_by if ahead else None
        self._pending: Callable[[], Played] | None = None

    def wait(self) -> Played | None:
        """What was played ahead, when it is done; None: nothing was."""
        pending, self._pending = self._pending, None
        return None if pending is None else pending()

    def play(self, shards: Sequence[Shard]) -> Played:
        """Play an update that was not played ahead; the workers have the model's weights before and after."""
        before, self._before = self._before, None
        if before is None:
            return timed(self._pool, shards)
        now = _copy(self._model)
        try:
            self._load(before)
            return timed(self._pool, shards)
        finally:
            self._load(now)

    def start(self, shards: Callable[[], Sequence[Shard]]) -> Weights | None:
        """Begin with the next update, where that is asked for; the weights that play it, for a checkpoint."""
        if not self._ahead:
            return None
        weights = _copy(self._model)
        self._pending = self._pool.start(shards())
        return weights

    def _load(self, weights: Weights) -> None:
        self._model.load_state_dict(weights)
        self._pool.sync()


def _copy(model: RxT) -> Weights:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
