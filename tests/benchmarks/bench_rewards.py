"""Time of our BLEU against NLTK's, on one CPU thread, over batch sizes and lengths.

Run: ``OMP_NUM_THREADS=1 python tests/benchmarks/bench_rewards.py [--json FILE]``
Each time is the best of several repeats, in seconds of processor time (so that a busy machine does not count); both
sides start from what they are given in training: padded id tensors.
"""

from __future__ import annotations

import argparse
import json
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from rxt_mrl.rewards.bleu import token_bleu

WEIGHTS = (0.25, 0.25, 0.25, 0.25)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
VOCABULARY = 8192


def batch(rows: int, width: int, *, overlap: float = 0.6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random answers and references that share about ``overlap`` of their tokens; ids, references, mask."""
    generator = torch.Generator().manual_seed(rows * 1000 + width)
    reference = torch.randint(7, VOCABULARY, (rows, width), generator=generator)
    other = torch.randint(7, VOCABULARY, (rows, width), generator=generator)
    keep = torch.rand(rows, width, generator=generator) < overlap
    return torch.where(keep, reference, other), reference, torch.ones(rows, width, dtype=torch.bool)


def nltk_bleu(ids: torch.Tensor, references: torch.Tensor, mask: torch.Tensor) -> list[float]:
    """What a trainer with NLTK does: lists of ids, one call a row."""
    smooth = SmoothingFunction().method4
    lengths = mask.sum(1).tolist()
    return [
        sentence_bleu([reference[:n]], row[:n], weights=WEIGHTS, smoothing_function=smooth)
        for row, reference, n in zip(ids.tolist(), references.tolist(), lengths, strict=True)
    ]


def best(function: Callable[[], Any], seconds: float) -> float:
    """Best time of one call, in milliseconds."""
    function()
    once = timeit.timeit(function, timer=time.process_time, number=1)
    number = max(1, int(0.02 / max(once, 1e-7)))
    repeats = max(3, min(20, int(seconds / max(once * number, 1e-7))))
    return 1e3 * min(timeit.repeat(function, timer=time.process_time, number=number, repeat=repeats)) / number


def compare(rows: int, width: int, seconds: float = 0.3) -> dict[str, float]:
    """Times in milliseconds, their ratio and the largest difference of the scores."""
    ids, references, mask = batch(rows, width)
    ours = token_bleu((ids, mask), [(references, mask)], WEIGHTS)
    difference = (ours - torch.tensor(nltk_bleu(ids, references, mask), dtype=torch.float64)).abs().max().item()
    slow = best(lambda: nltk_bleu(ids, references, mask), seconds)
    fast = best(lambda: token_bleu((ids, mask), [(references, mask)], WEIGHTS), seconds)
    return {"rows": rows, "tokens": width, "nltk_ms": slow, "ours_ms": fast, "ratio": slow / fast, "diff": difference}


def main() -> None:
    """Print the table; write it as JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tokens", type=int, nargs="*", default=[8, 32, 128])
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    print(f"{'rows':>5} {'tokens':>6} {'NLTK ms':>9} {'ours ms':>9} {'ratio':>7} {'max diff':>9}")
    for width in args.tokens:
        for rows in BATCHES:
            row = compare(rows, width)
            results.append(row)
            print(
                f"{rows:5} {width:6} {row['nltk_ms']:9.3f} {row['ours_ms']:9.3f} {row['ratio']:7.1f} {row['diff']:9.1e}"
            )
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
