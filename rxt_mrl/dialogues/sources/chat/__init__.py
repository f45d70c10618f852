"""Other people's conversations: how files hold them, and the dialogues that they make."""

from __future__ import annotations

from .layouts import detect
from .options import ChatOptions
from .records import dialogue_records, pair_records

__all__ = ["ChatOptions", "detect", "dialogue_records", "pair_records"]
