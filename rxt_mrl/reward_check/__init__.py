"""Adversarial checks of rewards: the bundled answers and the report."""

from .cases import GOOD, KINDS, Kind
from .check import CheckReport, KindScore, check_reward

__all__ = ["GOOD", "KINDS", "CheckReport", "Kind", "KindScore", "check_reward"]
