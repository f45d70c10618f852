"""One update: advantages of the episodes, then some epochs of the objective over minibatches of whole episodes.

Departs from the published trainer (RXT 3.6): one optimizer step per minibatch of whole episodes with gradient through
all their writes (published: one per step, memory detached), every collected episode is used, the epochs end when the
policy has moved far enough, and negative advantages may be scaled down.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rxt_mrl import seeding
from rxt_mrl.model import RxT, eval_mode
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.runs.guards import check_finite, check_gradients

from . import objectives
from .advantages import gae, leave_one_out, shape_advantages
from .config import AlgorithmSettings
from .critic import CriticTrainer, Features, explained_variance, featurise
from .replay import Replay, replay, spread, supervised_loss, write_all
from .trajectories import Trajectories

_PASS = 512
"""Episodes x steps that are looked at together where no gradient is needed."""


class Learner:
    """Improves a model on episodes that it played.

    Args:
        model: the policy, changed in place; updates run in eval mode (no dropout).
        optimizer: of the policy; rates are set by the caller.
        critic: needed by the ``gae`` advantage.
        sampling: how the answers were drawn.
    """

    def __init__(
        self, model: RxT, optimizer: torch.optim.AdamW, critic: CriticTrainer | None, sampling: SamplingConfig
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.critic = critic
        self.sampling = sampling

    def update(
        self,
        batch: Trajectories,
        settings: AlgorithmSettings,
        *,
        group: int,
        key: tuple[int | str, ...],
        critic_only: bool = False,
        reference: RxT | None = None,
    ) -> dict[str, float]:
        """One update of critic and policy.

        Args:
            batch: the episodes, rolled out with the present weights.
            settings: the algorithm of this stage.
            group: samples of each dialogue that stand next to each other.
            key: fixes the order of minibatches.
            critic_only: leave the policy as it is.
            reference: frozen model for the KL penalty; None: no penalty.

        Returns:
            Metrics.

        Raises:
            NotFiniteError: before the optimizer step that would have used such a value.
        """
        started = time.perf_counter()
        check_finite({"rewards": batch.rewards, "behaviour log_probs": batch.log_probs, "start memory": batch.start})
        batch = batch.to(self.model.device)
        with eval_mode(self.model):
            advantages, metrics = self._advantages(batch, settings, group, key)
            check_finite({"advantages": advantages})
            if not critic_only:
                anchors = None if reference is None else self._anchors(reference, batch)
                metrics |= self._policy(batch, advantages, anchors, settings, key)
        return metrics | {"update_seconds": time.perf_counter() - started}

    # --- advantages ----------------------------------------------------------------------------------------------

    def _advantages(
        self, batch: Trajectories, settings: AlgorithmSettings, group: int, key: tuple[int | str, ...]
    ) -> tuple[Tensor, dict[str, float]]:
        how = settings.advantage
        metrics: dict[str, float] = {}
        if how.kind == "rloo":
            raw = leave_one_out(batch.rewards, batch.valid, group, how.gamma)
        else:
            if self.critic is None:
                raise ValueError("the gae advantage needs a critic")
            features = self._features(batch, how.gamma)
            values = self.critic.values(features, (len(batch), batch.steps))
            check_finite({"critic values": values})
            raw = gae(batch.rewards, values, batch.valid, how.gamma, how.lam)
            targets = raw + values
            metrics["critic_loss"] = self.critic.fit(features, targets, batch.valid, key)
            metrics["explained_variance"] = explained_variance(values, targets, batch.valid)
            metrics["value_mean"] = values.mean().item()
        known = raw[batch.valid]
        if known.numel() > 1:
            metrics |= {"advantage_mean": known.mean().item(), "advantage_std": known.std().item()}
        return shape_advantages(raw, batch.valid, how), metrics

    @torch.no_grad()
    def _features(self, batch: Trajectories, gamma: float) -> Features:
        parts = []
        for rows in _chunks(len(batch), batch.steps):
            part = batch.select(rows)
            parts.append(featurise(self.model, part, write_all(self.model, part), gamma))
        names = ("memory", "query", "horizon")
        return Features(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    @torch.no_grad()
    def _anchors(self, reference: RxT, batch: Trajectories) -> Tensor:
        """Log-probabilities ``(E, N, T)`` of the answers under the reference model, with its own memory."""
        out = torch.zeros_like(batch.log_probs)
        for rows in _chunks(len(batch), batch.steps):
            seen = replay(reference, batch.select(rows), self.sampling).log_probs
            out[rows, :, : seen.shape[-1]] = seen
        return out

    # --- policy --------------------------------------------------------------------------------------------------

    def _policy(
        self,
        batch: Trajectories,
        advantages: Tensor,
        anchors: Tensor | None,
        settings: AlgorithmSettings,
        key: tuple[int | str, ...],
    ) -> dict[str, float]:
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        if not trained:
            return {"optimizer_steps": 0.0}
        collected: list[dict[str, float]] = []
        first_ratio = 0.0
        stopped = False
        for epoch in range(settings.epochs):
            order = torch.randperm(len(batch), generator=seeding.torch_generator(*key, "minibatches", epoch))
            for rows in order.tensor_split(settings.minibatches):
                part = batch.select(rows)
                anchor = None if anchors is None else anchors[rows, :, : part.log_probs.shape[-1]]
                seen = replay(self.model, part, self.sampling, settings.truncate_scan)
                if not collected:
                    first_ratio = (seen.log_probs - part.log_probs).abs().max().item()
                moved = objectives.k3(part.log_probs, seen.log_probs.detach(), part.action_mask).item()
                target = settings.objective.target_kl
                if collected and target is not None and moved > target:
                    stopped = True
                    break
                loss, metrics = self._loss(part, seen, advantages[rows], anchor, settings)
                norm = self._step(loss, seen, trained, settings)
                collected.append({**metrics, "approx_kl": moved, "grad_norm": norm})
            if stopped:
                break
        means = {name: sum(one[name] for one in collected) / len(collected) for name in collected[0]}
        return means | {
            "log_ratio_before": first_ratio,
            "approx_kl_last": moved,
            "optimizer_steps": float(len(collected)),
            "stopped_by_kl": float(stopped),
        }

    def _loss(
        self,
        part: Trajectories,
        seen: Replay,
        advantages: Tensor,
        anchor: Tensor | None,
        settings: AlgorithmSettings,
    ) -> tuple[Tensor, dict[str, float]]:
        how = settings.objective
        mask = part.action_mask & part.valid.unsqueeze(-1)
        entropy = spread(objectives.entropy(seen.distribution), part.action_mask)
        bonus = objectives.masked_mean(entropy, mask, how.mean)
        if how.kind == "impo":
            loss, parts = _impo(part, seen, advantages, mask, settings)
        else:
            loss = objectives.clipped_surrogate(seen.log_probs, part.log_probs, advantages, mask, how.clip, how.mean)
            parts = {"surrogate": loss}
            loss = loss - how.entropy * bonus
        if anchor is not None:
            parts["reference_kl"] = objectives.k3(seen.log_probs, anchor, mask, how.mean)
            loss = loss + how.reference_kl * parts["reference_kl"]
        if seen.router_loss is not None:
            parts["router_loss"] = seen.router_loss
            loss = loss + how.router * seen.router_loss
        if how.supervised:
            parts["supervised_loss"] = supervised_loss(self.model, part, seen.memories)
            loss = loss + how.supervised * parts["supervised_loss"]
        parts |= {"entropy": bonus, "loss": loss}
        with torch.no_grad():
            ratio = torch.where(mask, seen.log_probs - part.log_probs, torch.zeros_like(seen.log_probs)).exp()
            parts["ratio_mean"] = objectives.masked_mean(ratio, mask)
            parts["ratio_max"] = ratio.max()
            parts["clip_fraction"] = objectives.clip_fraction(seen.log_probs, part.log_probs, mask, how.clip)
        return loss, {name: value.item() for name, value in parts.items()}

    def _step(
        self, loss: Tensor, seen: Replay, trained: list[tuple[str, nn.Parameter]], settings: AlgorithmSettings
    ) -> float:
        if not bool(loss.isfinite()):
            check_finite({"memory": seen.memories, "log_probs": seen.log_probs, "loss": loss})
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_([p for _, p in trained], settings.optimizer.max_grad_norm)
        try:
            check_gradients(norm, trained)
        except Exception:
            self.optimizer.zero_grad(set_to_none=True)
            raise
        self.optimizer.step()
        return norm.item()


def _impo(
    part: Trajectories, seen: Replay, advantages: Tensor, mask: Tensor, settings: AlgorithmSettings
) -> tuple[Tensor, dict[str, Tensor]]:
    """The published objective, averaged over the steps of the episodes."""
    how = settings.objective
    distribution = spread(seen.distribution, part.action_mask)
    # Past the end of an answer the published distribution is uniform.
    uniform = -math.log(distribution.shape[-1])
    distribution = torch.where(part.action_mask.unsqueeze(-1), distribution, uniform)
    losses: list[Tensor] = []
    collected: list[Mapping[str, Tensor]] = []
    for step in range(part.steps):
        loss, parts = objectives.impo(
            distribution[:, step],
            seen.log_probs[:, step],
            part.log_probs[:, step],
            advantages[:, step],
            mask[:, step],
            step=step,
            memory=seen.memories[step + 1],
            memory_before=seen.memories[step],
            previous=distribution[:, step - 1].detach() if step else None,
            clip=how.clip,
            entropy_weight=how.entropy,
            kl=how.impo.kl,
            memory_change=how.impo.memory_change,
            memory_cosine=how.impo.memory_cosine,
        )
        losses.append(loss)
        collected.append(parts)
    names: dict[str, Any] = {"surrogate": "surrogate", "memory_change": "memory_change", "kl": "step_kl"}
    means = {
        label: torch.stack([parts[name] for parts in collected if name in parts]).mean()
        for name, label in names.items()
        if any(name in parts for parts in collected)
    }
    return torch.stack(losses).mean(), means


def _chunks(episodes: int, steps: int) -> Iterator[range]:
    size = max(1, _PASS // max(steps, 1))
    return (range(first, min(first + size, episodes)) for first in range(0, episodes, size))
