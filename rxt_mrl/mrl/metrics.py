"""The numbers of an update's episodes: for the log and the progress bar."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

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
        "answer_tokens": lengths.mean().item(),
        "rollout_seconds": seconds,
        "tokens_per_second": batch.tokens / max(seconds, 1e-9),
    }
    for kind, scores in (("term", batch.terms), ("metric", batch.metrics)):
        metrics |= {f"{kind}/{name}": score.nanmean().item() for name, score in scores.items()}
    return metrics


def _mean(values: Tensor) -> float:
    return values.mean().item() if values.numel() else float("nan")


def note(metrics: Mapping[str, float]) -> str:
    """What the progress bar says."""
    parts = [f"reward {metrics['reward_mean']:.3f}"]
    if "approx_kl_last" in metrics:
        parts.append(f"kl {metrics['approx_kl_last']:.4f}")
    return "  ".join(parts)
