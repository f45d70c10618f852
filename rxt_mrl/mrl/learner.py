"""One update: advantages of the answers, then some epochs of the objective over minibatches of whole episodes.

Departs from the published trainer (RXT 3.6): one optimizer step per minibatch of whole episodes with gradient through
all their writes (published: one per step, memory detached), every collected episode is used, answers that teach nothing
are left out, the epochs end when the policy has moved far enough, and negative advantages may be scaled down.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from rxt_mrl import seeding
from rxt_mrl.model import RxT, eval_mode
from rxt_mrl.model.device import Precision, computing
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.model.scan import flow
from rxt_mrl.runs.guards import check_finite, check_gradients
from rxt_mrl.runs.ranks import add_gradients

from . import objectives
from .advantages import (
    answers_gae,
    leave_one_out,
    relative_to_group,
    relative_to_mean,
    reward_minus_value,
    shape_advantages,
)
from .answers import Answers, answers_of
from .config import AlgorithmSettings
from .critic import CriticTrainer, Features, explained_variance, featurise
from .metrics import gradient_norms
from .replay import Replay, replay, spread, supervised_loss, write_all
from .sharing import over_all, share_of
from .trajectories import Trajectories

_PASS = 512
"""Episodes x steps that are looked at together where no gradient is needed."""

_COMPARISONS = {"rloo": leave_one_out, "group": relative_to_group, "maxrl": relative_to_mean}


class Learner:
    """Improves a model on episodes that it played.

    Args:
        model: the policy, changed in place; updates run in eval mode (no dropout).
        optimizer: of the policy; rates are set by the caller.
        critic: needed by the advantages that use one.
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
        key: tuple[int | str, ...],
        critic_only: bool = False,
        reference: RxT | None = None,
    ) -> dict[str, float]:
        """One update of critic and policy.

        Args:
            batch: the episodes.
            settings: the algorithm of this stage.
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
            advantages, metrics = self._advantages(batch, settings, key)
            check_finite({"advantages": advantages})
            if not critic_only:
                metrics |= self._policy(batch, advantages, reference, settings, key)
        return metrics | {"update_seconds": time.perf_counter() - started}

    # --- advantages ----------------------------------------------------------------------------------------------

    def _advantages(
        self, batch: Trajectories, settings: AlgorithmSettings, key: tuple[int | str, ...]
    ) -> tuple[Tensor, dict[str, float]]:
        how = settings.advantage
        metrics: dict[str, float] = {}
        if how.uses_critic:
            if self.critic is None:
                raise ValueError(f"the {how.kind} advantage needs a critic")
            gamma = how.gamma if how.kind == "gae" else 0.0
            with computing(settings.precision, self.model.device):
                features = self._features(batch, gamma)
            values = self.critic.values(features, (len(batch), batch.steps))
            check_finite({"critic values": values})
            raw, targets = answers_gae(batch.rewards, values, batch.valid, batch.carried, gamma, how.lam)
            if how.kind == "published":
                raw = reward_minus_value(batch.rewards, values, batch.valid)
            known = batch.valid.any(-1)
            metrics["critic_loss"] = self.critic.fit(features, targets, known, key)
            metrics["explained_variance"] = explained_variance(values, targets, known)
            metrics["value_mean"] = values.mean().item()
        else:
            raw = _COMPARISONS[how.kind](batch.rewards, batch.valid)
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

    # --- policy --------------------------------------------------------------------------------------------------

    def _policy(
        self,
        batch: Trajectories,
        advantages: Tensor,
        reference: RxT | None,
        settings: AlgorithmSettings,
        key: tuple[int | str, ...],
    ) -> dict[str, float]:
        how = settings.objective
        trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        # Where a penalty looks at every answer, or every dialogue has something to teach, none is left out.
        drop = how.kind == "ppo" and not how.entropy and not how.supervised and reference is None
        whole = how.kind == "impo" or how.entropy > 0
        through = flow(settings.truncate_scan, settings.bound_scan)
        collected: list[dict[str, float]] = []
        first, moved = {"log_ratio_before": 0.0, "log_ratio_mean": 0.0}, 0.0
        stopped = False
        for epoch in range(settings.epochs if trained else 0):
            order = torch.randperm(len(batch), generator=seeding.torch_generator(*key, "minibatches", epoch))
            for rows in order.tensor_split(settings.minibatches):
                part, answers = _to_learn_from(batch, advantages, rows, drop)
                if not len(answers):
                    continue
                share = share_of(part, answers)
                part, answers, tokens = share.part, share.answers, float(share.answers.mask.sum())
                seen = replay(self.model, part, answers, self.sampling, through, whole, settings.precision)
                gap = {"moved": objectives.k3(answers.log_probs, seen.log_probs.detach(), answers.mask).item()}
                apart = (seen.log_probs.detach() - answers.log_probs).abs()
                gap["log_ratio_before"] = apart.max().item()
                gap["log_ratio_mean"] = objectives.masked_mean(apart, answers.mask).item()
                gap = over_all(gap, tokens)
                moved = gap["moved"]
                if not collected:
                    first = {name: gap[name] for name in first}
                if collected and how.target_kl is not None and moved > how.target_kl:
                    stopped = True
                    break
                anchor = None
                if reference is not None:
                    anchor = _anchor(reference, part, answers, self.sampling, settings.precision)
                loss, metrics = self._loss(part, answers, seen, anchor, settings, share.fraction)
                norms = self._step(loss * share.scale, seen, trained, settings)
                metrics = over_all(metrics, tokens, share.scale)
                collected.append({**metrics, **norms, "approx_kl": moved, "answers_learnt": float(len(answers))})
            if stopped:
                break
        means = (
            {name: sum(one[name] for one in collected) / len(collected) for name in collected[0]} if collected else {}
        )
        return means | {
            **first,
            "approx_kl_last": moved,
            "optimizer_steps": float(len(collected)),
            "stopped_by_kl": float(stopped),
        }

    def _loss(
        self,
        part: Trajectories,
        answers: Answers,
        seen: Replay,
        anchor: Tensor | None,
        settings: AlgorithmSettings,
        fraction: float,
    ) -> tuple[Tensor, dict[str, float]]:
        how, mask = settings.objective, answers.learnt
        weights = objectives.Weights(answers.counts, answers.total_tokens, answers.total_answers)
        if how.kind == "impo":
            loss, parts = _impo(part, answers, seen, settings)
            loss = loss * fraction
        else:
            loss = objectives.clipped_surrogate(
                seen.log_probs, answers.log_probs, answers.advantages, mask, how.clip, how.mean, weights
            )
            parts = {"surrogate": loss}
        parts["entropy"] = objectives.masked_mean(seen.entropy, mask, how.mean)
        if how.entropy and how.kind == "ppo":
            loss = loss - how.entropy * objectives.masked_mean(seen.entropy, mask, how.mean, weights)
        if anchor is not None:
            parts["reference_kl"] = objectives.k3(seen.log_probs, anchor, mask, how.mean, weights)
            loss = loss + how.reference_kl * parts["reference_kl"]
        if how.memory_change:
            parts["memory_change"] = (seen.memories[1:] - seen.memories[:-1]).square().mean()
            loss = loss + how.memory_change * parts["memory_change"]
        if seen.router_loss is not None:
            parts["router_loss"] = seen.router_loss * fraction
            loss = loss + how.router * parts["router_loss"]
        if how.supervised:
            with computing(settings.precision, self.model.device):
                parts["supervised_loss"] = supervised_loss(self.model, part, seen.memories) * fraction
            loss = loss + how.supervised * parts["supervised_loss"]
        parts["loss"] = loss
        with torch.no_grad():
            difference = torch.where(mask, seen.log_probs - answers.log_probs, torch.zeros_like(seen.log_probs))
            ratio = difference.exp()
            parts["ratio_mean"] = objectives.masked_mean(ratio, mask)
            parts["ratio_max"] = ratio.max()
            parts["clip_fraction"] = objectives.clip_fraction(seen.log_probs, answers.log_probs, mask, how.clip)
            parts["memory_norm"] = seen.memories[-1].norm(dim=-1).mean()
            parts["memory_step"] = (seen.memories[1:] - seen.memories[:-1]).norm(dim=-1).mean()
        return loss, {name: value.item() for name, value in parts.items()}

    def _step(
        self, loss: Tensor, seen: Replay, trained: list[tuple[str, nn.Parameter]], settings: AlgorithmSettings
    ) -> dict[str, float]:
        if not bool(loss.isfinite()):
            check_finite({"memory": seen.memories, "log_probs": seen.log_probs, "loss": loss})
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        add_gradients([p for _, p in trained])
        norms = gradient_norms(self.optimizer)
        norm = nn.utils.clip_grad_norm_([p for _, p in trained], settings.optimizer.max_grad_norm)
        try:
            check_gradients(norm, trained)
        except Exception:
            self.optimizer.zero_grad(set_to_none=True)
            raise
        self.optimizer.step()
        return {"grad_norm": norm.item(), **norms}


def _to_learn_from(batch: Trajectories, advantages: Tensor, rows: Tensor, drop: bool) -> tuple[Trajectories, Answers]:
    """The episodes of a minibatch with their answers; episodes that are left without any are not replayed."""
    part = batch.select(rows)
    answers = answers_of(part, advantages[rows], drop=drop)
    used, episode = answers.episode.unique(return_inverse=True)
    if len(used) < len(part):
        part, answers = part.select(used), replace(answers, episode=episode)
    return part, answers


@torch.no_grad()
def _anchor(
    reference: RxT, part: Trajectories, answers: Answers, sampling: SamplingConfig, precision: Precision
) -> Tensor:
    """Log-probabilities ``(M, T)`` of the answers under the reference model, with its own memory."""
    return replay(reference, part, answers, sampling, precision=precision).log_probs


def _impo(
    part: Trajectories, answers: Answers, seen: Replay, settings: AlgorithmSettings
) -> tuple[Tensor, dict[str, Tensor]]:
    """The published objective, averaged over the steps of the episodes; one answer per step, none left out."""
    how = settings.objective
    shape = (len(part), part.steps)
    assert seen.distribution is not None
    distribution = spread(seen.distribution, answers.mask)
    # Past the end of an answer the published distribution is uniform.
    uniform = -math.log(distribution.shape[-1])
    distribution = torch.where(answers.mask.unsqueeze(-1), distribution, uniform).unflatten(0, shape)
    log_probs, old, advantages, mask = (
        tensor.unflatten(0, shape) for tensor in (seen.log_probs, answers.log_probs, answers.advantages, answers.learnt)
    )
    losses: list[Tensor] = []
    collected: list[Mapping[str, Tensor]] = []
    for step in range(part.steps):
        loss, parts = objectives.impo(
            distribution[:, step],
            log_probs[:, step],
            old[:, step],
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
