"""``rxt-mrl recipe check``: load everything that a recipe names, and print what the run would do."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ..dialogues.batching import DialogueTensors
from ..dialogues.statistics import Limits, describe
from ..display import busy, say, table
from ..runs.trackers import check_trackers
from ..supervised.batches import DialoguesBySteps
from ..supervised.config import STAGE_SETTINGS, MemoryAwareSettings, StageSettings
from .data import RunData
from .fits import check_memory, check_workers, device_of
from .recipe import Recipe
from .start import initial_head, initial_model, load_head


def check_recipe(recipe: Recipe, console: Console) -> Table:
    """Check a recipe against its data and plug-ins, and print the plan.

    Every source is loaded and encoded, so a missing data set, a bad row, too short dialogues or too long texts are
    found here. Tokens are what a stage encodes or decodes, padding left out.

    Raises:
        UserError: for the first thing that does not fit.
    """
    device = device_of(recipe.device)
    check_workers(recipe)
    check_trackers(recipe.report_to)
    with busy("reading the data and training the tokenizer"):
        data = RunData(recipe)
    model = initial_model(recipe, data.tokenizer)  # what `train` would refuse about it
    size = check_memory(recipe, model.config, device)
    with busy("checking data, rewards and environment"):
        data.check()
    if (head := initial_head(recipe)) is not None:
        load_head(head, model.config)
    plan = table(
        "stage", "data", "follow-ups", "dialogues", "updates", "tokens", title=f"{recipe.name}: what it does", text=3
    )
    for name in STAGE_SETTINGS:
        settings: StageSettings | None = getattr(recipe.supervised, name)
        if settings is None or settings.updates == 0:
            continue
        rows = data.supervised(name)
        updates = settings.updates_on(len(rows))
        source = {"joint": recipe.data.text, "interaction": recipe.data.pairs}.get(name) or recipe.data.default
        steps = settings.max_steps if isinstance(settings, MemoryAwareSettings) else None
        cells = (name, source, "-" if steps is None else str(steps), str(len(rows)), str(updates))
        if isinstance(rows, DialoguesBySteps):
            rows = rows.at(None)
        if isinstance(rows, DialogueTensors):
            per_row = (
                _tokens(rows, steps)
                if name in ("memory_attention", "memory_aware")
                else _tokens(rows) / (1 + rows.steps)
            )
            tokens = f"{updates * settings.batch_size * settings.accumulate * per_row:,.0f}"
        else:
            tokens = "-"
        plan.add_row(*cells, tokens)
    for number, stage in enumerate(recipe.curriculum):
        label = f"mrl {number + 1}" + (f" ({recipe.control})" if recipe.control != "none" else "")
        for (origin, length), share in stage.parts.items():
            rows = data.mrl(origin, length)
            planned = stage.updates * share
            plan.add_row(
                label,
                origin or recipe.data.default,
                f"{length} {stage.strategy or rows.strategy}",
                str(len(rows)),
                ("" if stage.promotion.rule == "fixed" else "at most ") + f"{planned:.0f}",
                f"{planned * _tokens(rows, length) * recipe.rollout.episodes:,.0f}",
            )
    for source in recipe.evaluation_sources:
        held_out = data.held_out(source)
        plan.add_row("evaluation", source, f"{held_out.steps} {held_out.strategy}", str(len(held_out)), "-", "-")
    console.print(plan)
    limits = Limits(query=recipe.limits.query, answer=recipe.limits.answer)
    for source in recipe.evaluation_sources:
        lengths = describe(data.held_out_dialogues(source), data.tokenizer, limits).table()
        lengths.title = f"{lengths.title}, held-out dialogues of {source}"
        console.print(lengths)
    say(console, f"on {device}: {size}")
    parameters = "" if recipe.model.checkpoint else f", model {recipe.model.preset}"
    console.print(f"{recipe.name} is fine: {len(recipe.curriculum)} MRL stages{parameters}", highlight=False)
    return plan


def _tokens(rows: DialogueTensors, steps: int | None = None) -> float:
    """Mean tokens of a dialogue, its first interaction and ``steps`` follow-ups."""
    turns = 1 + (rows.steps if steps is None else steps)
    return float((rows.query.mask[:, :turns].sum() + rows.answer.mask[:, :turns].sum()) / len(rows))
