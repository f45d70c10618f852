"""Data sets as they lie on the Hub, made by the storyworld, and a folder of bAbI files: what the recipes read."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset

from rxt_mrl.dialogues.schema import to_dataset
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues, pairs, plain_stories

CONFIGS = ("steps-2", "steps-4", "steps-6", "steps-8", "steps-8-lr", "steps-12", "steps-16")
LONG_RANGE = ("steps-8-lr", "steps-12", "steps-16")
COUNTS = {"train": 24, "validation": 6}
EASY = StoryworldConfig(level="easy")
FOLK, ROOMS = ("Mary", "John", "Sandra", "Daniel"), ("kitchen", "garden", "office")


def write_published(root: Path) -> None:
    """``OWNER/NAME/CONFIG/SPLIT-00000-of-00001.parquet`` under a folder: from inside it the names of the Hub work.

    ``tasks`` has the files of bAbI's first task.
    """
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
    write_babi(root / "tasks")


def write_babi(folder: Path) -> None:
    """``qa1_train.txt`` and ``qa1_valid.txt``: stories of five moves, each with the question where that person is."""
    folder.mkdir()
    for split, count in {"train": 12, "valid": 4}.items():
        lines = []
        for story in range(count):
            for move in range(5):
                who, where = FOLK[(story + move) % 4], ROOMS[(story + 2 * move) % 3]
                lines += [
                    f"{2 * move + 1} {who} went to the {where}.",
                    f"{2 * move + 2} Where is {who}?\t{where}\t{2 * move + 1}",
                ]
        (folder / f"qa1_{split}.txt").write_text("\n".join(lines) + "\n")


def _write(rows: Dataset, folder: Path, split: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))
