"""RXT.md section 4: exactly 64 tokens after a 32-token prompt, configuration (d), batch 1, 8 and 32, float32."""

from __future__ import annotations

import torch
from arithmetic import generation_flops, step_bytes
from harness import Bench, Row, Section, workload

from rxt_mrl.model import RxT, preset
from rxt_mrl.model.generation import generate
from rxt_mrl.model.sampling import SamplingConfig

PROMPT, NEW = 32, 64
BARS = {1: 250.0, 8: None, 32: 2500.0}
PUBLISHED = {1: (42, 125), 8: (111, 449), 32: (126, 814)}
"""Tokens/s of RxNN 0.2.171 and RxLM 0.3.93 at about 100 GFLOP/s."""


@workload("generation")
def generation(bench: Bench) -> Section:
    """Sampled at temperature 1 with log-probabilities, as a rollout does."""
    torch.manual_seed(0)
    model = RxT(preset("alpha-micro")).eval()
    config = model.config
    sampling = SamplingConfig(max_new_tokens=NEW)
    figures: dict[str, float] = {}
    best: dict[str, float] = {}
    memory_limit: dict[str, float] = {}
    rows = []
    for batch, bar in BARS.items():
        ids = torch.randint(7, config.vocab_size, (batch, PROMPT))
        mask = torch.ones_like(ids, dtype=torch.bool)
        memory = torch.randn(config.num_layers, batch, config.slots, config.embed_dim)

        def run(ids: torch.Tensor = ids, mask: torch.Tensor = mask, memory: torch.Tensor = memory) -> None:
            answer = generate(model, ids, mask, memory, sampling, seeds=range(len(ids)), eos_id=None)
            assert answer.mask.sum() == NEW * len(ids)

        shortest, median = bench.best_and_median(run)
        tokens_per_s = batch * NEW / median
        best[str(batch)] = batch * NEW / shortest
        memory_limit[str(batch)] = batch * bench.copy_gbs * 1e9 / step_bytes(config, batch)
        limit = batch * NEW / bench.arithmetic_seconds(generation_flops(config, batch, PROMPT, NEW))
        figures[str(batch)] = tokens_per_s
        rows.append(Row(f"generation, batch {batch}", tokens_per_s, "tokens/s", bar=bar, limit=limit))
    published = "; ".join(f"batch {batch}: RxNN {old}, RxLM {new}" for batch, (old, new) in PUBLISHED.items())
    limits = ", ".join(f"{limit:,.0f} at batch {batch}" for batch, limit in memory_limit.items())
    note = f"published tokens/s at ~100 GFLOP/s: {published}. Reading weights and memory keys alone allows {limits}"
    data = {
        "generation_tokens_per_s": figures,
        "generation_tokens_per_s_best": best,
        "generation_memory_limit_tokens_per_s": memory_limit,
    }
    return Section(data, rows, note)
