"""MRL on several processes: each plays and replays its share of the episodes, and all make the same update.

Rollouts are shared out by whole shards, whose episodes depend on seeds and weights alone, and handed to everyone; so
all processes see the batch that one would have played, to the last bit. Of each minibatch a process replays its
episodes, with the weights that they have in the whole of it, and the gradients are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from rxt_mrl.errors import UserError
from rxt_mrl.runs import ranks

from .answers import Answers
from .environment import StageSetup
from .pool import Played, Pool
from .rollout import Shard
from .trajectories import Trajectories, concatenate

ADDED = frozenset({"surrogate", "reference_kl", "router_loss", "supervised_loss", "loss"})
"""Metrics that are sums over the shares; the others are means."""


def shared(pool: Pool) -> Pool:
    """The pool of a training, whose shards are played by all its processes."""
    return pool if ranks.size() == 1 else _SharedPool(pool)


class _SharedPool:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def configure(self, setups: Sequence[StageSetup]) -> None:
        self._pool.configure(setups)

    def sync(self) -> None:
        self._pool.sync()

    def rollout(self, shards: Sequence[Shard]) -> Trajectories:
        mine = _mine(shards)
        return _everyones(shards, self._pool.rollout(mine) if mine else None)

    def start(self, shards: Sequence[Shard]) -> Callable[[], Played]:
        mine = _mine(shards)
        wait = self._pool.start(mine) if mine else None

        def end() -> Played:
            played = None if wait is None else wait()
            batch = _everyones(shards, None if played is None else played.batch)
            return Played(batch, 0.0 if played is None else played.seconds)

        return end

    def close(self) -> None:
        self._pool.close()


def _mine(shards: Sequence[Shard]) -> list[Shard]:
    return list(shards[ranks.rank() :: ranks.size()])


def _everyones(shards: Sequence[Shard], batch: Trajectories | None) -> Trajectories:
    """All episodes, in the order of the shards, from those that each process played."""
    played: dict[int, Trajectories] = {}
    for number, part in enumerate(ranks.gather(batch)):
        first = 0
        for place in range(number, len(shards), ranks.size()):
            assert part is not None
            count = len(shards[place].dialogues)
            states = part.states[place // ranks.size() :][:1]
            played[place] = replace(part.select(range(first, first + count)), states=states)
            first += count
    return concatenate([played[place] for place in range(len(shards))])


def check_shards(episodes: int, shard: int) -> None:
    """Whether every process has something to play.

    Raises:
        UserError: naming both settings.
    """
    if -(-episodes // shard) < ranks.size():
        raise UserError(
            f"rollout.shard = {shard}: {episodes} episodes are {-(-episodes // shard)} shards, and {ranks.size()} "
            f"processes need one each; allowed: up to {max(1, episodes // ranks.size())}"
        )


@dataclass(frozen=True)
class Share:
    """What one process replays of a minibatch.

    Attributes:
        part: its episodes.
        answers: of them, with the totals of the whole minibatch.
        fraction: of the episodes, by which a mean over them counts.
        scale: by which its whole loss counts: where there are fewer episodes than processes, all replay the same.
    """

    part: Trajectories
    answers: Answers
    fraction: float = 1.0
    scale: float = 1.0


def share_of(part: Trajectories, answers: Answers) -> Share:
    """The share of this process; each episode of ``part`` has an answer."""
    processes = ranks.size()
    if processes == 1:
        return Share(part, answers)
    if len(part) < processes:
        return Share(part, answers, scale=1 / processes)
    mine = torch.arange(len(part), device=answers.episode.device) % processes == ranks.rank()
    keep = mine[answers.episode]
    names = ("step", "ids", "mask", "log_probs", "advantages", "valid", "counts")
    chosen = {name: getattr(answers, name)[keep] for name in names}
    own = replace(answers, episode=(mine.cumsum(0) - 1)[answers.episode[keep]], **chosen)
    return Share(part.select(mine.nonzero().flatten()), own, fraction=float(mine.sum()) / len(part))


def over_all(values: Mapping[str, float], tokens: float, scale: float = 1.0) -> dict[str, float]:
    """Numbers about the whole minibatch from those about the shares.

    Args:
        values: of this share.
        tokens: that its means are over.
        scale: of the share, for the numbers that add up.
    """
    if ranks.size() == 1:
        return dict(values)
    found = ranks.gather((dict(values), tokens, scale))
    every = sum(count for _, count, _ in found)

    def together(name: str) -> float:
        if name in ADDED:
            return sum(one[name] * part for one, _, part in found)
        if name.endswith(("_max", "_before")):
            return max(one[name] for one, _, _ in found)
        return sum(one[name] * count for one, count, _ in found) / max(every, 1.0)

    return {name: together(name) for name in values}
