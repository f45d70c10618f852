"""The critic of stage 5: what reward the memory promises, before the answer is given.

It reads what the reward is about, the memory after the write and the query, so it can tell a question whose answer
is in memory from one whose answer was lost. (The published critic reads the last interaction and the query as text,
and never sees the first interaction that a long-range reward is about.) It learns on detached features: a wrong value
estimate must not bend the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from rxt_mrl import seeding
from rxt_mrl.model import RxT
from rxt_mrl.model.scan import memory_rows

from .config import CriticSettings
from .trajectories import Trajectories


@dataclass(frozen=True)
class Features:
    """What the critic sees; rows are ``e * steps + n``.

    Attributes:
        memory: ``(rows, layers * slots, dim)`` after the write, each slot normalized: mean 0, variance 1.
        query: ``(rows, dim)``, mean of the encoder's last layer over the query.
        horizon: ``(rows,)``, discounted number of the rewards still to come, this one included.
    """

    memory: Tensor
    query: Tensor
    horizon: Tensor

    def select(self, rows: Tensor) -> Features:
        """Some rows."""
        return Features(self.memory[rows], self.query[rows], self.horizon[rows])


class MemoryCritic(nn.Module):
    """Attend from the query to the memory slots, then a small network: the mean reward to expect per step to come.

    The slots are many and the query is one: what would be done to each slot (scale of the norm, keys, values) is done
    to the query before it meets them, and to the two averages that are taken of them.

    Args:
        dim: embedding size of the model.
        hidden: size of the two hidden layers.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.memory_norm = nn.LayerNorm(dim)
        self.query_norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, hidden)
        self.key = nn.Linear(dim, hidden)
        self.value = nn.Linear(dim, hidden)
        self.head = nn.Sequential(
            nn.Linear(2 * hidden + dim, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1)
        )

    def forward(self, features: Features) -> Tensor:
        """Values ``(rows,)``: the discounted sum of the rewards to come."""
        norm, slots, query = self.memory_norm, features.memory, self.query_norm(features.query)
        # Biases of norm and keys would shift the scores of all slots alike.
        point = (self.query(query) @ self.key.weight) * norm.weight * self.key.out_features**-0.5
        weights = torch.bmm(slots, point.unsqueeze(-1)).squeeze(-1).softmax(-1)
        averages = torch.stack([weights, torch.full_like(weights, 1 / weights.shape[1])], 1)
        found, mean = self.value(torch.bmm(averages, slots) * norm.weight + norm.bias).unbind(1)
        return self.head(torch.cat([found, mean, query], -1)).squeeze(-1) * features.horizon


@torch.no_grad()
def featurise(model: RxT, batch: Trajectories, memories: Tensor, gamma: float) -> Features:
    """Detached features of every step.

    Args:
        model: whose encoder reads the queries.
        batch: the episodes.
        memories: ``(N + 1, layers, E, slots, dim)`` of these episodes.
        gamma: discount per step, for the horizon.
    """
    read = memory_rows(memories[1:])
    width = batch.query_ids.shape[-1]
    ids, mask = batch.query_ids.reshape(-1, width), batch.query_mask.reshape(-1, width)
    hidden = model.encode(ids, mask, read if model.encoder.reads_memory else None)[-1]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    query = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
    left = torch.arange(batch.steps, 0, -1, device=ids.device)
    horizon = torch.stack([(gamma ** torch.arange(int(n), device=ids.device)).sum() for n in left])
    slots = layer_norm(read.float(), read.shape[-1:]).transpose(0, 1).flatten(1, 2)
    return Features(slots, query.float(), horizon.repeat(len(batch)).float())


class CriticTrainer:
    """The critic with its optimizer.

    Args:
        dim: embedding size of the model.
        settings: sizes and learning rate.
        seed: of the weights and of the order of the rows.
        device: where it lives.
    """

    def __init__(self, dim: int, settings: CriticSettings, seed: int, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeding.key(seed, "critic"))
            self.critic = MemoryCritic(dim, settings.hidden).to(device)
        self.settings = settings
        self.optimizer = torch.optim.AdamW(
            self.critic.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )

    @torch.no_grad()
    def values(self, features: Features, shape: tuple[int, int]) -> Tensor:
        """Values ``(episodes, steps)``."""
        return self.critic(features).view(shape)

    def fit(self, features: Features, targets: Tensor, valid: Tensor, key: tuple[int | str, ...]) -> float:
        """Several passes of squared error per step to come; returns the mean loss of the last pass, 0 of nothing.

        Args:
            features: of all steps.
            targets: ``(episodes, steps)``, discounted sums of rewards.
            valid: bool ``(episodes, steps)``; steps with an unknown reward are left out.
            key: fixes the order of the rows.
        """
        rows = valid.flatten().nonzero().squeeze(-1)
        if not len(rows):
            return 0.0
        flat = targets.flatten()
        total = 0.0
        for epoch in range(self.settings.epochs):
            order = torch.randperm(len(rows), generator=seeding.torch_generator(*key, "critic", epoch))
            chunks = rows[order.to(rows.device)].split(max(1, -(-len(rows) // 4)))
            losses = []
            for chunk in chunks:
                part = features.select(chunk)
                loss = ((self.critic(part) - flat[chunk]) / part.horizon).pow(2).mean()
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(self.critic.parameters(), self.settings.max_grad_norm, error_if_nonfinite=True)
                self.optimizer.step()
                losses.append(loss.item() * len(chunk))
            total = sum(losses) / max(len(rows), 1)
        return total


def explained_variance(values: Tensor, targets: Tensor, valid: Tensor) -> float:
    """1 - Var(targets - values) / Var(targets) over valid steps; 0 when the targets do not vary."""
    kept, known = values[valid], targets[valid]
    variance = known.var(unbiased=False) if known.numel() else torch.zeros(())
    if variance < 1e-12:
        return 0.0
    return (1 - (known - kept).var(unbiased=False) / variance).item()
