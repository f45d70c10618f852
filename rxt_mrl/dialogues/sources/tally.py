"""What became of the turns of conversations: read, joined or dropped, and why; the sum is what the data holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """What became of turns: ``in_data`` is always the sum of the others.

    Attributes:
        read: turns that are a query or an answer.
        joined: turns that were joined to one of these.
        dropped: turns that were left out, by reason.
        parts: what was left out inside of turns (pictures), by kind.
    """

    read: int = 0
    joined: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)

    @property
    def in_data(self) -> int:
        """All turns."""
        return self.read + self.joined + self.dropped.total()

    def add(self, other: Tally) -> None:
        """Count the turns of another tally too."""
        self.read += other.read
        self.joined += other.joined
        self.dropped += other.dropped
        self.parts += other.parts

    def drop(self, read: int, joined: int, reason: str) -> None:
        """Turns that were counted as read or joined are left out after all."""
        self.read -= read
        self.joined -= joined
        self.dropped[reason] += read + joined

    def drop_all(self, reason: str) -> None:
        """All that was read is left out after all."""
        self.drop(self.read, self.joined, reason)

    def lines(self) -> list[str]:
        """The counts as lines of text."""
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(self.dropped.items()))
        out = [
            f"  turns: {self.in_data} in the data = {self.read} read + {self.joined} joined + "
            f"{self.dropped.total()} dropped" + (f" ({why})" if why else "")
        ]
        if self.parts:
            parts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.parts.items()))
            out.append(f"  left out inside of turns: {parts}")
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "in_data": self.in_data, "read": self.read, "joined": self.joined, "dropped": self.dropped.total(),
            "reasons": dict(sorted(self.dropped.items())), "parts": dict(sorted(self.parts.items())),
        }  # fmt: skip
