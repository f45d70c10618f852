"""What a GPU does, in ten minutes: ``python tests/benchmarks/gpu.py [--device cuda] [--small] [--compile]``.

For alpha-micro and alpha-supervised, from random weights: whether it computes what the CPU does, generated tokens/s,
the time of an MRL update, and its share of what products in bfloat16 alone would allow. Exit status 1: results differ.
Without a GPU, or with ``--small``, both models are a few layers of 32 dimensions, which takes seconds (CI runs that).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from arithmetic import decoding_flops, update_flops
from bench_mrl import ANSWER, QUERY, SAMPLING, random_trajectories
from rich.console import Console
from rich.table import Table

from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT, RxTConfig, generate, preset
from rxt_mrl.model.device import Precision, computing
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.mrl.answers import answers_of
from rxt_mrl.mrl.config import AlgorithmSettings
from rxt_mrl.mrl.curriculum import policy_optimizer
from rxt_mrl.mrl.learner import Learner
from rxt_mrl.mrl.replay import replay
from rxt_mrl.mrl.trajectories import Trajectories

MODELS = ("alpha-micro", "alpha-supervised")
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
STEPS, ANSWERS = 4, 4
LOG_PROB = {"float32": 1e-3, "bfloat16": 0.05}
"""Largest allowed mean difference of a token's log-probability from the CPU's in float32."""
SAME_TOKENS = 0.98
"""Least share of sampled tokens that are the CPU's (float32); a draw may lie on the edge between two of them."""


@dataclass(frozen=True)
class Size:
    """How much is computed."""

    batches: tuple[int, ...]
    """Rows that generate together."""
    new: int
    """Tokens that each generates."""
    episodes: int
    """Of an MRL update."""
    repeats: int
    changes: dict[str, Any]
    """Of the presets."""


FULL = Size((1, 32, 256), 64, 64, 5, {})
PARTS = {"feed_forward": {"hidden": 32}}
SMALL = Size(
    (1, 4), 6, 2, 2,
    {"embed_dim": 32, "num_layers": 2, "slots": 8, "heads": 8, "vocab_size": 300, "encoder": PARTS, "decoder": PARTS},
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Entry point; 1 when results differ from the CPU's."""
    parser = argparse.ArgumentParser(description="rxt-mrl on a GPU: correctness, tokens/s, update time.")
    parser.add_argument("--device", help="cuda, cuda:1, mps, cpu (default: a GPU, if there is one)")
    parser.add_argument("--small", action="store_true", help="tiny models, in seconds")
    parser.add_argument("--compile", action="store_true", help="time an update with torch.compile, too")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="JSON file to write")
    options = parser.parse_args(arguments)
    device = torch.device(options.device or (torch.accelerator.current_accelerator() or "cpu"))
    size = SMALL if options.small or device.type == "cpu" else FULL
    limit = bfloat16_tflops(device, 4096 if size is FULL else 256)
    report: dict[str, Any] = {"device": name_of(device), "torch": torch.__version__, "bfloat16_tflops": limit}
    for name in MODELS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        torch.manual_seed(0)
        model = RxT(preset(name, **size.changes)).eval()
        batch = random_trajectories(model.config, size.episodes, STEPS)
        report[name] = {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "correct": compare(model, batch, device),
            **measure(model.to(device), batch, size, limit, compiled=options.compile),
        }
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    show(report)
    print(f"written: {options.out}")
    return 0 if all(check["passed"] for name in MODELS for check in report[name]["correct"].values()) else 1


# --- correctness -----------------------------------------------------------------------------------------------------


def compare(model: RxT, batch: Trajectories, device: torch.device) -> dict[str, dict[str, Any]]:
    """The device in each precision against the CPU in float32: log-probabilities, gradients, sampled tokens."""
    few = batch.select(range(min(4, len(batch))))
    expected, gradient, tokens = computed(model, few, torch.device("cpu"), "float32")
    found: dict[str, dict[str, Any]] = {}
    for precision in PRECISIONS:
        log_probs, other, said = computed(model, few, device, precision)
        apart = (log_probs - expected).abs()
        same = float((said == tokens).float().mean())
        passed = float(apart.mean()) <= LOG_PROB[precision] and (precision != "float32" or same >= SAME_TOKENS)
        found[precision] = {
            "log_prob_mean_difference": float(apart.mean()),
            "log_prob_largest_difference": float(apart.max()),
            "gradient_cosine": float(torch.cosine_similarity(other, gradient, dim=0)),
            "same_tokens": same,
            "passed": passed,
        }
    model.cpu()
    return found


