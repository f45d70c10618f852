"""Published checkpoints: RxNN 0.2 and RxLM 0.3 configurations and weights as ours."""

from __future__ import annotations

from .convert import ConversionReport, convert_published

__all__ = ["ConversionReport", "convert_published"]
