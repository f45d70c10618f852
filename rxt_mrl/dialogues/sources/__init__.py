"""Sources: where dialogues, pairs and texts come from, and every row checked."""

from __future__ import annotations

from .load import load_dialogues, load_pairs, load_texts
from .settings import DataSettings

__all__ = ["DataSettings", "load_dialogues", "load_pairs", "load_texts"]