def computed(
    model: RxT, batch: Trajectories, device: torch.device, precision: Precision
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probabilities of the answers, the gradient of their mean by the embedding, and tokens sampled at the end."""
    model.to(device).zero_grad()
    batch = batch.to(device)
    answers = answers_of(batch, torch.ones_like(batch.rewards), drop=False)
    seen = replay(model, batch, answers, SAMPLING, precision=precision)
    seen.log_probs.mean().backward()
    gradient = model.embedding.weight.grad
    assert gradient is not None
    with torch.no_grad(), computing(precision, device):
        query, mask = batch.query_ids[:, -1], batch.query_mask[:, -1]
        said = generate(
            model, query, mask, seen.memories[-1].detach(), SAMPLING, seeds=range(len(batch)), eos_id=None
        )  # fmt: skip
    return seen.log_probs.detach().cpu(), gradient.flatten().cpu(), said.ids.cpu()


# --- speed -----------------------------------------------------------------------------------------------------------


def measure(model: RxT, batch: Trajectories, size: Size, limit: float, *, compiled: bool) -> dict[str, Any]:
    """Tokens/s by precision and batch, and seconds of an update with its share of the limit."""
    config, device = model.config, model.device
    generation = {
        precision: {str(rows): tokens_per_second(model, rows, size, precision) for rows in size.batches}
        for precision in PRECISIONS
    }
    flops = learning_flops(config, size.episodes)
    updates: dict[str, Any] = {}
    ways: list[tuple[str, Precision, bool]] = [(precision, precision, False) for precision in PRECISIONS]
    if compiled:
        ways += [(f"{precision}, compiled", precision, True) for precision in PRECISIONS]
    for name, precision, compiles in ways:
        before = {key: value.clone() for key, value in model.state_dict().items()}
        if compiles:
            try:
                model.compile_parts()
            except UserError as error:
                updates[name] = {"error": str(error)}
                continue
        first, seconds = update_seconds(model, batch.to(device), precision, size.repeats)
        updates[name] = {"first": first, "seconds": seconds, "share_of_bfloat16_limit": flops / seconds / limit / 1e12}
        model.load_state_dict(before)
    return {"generation_tokens_per_s": generation, "update_tflop": flops / 1e12, "update": updates}


def tokens_per_second(model: RxT, rows: int, size: Size, precision: Precision) -> float:
    """Sampled tokens of ``rows`` answers of equal length, in a second."""
    config, device = model.config, model.device
    ids = torch.randint(7, config.vocab_size, (rows, QUERY), device=device)
    mask = torch.ones_like(ids, dtype=torch.bool)
    memory = torch.randn(config.num_layers, rows, config.slots, config.embed_dim, device=device)
    sampling = SamplingConfig(max_new_tokens=size.new)

    def run() -> None:
        with torch.no_grad(), computing(precision, device):
            generate(model, ids, mask, memory, sampling, seeds=range(rows), eos_id=None)

    run()
    return rows * size.new / statistics.median(wall(run, device) for _ in range(size.repeats))


def update_seconds(model: RxT, batch: Trajectories, precision: Precision, repeats: int) -> tuple[float, float]:
    """Wall seconds of the first update, with whatever it compiles, and the median of the others."""
    settings = AlgorithmSettings(epochs=1, minibatches=1, precision=precision, objective={"target_kl": None})
    learner = Learner(model, policy_optimizer(model, settings.optimizer), None, SAMPLING)
    times = [
        wall(lambda number=number: learner.update(batch, settings, key=(number,)), model.device)
        for number in range(repeats + 1)
    ]
    return times[0], statistics.median(times[1:])


def learning_flops(config: RxTConfig, episodes: int) -> float:
    """Of an update: forward, and twice that backward. The formula for memory writes is that of ``interlayer``."""
    writes = episodes * STEPS
    writing = update_flops(config, writes, QUERY + ANSWER)
    return 3 * (writing + decoding_flops(config, writes * ANSWERS, QUERY + ANSWER, writes, ANSWER))


def bfloat16_tflops(device: torch.device, side: int) -> float:
    """TFLOP/s of a product of square matrices."""
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    times = [wall(lambda: a @ a, device) for _ in range(20)]
    return 2 * side**3 / min(times) / 1e12


def wall(run: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has done it."""
    wait = nullcontext if device.type == "cpu" else torch.accelerator.synchronize
    wait()
    start = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - start


# --- report ----------------------------------------------------------------------------------------------------------


def name_of(device: torch.device) -> str:
    """The device in words."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def show(report: dict[str, Any]) -> None:
    """Print the report as a table."""
    table = Table(
        title=f"{report['device']}, torch {report['torch']}: {report['bfloat16_tflops']:.1f} TFLOP/s bfloat16"
    )
    for column in ("model", "what", "figure"):
        table.add_column(column)
    for name in MODELS:
        found = report[name]
        for precision, check in found["correct"].items():
            said = (
                f"{'same' if check['passed'] else 'DIFFERENT'}: log-probabilities "
                f"{check['log_prob_mean_difference']:.2g} apart, gradient cosine {check['gradient_cosine']:.4f}, "
                f"same tokens {check['same_tokens']:.0%}"
            )
            table.add_row(name, f"CPU against {precision}", said)
        for precision, rows in found["generation_tokens_per_s"].items():
            figures = ", ".join(f"{value:,.0f} at batch {count}" for count, value in rows.items())
            table.add_row(name, f"tokens/s, {precision}", figures)
        for how, update in found["update"].items():
            figure = update.get("error") or (
                f"{update['seconds']:.3f} s ({update['share_of_bfloat16_limit']:.1%} of the bfloat16 limit), "
                f"the first {update['first']:.1f} s"
            )
            table.add_row(name, f"update, {how}", figure)
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
