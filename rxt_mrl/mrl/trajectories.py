"""What a rollout hands to the learner: everything that is needed to replay the episodes with gradient, and no more.

E episodes, N steps, K answers from the memory of each step, T tokens. Rows come in the order of the episodes of an
update, whoever rolled them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from rxt_mrl.contracts import Ask
from rxt_mrl.scoring.states import States


@dataclass(frozen=True)
class Trajectories:
    """Episodes of the same number of steps, with the same number of answers at each.

    Attributes:
        written_ids: long ``(E, N, T)``, the interaction that step n wrote to memory before it answered.
        written_mask: bool.
        query_ids: long ``(E, N, T)``, ``[BOS][Q]...[A]``.
        query_mask: bool.
        action_ids: long ``(E, N, K, T)``, the answers sampled from the memory of each step, with [EOS] if it came.
        action_mask: bool.
        log_probs: float32 ``(E, N, K, T)`` under the distribution that each token was sampled from; 0 where masked.
        rewards: float32 ``(E, N, K)``; 0 where unknown.
        valid: bool ``(E, N, K)``; False where the reward is unknown (a reward failed and was skipped).
        terms: each reward term by name, ``(E, N, K)``, NaN where unknown.
        metrics: what was measured beside the reward, likewise.
        carried: long ``(E, N)``, which of the K answers went on to memory; -1: another text did.
        dialogues: long ``(E,)``, row of the dialogue in the stage's data.
        seeds: the seed of each episode: its initial memory and its sampling.
        start: memory ``(layers, E, slots, dim)`` before the first write, for episodes that go on from another
            dialogue; None: the initial memory of ``seeds``.
        warmup: whether the first interaction was written twice.
        reference_ids: long ``(E, N, T)``, what the dialogue answers.
        reference_mask: bool.
        failed: bool ``(E, N, K)``, where a reward failed and was skipped; None: not known.
        asks: facts asked, ``asks[episode][step]``.
        columns: other columns of the data, ``columns[episode][step]``; empty where there are none.
        mode: what each step asked for, ``(N,)`` names.
        states: of the rewards after each shard, in the order of the shards; empty where nobody keeps them.
    """

    written_ids: Tensor
    written_mask: Tensor
    query_ids: Tensor
    query_mask: Tensor
    action_ids: Tensor
    action_mask: Tensor
    log_probs: Tensor
    rewards: Tensor
    valid: Tensor
    terms: Mapping[str, Tensor]
    metrics: Mapping[str, Tensor]
    carried: Tensor
    dialogues: Tensor
    seeds: tuple[int, ...]
    start: Tensor | None
    warmup: bool
    reference_ids: Tensor
    reference_mask: Tensor
    failed: Tensor | None = None
    asks: tuple[tuple[tuple[Ask, ...], ...], ...] = ()
    columns: tuple[tuple[Mapping[str, Any], ...], ...] = ()
    mode: tuple[str, ...] = ()
    states: tuple[States, ...] = ()

    def __len__(self) -> int:
        return self.rewards.shape[0]

    @property
    def steps(self) -> int:
        """Steps per episode."""
        return self.rewards.shape[1]

    @property
    def answers(self) -> int:
        """Answers per step."""
        return self.rewards.shape[2]

    @property
    def tokens(self) -> int:
        """Answer tokens that were sampled."""
        return int(self.action_mask.sum())

    def to(self, device: torch.device | str) -> Trajectories:
        """The same on another device."""
        moved: dict[str, Any] = {field.name: _to(getattr(self, field.name), device) for field in fields(self)}
        return Trajectories(**moved)

    def select(self, rows: Tensor | Sequence[int]) -> Trajectories:
        """Some episodes, with the padding that they need and no more."""
        index = torch.as_tensor(rows, dtype=torch.long, device=self.rewards.device)
        chosen: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                value = value[:, index] if field.name == "start" else value[index]
            elif field.name in ("terms", "metrics"):
                value = {name: term[index] for name, term in value.items()}
            elif field.name in ("seeds", "asks", "columns") and value:
                value = tuple(value[row] for row in index.tolist())
            chosen[field.name] = value
        return Trajectories(**_trim(chosen))


def concatenate(parts: Sequence[Trajectories]) -> Trajectories:
    """Batches of episodes one after the other, padded to the longest.

    Raises:
        ValueError: when there are none, or they differ in steps, answers, start memory, warm-up or terms.
    """
    if not parts:
        raise ValueError("no trajectories to concatenate")
    first = parts[0]
    if len({_signature(part) for part in parts}) > 1:
        raise ValueError("trajectories differ in steps, answers, start memory, warm-up, reward terms or modes")
    joined: dict[str, Any] = {}
    for field in fields(Trajectories):
        values = [getattr(part, field.name) for part in parts]
        if field.name in ("terms", "metrics"):
            joined[field.name] = {name: torch.cat([value[name] for value in values]) for name in values[0]}
        elif field.name == "start":
            joined[field.name] = None if first.start is None else torch.cat(values, dim=1)
        elif isinstance(values[0], Tensor):
            joined[field.name] = torch.cat(_padded(values) if field.name.endswith(_PER_TOKEN) else values)
        elif field.name in ("seeds", "asks", "columns", "states"):
            joined[field.name] = tuple(item for value in values for item in value)
        else:
            joined[field.name] = values[0]
    return Trajectories(**joined)


_PER_TOKEN = ("_ids", "_mask", "log_probs")


def stack_steps(rows: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Ids and masks of consecutive steps, each ``(E, ..., T_n)``, as ``(E, N, ..., T)``."""
    return pad_steps([ids for ids, _ in rows]), pad_steps([mask for _, mask in rows])


def pad_steps(rows: Sequence[Tensor]) -> Tensor:
    """Values of consecutive steps, each ``(E, ..., T_n)``, as ``(E, N, ..., T)`` with zeros at the right."""
    return torch.stack(_padded(list(rows)), dim=1)


def _signature(part: Trajectories) -> tuple[object, ...]:
    terms = (tuple(part.terms), tuple(part.metrics))
    return part.steps, part.answers, part.start is None, part.warmup, terms, part.mode


def _padded(values: Sequence[Tensor]) -> list[Tensor]:
    width = max(value.shape[-1] for value in values)
    return [pad(value, (0, width - value.shape[-1])) for value in values]


def _trim(chosen: dict[str, Any]) -> dict[str, Any]:
    for name in ("written", "query", "action", "reference"):
        mask = chosen[f"{name}_mask"]
        width = max(int(mask.sum(-1).max()) if mask.numel() else 0, 1)
        for field in (f"{name}_ids", f"{name}_mask", *(("log_probs",) if name == "action" else ())):
            chosen[field] = chosen[field][..., :width]
    return chosen


def _to(value: object, device: torch.device | str) -> object:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: item.to(device) for name, item in value.items()}
    return value
