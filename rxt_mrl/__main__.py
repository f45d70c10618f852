"""``python -m rxt_mrl`` is ``rxt-mrl``."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
