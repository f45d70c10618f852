"""Evaluation: what a model remembers, for how long, with controls that show that it is the memory."""

from __future__ import annotations

from .config import Control, EvaluationSettings
from .intervals import Gain, Share, paired_gain, share_with_interval
from .perplexity import TokenMetrics, token_metrics
from .plots import plot_retention, plot_stages
from .report import joined, retention_table, write_retention
from .retention import Retention, evaluate, fixed_embedding

__all__ = [
    "Control",
    "EvaluationSettings",
    "Gain",
    "Retention",
    "Share",
    "TokenMetrics",
    "evaluate",
    "fixed_embedding",
    "joined",
    "paired_gain",
    "plot_retention",
    "plot_stages",
    "retention_table",
    "share_with_interval",
    "token_metrics",
    "write_retention",
]
