"""The numbers of an update's episodes: for the log."""

from __future__ import annotations

import torch
from torch import Tensor

from .answers import first_of_alike
from .trajectories import Trajectories


def rollout_metrics(batch: Trajectories, seconds: float) -> dict[str, float]:
    """What the log says about the episodes of an update."""
    known = batch.rewards[batch.valid]
    lengths = batch.action_mask.sum(-1).float()
    metrics = {
        "reward_mean": known.mean().item() if known.numel() else float("nan"),
        "reward_std": known.std().item() if known.numel() > 1 else 0.0,
        "reward_first_step": _mean(batch.rewards[:, 0][batch.valid[:, 0]]),
        "reward_last_step": _mean(batch.rewards[:, -1][batch.valid[:, -1]]),
        "valid": batch.valid.float().mean().item(),
        **group_metrics(batch),
        "answer_tokens": lengths.mean().item(),
        "rollout_seconds": seconds,
        "tokens_per_second": batch.tokens / max(seconds, 1e-9),
    }
    if batch.failed is not None and batch.failed.any():
        metrics["unknown"] = batch.failed.float().mean().item()
    for kind, scores in (("term", batch.terms), ("metric", batch.metrics)):
        metrics |= {f"{kind}/{name}": score.nanmean().item() for name, score in scores.items()}
    return metrics


def group_metrics(batch: Trajectories) -> dict[str, float]:
    """Of the answers from one memory: how many differ, and the share of groups whose rewards are all alike."""
    if batch.answers == 1:
        return {}
    first = first_of_alike(batch)
    distinct = (first == torch.arange(batch.answers, device=first.device)).float().sum(-1)
    known = torch.where(batch.valid, batch.rewards, torch.nan)
    low = torch.where(batch.valid, known, torch.inf).amin(-1)
    high = torch.where(batch.valid, known, -torch.inf).amax(-1)
    return {"distinct_answers": distinct.mean().item(), "dead_groups": (high <= low).float().mean().item()}


def gradient_norms(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Norm of the gradient of each component, before clipping."""
    squares: dict[str, Tensor] = {}
    for group in optimizer.param_groups:
        gradients = [parameter.grad for parameter in group["params"] if parameter.grad is not None]
        if gradients:
            norms = torch.stack(torch._foreach_norm(gradients))
            squares[group["component"]] = squares.get(group["component"], 0.0) + norms.square().sum()
    return {f"grad_norm/{component}": square.sqrt().item() for component, square in squares.items()}


def _mean(values: Tensor) -> float:
    return values.mean().item() if values.numel() else float("nan")
