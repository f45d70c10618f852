"""Learning curves: accuracy and loss of training and held-out data against updates and tokens, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .held_out import PREFIX

_KINDS = (("accuracy", "next token", "#1f6fb4"), ("mlm_accuracy", "masked token", "#c8632b"))
_LOSSES = (("loss", "next token", "#1f6fb4"), ("mlm_loss", "masked token", "#c8632b"))


def held_out_line(measured: Mapping[str, float]) -> str:
    """What was measured on held-out data in a line.

    >>> held_out_line({"mlm_loss": 2.0, "mlm_accuracy": 0.5, "mlm_ppl": 7.389, "update": 300})
    'masked tokens: accuracy 50.0 %, PPL 7.39 (weights of update 300)'
    """
    said = [
        f"{kind} tokens: accuracy {100 * measured[f'{prefix}accuracy']:.1f} %, PPL {measured[f'{prefix}ppl']:.2f}"
        for prefix, kind in (("", "next"), ("mlm_", "masked"))
        if f"{prefix}accuracy" in measured
    ]
    said = said or [f"loss {measured['loss']:.4f}"]
    return f"{', '.join(said)} (weights of update {measured['update']:.0f})"


def plot_learning(lines: Sequence[Mapping[str, Any]], path: Path, title: str) -> Path:
    """Accuracy (where the stage has one) and loss against updates, tokens at the upper edge.

    Args:
        lines: what a stage logged (``metrics.jsonl``); lines of looks have names that begin with ``held_out_``.
        path: of the PNG.
        title: the stage.
    """
    from matplotlib.figure import Figure

    panels = [
        (label, kinds)
        for label, kinds in (("accuracy, %", _KINDS), ("loss, nats per token", _LOSSES))
        if any(PREFIX + name in line for line in lines for name, _, _ in kinds)
    ]
    figure = Figure(figsize=(5.2 * len(panels), 3.8), layout="constrained")
    for axes, (label, kinds) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        scale = 100 if label.startswith("accuracy") else 1
        for name, said, color in kinds:
            for key, style, width, of in ((name, ":", 1.0, "trained"), (PREFIX + name, "-", 1.8, "held out")):
                points = [(line["step"], scale * line[key]) for line in lines if line.get(key) is not None]
                if points:
                    axes.plot(*zip(*points, strict=True), style, color=color, linewidth=width, label=f"{said}, {of}")
        axes.set_xlabel("updates")
        axes.set_ylabel(label)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
        last = max(lines, key=lambda line: line["step"])
        if last.get("tokens") and last["step"]:
            rate = last["tokens"] / last["step"] / 1e6
            upper = axes.secondary_xaxis("top", functions=(lambda x, r=rate: x * r, lambda x, r=rate: x / r))
            upper.set_xlabel("million tokens")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
