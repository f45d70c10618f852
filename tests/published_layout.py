"""Data sets as they lie on the Hub, made by the storyworld: what the recipes of the published sizes read."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset

from rxt_mrl.dialogues.schema import to_dataset
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues, pairs, plain_stories

CONFIGS = ("steps-2", "steps-4", "steps-6", "steps-8", "steps-8-lr", "steps-12", "steps-16")
LONG_RANGE = ("steps-8-lr", "steps-12", "steps-16")
COUNTS = {"train": 24, "validation": 6}
EASY = StoryworldConfig(level="easy")


def write_published(root: Path) -> None:
    """``OWNER/NAME/CONFIG/SPLIT-00000-of-00001.parquet`` under a folder: from inside it the names of the Hub work."""
    for config in CONFIGS:
        strategy = "long_range" if config in LONG_RANGE else "multi_step"
        world = StoryworldConfig(level="easy", steps=int(config.split("-")[1]), strategy=strategy)
        for split, count in COUNTS.items():
            rows = to_dataset(dialogues(world, count, split), asks=False)
            _write(rows, root / "ReactiveAI" / "TinyStories-MRL" / config, split)
    for split, count in COUNTS.items():
        texts = Dataset.from_dict({"text": plain_stories(EASY, count, split)})
        _write(texts, root / "roneneldan" / "TinyStories" / "data", split)
        queries, answers = zip(*pairs(EASY, count, split), strict=True)
        told = Dataset.from_dict({"query": queries, "answer": answers})
        _write(told, root / "ReactiveAI" / "TinyStories-Plus-Interaction-SFT" / "data", split)


def _write(rows: Dataset, folder: Path, split: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))
