"""An environment: small talk first, then other topics."""

from __future__ import annotations

from rxt_mrl.envs import MemoryRetentionVectorEnv

from rxt_mrl.contracts import Mode


class PoliteRetention(MemoryRetentionVectorEnv):
    """Memory retention whose steps after the first ask to leave the topic."""

    def mode(self, step: int) -> Mode:
        """``topic_switch`` after small talk."""
        return "standard" if step == 1 else "topic_switch"
