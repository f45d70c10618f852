"""``rxt-mrl baseline``: train the stateless peer of a recipe's model, on the same dialogues, with TRL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import set_seed

from ..errors import UserError
from ..runs import write_json
from . import provenance
from .pair import Pair, pair_of

FILE = "baseline.json"
"""What is known of a peer, beside its weights."""
MOST_TURNS = 64
"""Turns of the longest chat that is measured."""


def baseline_of(
    target: str,
    *,
    out: Path | None = None,
    peer: Path | None = None,
    steps: Sequence[int] | None = None,
    episodes: int | None = None,
    assignments: Sequence[str] = (),
    console: Console,
) -> Path:
    """Train the stateless peer of a run or recipe, and compare it with the run's model.

    Args:
        target: a run directory, or a recipe by name or file.
        out: folder for the peer.
        peer: one that is trained already, in place of training one.
        steps: follow-ups of the dialogues that the two are compared on; None: as many as the recipe evaluates.
        episodes: held-out dialogues of each; None: as the recipe says.
        assignments: ``--set`` changes of the recipe.
        console: where to print.

    Returns:
        The peer's folder.

    Raises:
        UserError: as :func:`train_baseline`; or there is nothing to compare with.
    """
    pair = pair_of(target, assignments)
    if pair.checkpoint is None and (steps or peer):
        raise UserError(f"{target}: a recipe has no trained model to compare with; give a run")
    if peer is not None and out is not None:
        raise UserError("--out is for a peer that is trained, and --peer names one that is there")
    folder = peer or train_baseline(pair, out=out, console=console)
    if pair.checkpoint is None:
        console.print(f"model      {folder}", highlight=False, soft_wrap=True)
        return folder
    from .peers import compare_with_peer

    lengths = steps or [pair.data.recipe.held_out_steps]
    compare_with_peer(
        pair, folder, steps=lengths, episodes=episodes or pair.recipe.evaluation.episodes or 300, console=console
    )
    return folder


def train_baseline(pair: Pair, *, out: Path | None = None, console: Console) -> Path:
    """Train the stateless peer of a run's or a recipe's model and save it as a Hugging Face model with a chat template.

    Args:
        pair: the model that the peer is made for.
        out: an empty or new folder; None: ``runs/<name>-baseline-seed<seed>-<time>``.
        console: where to print.

    Returns:
        The folder, which ``rxt-mrl evaluate hf:FOLDER`` takes.

    Raises:
        UserError: for data, settings or folders that do not fit, in one line.
    """
    from ..baseline.model import causal_lm, chat_tokenizer
    from ..baseline.train import fine_tune, reinforce  # TRL takes seconds to import

    recipe, settings = pair.recipe, pair.recipe.baseline
    if not settings.sft.updates and not settings.grpo.updates:
        raise UserError("baseline: trains nothing; give baseline.sft.updates or baseline.grpo.updates")
    out = out or Path("runs") / f"{recipe.name}-baseline-seed{recipe.seed}-{datetime.now():%Y%m%d-%H%M%S}"
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: give a new or empty directory")
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    steps = settings.steps or pair.data.recipe.most_steps
    dialogues = pair.data.dialogues("train", steps, settings.dialogues or recipe.data.supervised_dialogues)
    if not all(turn.answer for dialogue in dialogues for turn in dialogue.turns):
        raise UserError("baseline: the dialogues have no reference answers (references: false)")
    # the longest chat of the evaluation is far longer than any dialogue of the training
    positions = recipe.tokens * (1 + max(MOST_TURNS, steps))
    set_seed(recipe.seed)
    peer = causal_lm(pair.config, pair.parameters, pair.data.tokenizer, positions=positions, layers=settings.layers)
    tokenizer = chat_tokenizer(pair.data.tokenizer, positions=positions)
    console.print(
        f"stateless peer: {peer.num_parameters():,} parameters in {peer.config.num_hidden_layers} layers "
        f"(RxT: {pair.parameters:,}); {len(dialogues)} dialogues of {steps} steps",
        highlight=False,
    )
    out.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = {
        "parameters": peer.num_parameters(),
        "rxt_parameters": pair.parameters,
        "steps": steps,
        "dialogues": len(dialogues),
        "settings": settings.model_dump(mode="json"),
        "seed": recipe.seed,
        "made_by": {**provenance.versions(), "git": provenance.git_state()},
    }
    for name, updates in (("sft", settings.sft.updates), ("grpo", settings.grpo.updates)):
        if not updates:
            continue
        started = time.monotonic()
        if name == "sft":
            log = fine_tune(
                peer, tokenizer, dialogues, settings.sft, folder=out, device=recipe.device, seed=recipe.seed
            )
        else:
            if recipe.reward is None:
                raise UserError("reward = None: the baseline's grpo needs one")
            log = reinforce(
                peer, tokenizer, dialogues, settings.grpo, recipe.reward, codec=pair.data.tokenizer,
                most_tokens=recipe.limits.answer, folder=out, device=recipe.device, seed=recipe.seed,
            )  # fmt: skip
        known[name] = {"seconds": round(time.monotonic() - started, 1), "log": log}
        console.print(
            f"{name}: {updates} updates in {known[name]['seconds']:.0f} s{_last(log)}", highlight=False, soft_wrap=True
        )
        peer.save_pretrained(out)
        tokenizer.save_pretrained(out)
        write_json(out / FILE, known)
    return out


def _last(log: Sequence[dict[str, Any]]) -> str:
    """The last share of right tokens that a trainer logged, which a peer that only guesses has at 90 % already."""
    found = [line["mean_token_accuracy"] for line in log if "mean_token_accuracy" in line]
    return f", {100 * found[-1]:.1f} % of the tokens right" if found else ""
