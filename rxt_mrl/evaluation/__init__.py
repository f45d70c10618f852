"""Evaluation: what a model remembers, for how long, with controls that show that it is the memory."""

from __future__ import annotations

from .config import Control, EvaluationSettings
from .intervals import Gain, Mean, Share, mean_with_interval, paired_gain, share_with_interval
from .plots import plot_retention, plot_stages
from .report import joined, retention_table, write_retention
from .retention import Retention, evaluate, fixed_embedding
from .subjects.known import KnownSubject
from .subjects.protocol import Subject
from .subjects.rxt import RxTSubject

__all__ = [
    "Control",
    "EvaluationSettings",
    "Gain",
    "KnownSubject",
    "Mean",
    "Retention",
    "RxTSubject",
    "Share",
    "Subject",
    "evaluate",
    "fixed_embedding",
    "joined",
    "mean_with_interval",
    "paired_gain",
    "plot_retention",
    "plot_stages",
    "retention_table",
    "share_with_interval",
    "write_retention",
]
