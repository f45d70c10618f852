"""Reports: the results of evaluations as one page, as tables for papers, as pictures and as transcripts."""

from __future__ import annotations
