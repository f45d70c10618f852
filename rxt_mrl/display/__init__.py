"""Display: progress, what is going on, and tables, in 80 columns, on a terminal or in a file."""

from __future__ import annotations

from .progress import Bar, Bars, busy, screen
from .tables import say, table

__all__ = ["Bar", "Bars", "busy", "say", "screen", "table"]
