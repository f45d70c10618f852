"""RXT.md section 4: one memory update of 32 x 256 tokens; and the cost of a turn over 64 turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from arithmetic import attention_flops, update_flops
from harness import Bench, Row, Section, workload
from torch.nn import functional as F

from rxt_mrl.dialogues.template import join
from rxt_mrl.model import RxT, RxTConfig, preset
from rxt_mrl.model.generation import generate
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.texts import Tokens

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
    attention: dict[str, float] = {}
    bound: dict[str, float] = {}
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
        attention[name] = 1000 * bench.seconds(attention_calls(config, valid))
        products = update_flops(config, BATCH, valid) - attention_flops(config, BATCH, valid)
        bound[name] = attention[name] + 1000 * bench.arithmetic_seconds(products)
        rows.append(Row("  its attention calls alone", attention[name], "ms", lower_is_better=True))
        rows.append(Row("  and its matrix products at sgemm's speed", bound[name], "ms", lower_is_better=True))
    note = (
        "published ms at ~100 GFLOP/s: RxNN 656 full, 638 with 64 valid; RxLM 703. The bound: attention with heads of "
        "dimension 16 reaches less than half of sgemm's speed"
    )
    data = {"memory_update_ms": figures, "memory_update_attention_ms": attention, "memory_update_bound_ms": bound}
    return Section(data, rows, note)


def attention_calls(config: RxTConfig, tokens: int) -> Callable[[], None]:
    """The calls of ``scaled_dot_product_attention`` of an update, eight rows at a time, on random numbers."""
    section = config.memory_attention
    assert section is not None
    heads, _ = section.attention.head_counts(config.heads)
    dim, layers, rows = config.embed_dim // config.heads, config.num_layers, 8

    def head(length: int) -> torch.Tensor:
        return torch.randn(layers * rows, heads, length, dim)

    slots, words = head(config.slots), head(tokens)

    def run() -> None:
        with torch.inference_mode():
            for _ in range(BATCH // rows):
                for queries, keys in ((words, words), (slots, slots), (slots, words)):
                    F.scaled_dot_product_attention(queries, keys, keys)

    return run


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
            interaction = join(Tokens(ids, mask), Tokens(answer.ids, answer.mask))
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
