"""RXT.md section 4: one memory update of 32 x 256 tokens; and the cost of a turn over 64 turns."""

from __future__ import annotations

import statistics
import time

import torch
from arithmetic import update_flops
from harness import Bench, Row, Section, workload

from rxt_mrl.dialogues.template import join
from rxt_mrl.model import RxT, preset
from rxt_mrl.model.generation import generate
from rxt_mrl.model.sampling import SamplingConfig

BATCH, TOKENS, VALID = 32, 256, 64
FULL_BAR_MS, VALID_BAR_MS = 656 / 1.2, 638 / 2.5
TURNS, PROMPT, NEW = 64, 32, 32


@workload("memory")
def memory_update(bench: Bench) -> Section:
    """Encoder and memory attention, all tokens valid, and 64 of 256 valid."""
    torch.manual_seed(0)
    model = RxT(preset("alpha-micro")).eval()
    config = model.config
    ids = torch.randint(7, config.vocab_size, (BATCH, TOKENS))
    memory = torch.randn(config.num_layers, BATCH, config.slots, config.embed_dim)
    figures: dict[str, float] = {}
    rows = []
    for name, valid, bar in (("full", TOKENS, FULL_BAR_MS), (f"valid{VALID}", VALID, VALID_BAR_MS)):
        mask = (torch.arange(TOKENS) < valid).expand(BATCH, -1)

        def run(mask: torch.Tensor = mask) -> None:
            with torch.inference_mode():
                model.write(memory, ids, mask)

        figures[name] = 1000 * bench.seconds(run)
        limit = 1000 * bench.arithmetic_seconds(update_flops(config, BATCH, valid))
        label = f"memory update 32 x 256, {valid} valid"
        rows.append(Row(label, figures[name], "ms", bar=bar, lower_is_better=True, limit=limit))
    note = "published ms at ~100 GFLOP/s: RxNN 656 full, 638 with 64 valid; RxLM 703"
    return Section({"memory_update_ms": figures}, rows, note)


@workload("turns")
def turns(bench: Bench) -> Section:
    """A turn is an answer and a memory update of one conversation; its cost must not grow."""
    torch.manual_seed(0)
    model = RxT(preset("alpha-micro")).eval()
    config = model.config
    sampling = SamplingConfig(max_new_tokens=NEW)
    passes = 1 if bench.quick else 5
    times: list[list[float]] = []
    for repeat in range(passes + 1):
        memory = torch.randn(config.num_layers, 1, config.slots, config.embed_dim)
        seconds = []
        for turn in range(TURNS if repeat else 4):  # the first pass is not counted
            ids = torch.randint(7, config.vocab_size, (1, PROMPT))
            mask = torch.ones_like(ids, dtype=torch.bool)
            start = time.process_time()
            answer = generate(model, ids, mask, memory, sampling, seeds=[turn], eos_id=None)
            interaction = join(ids, mask, answer.ids, answer.mask)
            with torch.no_grad():
                memory = model.write(memory, interaction.ids, interaction.mask)
            seconds.append(time.process_time() - start)
        if repeat:
            times.append(seconds)
    by_turn = [1000 * statistics.median(column) for column in zip(*times, strict=True)]
    quarter = TURNS // 4
    first, last = statistics.median(by_turn[:quarter]), statistics.median(by_turn[-quarter:])
    rows = [Row(f"turn {turn}", by_turn[turn - 1], "ms", lower_is_better=True) for turn in (1, 2, 4, 8, 16, 32, 64)]
    rows.append(Row("last 16 turns / first 16", last / first, "ratio", bar=1.1, lower_is_better=True))
    return Section({"turn_ms": by_turn}, rows, f"batch 1, {PROMPT}-token query, {NEW}-token answer, memory update")
