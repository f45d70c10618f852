"""BLEU of a batch against NLTK's, from the same padded id tensors, over batch sizes and lengths."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from harness import Bench, Row, Section, workload
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from rxt_mrl.rewards.bleu import token_bleu

WEIGHTS = (0.25, 0.25, 0.25, 0.25)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
LENGTHS = (8, 32, 128)
VOCABULARY = 8192
MIN_RATIO, RATIO_64X128 = 1.0, 5.0


@workload("bleu")
def bleu(bench: Bench) -> Section:
    """Milliseconds of NLTK and of ours, their ratio, and the largest difference of the scores."""
    table: list[dict[str, float]] = []
    for tokens in LENGTHS:
        for rows in BATCHES[::3] if bench.quick else BATCHES:
            ids, references, mask = batch(rows, tokens)

            def ours(
                ids: torch.Tensor = ids, refs: torch.Tensor = references, mask: torch.Tensor = mask
            ) -> torch.Tensor:
                return token_bleu((ids, mask), [(refs, mask)], WEIGHTS)

            def theirs(
                ids: torch.Tensor = ids, refs: torch.Tensor = references, mask: torch.Tensor = mask
            ) -> list[float]:
                return nltk_bleu(ids, refs, mask)

            difference = (ours() - torch.tensor(theirs(), dtype=torch.float64)).abs().max().item()
            slow, fast = milliseconds(theirs, bench.repeats), milliseconds(ours, 2 * bench.repeats)
            table.append(
                {"rows": rows, "tokens": tokens, "nltk": slow, "ours": fast, "ratio": slow / fast, "diff": difference}
            )
    worst = min(table, key=lambda line: line["ratio"])
    named = [line for line in table if line["rows"] == 64 and line["tokens"] == 128]
    rows_ = [Row("BLEU, least times NLTK's speed at any batch", worst["ratio"], "x", bar=MIN_RATIO)]
    rows_ += [Row("BLEU, 64 x 128 tokens", line["ratio"], "x NLTK", bar=RATIO_64X128) for line in named]
    rows_ += [Row("BLEU, 64 x 128 tokens", line["ours"], "ms", lower_is_better=True) for line in named]
    note = f"slowest against NLTK: {worst['rows']} x {worst['tokens']} tokens; largest difference "
    return Section({"bleu_ms": table}, rows_, note + f"{max(line['diff'] for line in table):.0e}")


def batch(rows: int, width: int, overlap: float = 0.6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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


def milliseconds(function: Callable[[], object], repeats: int) -> float:
    """Best CPU time of one call; short calls are timed many at a time."""
    start = time.process_time()
    function()
    number = max(1, int(0.01 / max(time.process_time() - start, 1e-6)))
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(number):
            function()
        best = min(best, (time.process_time() - start) / number)
    return 1000 * best
