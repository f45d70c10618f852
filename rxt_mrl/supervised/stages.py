"""Run one supervised stage: from a model and data to the trained model, resumable at any update."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

from safetensors.torch import load_model, save_model
from torch import nn
from transformers import TrainingArguments

from ..dialogues.batching import DialogueTensors
from ..dialogues.template import TokenRows
from ..dialogues.tokenizer import DialogueTokenizer
from ..display.trainer_bar import TrainerBar
from ..errors import UserError
from ..files import damaged, read_json, whole
from ..model import MLMHead, RxT
from ..runs import RunDir, ranks
from ..runs.guards import Interruption, interrupts_wait
from ..seeding import key
from .batches import (
    BatchData,
    BatchSampler,
    DialoguesBySteps,
    EndlessDialogues,
    StageData,
    data_lengths,
)
from .callbacks import MetricsLog, StageControl, shown
from .config import (
    STAGE_SETTINGS,
    InteractionSettings,
    JointSettings,
    MemoryAttentionSettings,
    MemoryAwareSettings,
    StageName,
    StageSettings,
)
from .held_out import HeldOutControl
from .joint import JointModel
from .memory_attention import MemoryAttentionModel
from .memory_aware import MemoryAwareModel
from .objectives import StageModel
from .rows import interaction_rows, text_rows
from .schedule import Budget
from .trainer import StageTrainer

_TRAINER_FOLDER = "trainer"
_HEAD_FILE = "mlm_head.safetensors"


def run_stage(
    name: StageName,
    model: RxT,
    tokenizer: DialogueTokenizer,
    data: StageData | Iterable[str],
    settings: StageSettings,
    run: RunDir | None = None,
    seed: int = 0,
    resume_from: Path | None = None,
    *,
    mlm_head: nn.Module | None = None,
    held_out: StageData | Iterable[str] | None = None,
    progress: bool = True,
) -> dict[str, float]:
    """Train ``model`` in place through one supervised stage.

    Args:
        name: ``joint``, ``interaction``, ``memory_attention`` or ``memory_aware``.
        model: an RxT, on the device that it is to be trained on.
        tokenizer: of the data.
        data: for the first two stages texts, :class:`TokenRows` or dialogues (each of their interactions is a row);
            for the other two dialogues.
        settings: of the stage: an instance of ``STAGE_SETTINGS[name]``.
        run: where checkpoints and metrics go; None: nowhere.
        seed: key of the order of the data, masks, noise and initial memories.
        resume_from: a checkpoint of this stage (see :func:`last_checkpoint`) to go on from.
        mlm_head: of stages 1 and 2; None: the one that the run's stage 1 left, in stage 2, or a new one.
        held_out: data of the same kind that is not trained on; needed by ``settings.evaluate``.
        progress: show a progress bar.

    Returns:
        The last logged means (``loss``, ``accuracy``, ``ppl``, ...), ``updates``, ``tokens`` and ``seconds``; with
        ``settings.evaluate`` also ``held_out_loss``, ``held_out_accuracy``, ... and ``held_out_update``, whose weights
        the model has.

    Raises:
        UserError: when name, settings and data do not go together.
        NotFiniteError: when a loss or gradient is NaN or infinite; the model is as it was before that update.
        KeyboardInterrupt: after Ctrl-C, when the checkpoint has been written.
    """
    _check(name, settings, data)
    if settings.updates == 0:
        return {"updates": 0.0, "seconds": 0.0}
    rows = _stage_data(name, data, tokenizer, model, settings)
    looks = None
    if settings.evaluate is not None:
        if held_out is None:
            raise UserError(f"stage {name}: evaluate needs held-out data, got none")
        looks = _stage_data(name, held_out, tokenizer, model, settings)
    stage_model = _stage_model(name, model, tokenizer, settings, mlm_head, run)
    stage_key = key(seed, "supervised", name)
    with tempfile.TemporaryDirectory() as scratch, interrupts_wait() as interruption:
        folder = Path(scratch) if run is None else run.checkpoint_dir(name) / _TRAINER_FOLDER
        was_training = model.training
        asked = {parameter: parameter.requires_grad for parameter in stage_model.parameters()}
        try:
            result = _train(
                name, stage_model, rows, looks, settings, run, stage_key, folder, resume_from, interruption, progress
            )
        finally:
            model.train(was_training)
            for parameter, wanted in asked.items():
                parameter.requires_grad_(wanted)
                parameter.grad = None
    ranks.wait()
    if run is not None and ranks.is_main():
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(stage_model, JointModel) and (stage_model.settings.objective != "ar" or mlm_head is not None):
            with whole(run.checkpoint_dir(name) / _HEAD_FILE) as part:
                save_model(stage_model.mlm_head, str(part))
    return result


def last_checkpoint(run: RunDir, name: StageName) -> Path | None:
    """The newest checkpoint inside a stage that did not come to its end, for ``resume_from``."""
    folder = run.path / "checkpoints" / name / _TRAINER_FOLDER
    # The state is the last file that is written: a folder without it is the half of a checkpoint.
    found = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json") if _is_whole(path)]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _is_whole(state: Path) -> bool:
    try:
        read_json(state)
    except UserError:  # half of it: the process was killed while it was written
        return False
    return True


def _check(name: StageName, settings: StageSettings, data: object) -> None:
    if name not in get_args(StageName):
        raise UserError(f"stage {name!r} does not exist, allowed: {', '.join(get_args(StageName))}")
    if type(settings) is not STAGE_SETTINGS[name]:
        raise UserError(f"stage {name}: needs {STAGE_SETTINGS[name].__name__}, got {type(settings).__name__}")
    dialogues = DialogueTensors | DialoguesBySteps | EndlessDialogues
    if name in ("memory_attention", "memory_aware") and not isinstance(data, dialogues):
        raise UserError(f"stage {name}: needs dialogues, got {type(data).__name__}")
    if isinstance(data, EndlessDialogues):
        if name in ("joint", "interaction"):
            raise UserError(f"stage {name}: needs texts or a set of dialogues, got an endless stream")
        if settings.updates is None:
            raise UserError(f"stage {name}: endless dialogues have no epochs, give updates")
        if data.chunk % settings.batch_size:
            raise UserError(
                f"stage {name}: chunks of {data.chunk} dialogues are no multiple of batch_size {settings.batch_size}"
            )


def _stage_data(
    name: StageName, data: StageData | Iterable[str], tokenizer: DialogueTokenizer, model: RxT, settings: StageSettings
) -> StageData:
    if isinstance(data, DialogueTensors) and name in ("joint", "interaction"):
        rows: StageData = interaction_rows(data)
    elif isinstance(data, DialogueTensors | DialoguesBySteps | EndlessDialogues | TokenRows):
        rows = data
    else:
        asked, width = getattr(settings, "row_tokens", None), model.config.max_tokens
        if asked is not None and asked > width:
            raise UserError(f"stage {name}: row_tokens is {asked}, the model's max_tokens is {width}")
        rows = text_rows(data, tokenizer, max_tokens=asked or width, whole=asked is not None)
    if name == "interaction" and isinstance(rows, TokenRows) and not rows.answer_mask.any():
        raise UserError("stage interaction: needs (query, answer) pairs, the data has no answers")
    if not isinstance(rows, EndlessDialogues) and len(rows) == 0:
        raise UserError(f"stage {name}: the data is empty")
    if isinstance(settings, MemoryAwareSettings) and isinstance(rows, DialogueTensors) and rows.steps < settings.steps:
        raise UserError(f"stage {name}: steps is {settings.steps}, the dialogues have {rows.steps} follow-ups")
    return rows


def _stage_model(
    name: StageName,
    model: RxT,
    tokenizer: DialogueTokenizer,
    settings: StageSettings,
    mlm_head: nn.Module | None,
    run: RunDir | None,
) -> StageModel:
    if isinstance(settings, JointSettings):
        if mlm_head is None:
            mlm_head = MLMHead(model.config).to(model.device)
            left = None if run is None else run.path / "checkpoints" / "joint" / _HEAD_FILE
            if name == "interaction" and left is not None and left.is_file():
                try:
                    load_model(mlm_head, str(left))
                except Exception as error:  # safetensors and torch have several
                    raise damaged(left, error, "delete it, and the stage begins with a new one") from error
        answers_only = isinstance(settings, InteractionSettings)
        return JointModel(model, mlm_head, settings, mask_id=tokenizer.mask_id, answers_only=answers_only)
    if isinstance(settings, MemoryAttentionSettings):
        return MemoryAttentionModel(model, settings)
    assert isinstance(settings, MemoryAwareSettings)
    return MemoryAwareModel(model, settings)


def _steps_of_batch(settings: StageSettings, batches: int, stage_key: int) -> Callable[[int], int] | None:
    """How many follow-ups the batch of a number has; None: all that the data has."""
    if isinstance(settings, MemoryAttentionSettings):
        fixed = settings.steps
        return None if fixed is None else lambda number: fixed
    if not isinstance(settings, MemoryAwareSettings):
        return None

    def steps(number: int) -> int:
        most = settings.steps_at(number / batches)
        if settings.min_steps is None:
            return most
        return settings.min_steps + key(stage_key, "steps", number) % (most - settings.min_steps + 1)

    return steps


def _train(
    name: StageName,
    stage_model: StageModel,
    rows: StageData,
    looks: StageData | None,
    settings: StageSettings,
    run: RunDir | None,
    stage_key: int,
    folder: Path,
    resume_from: Path | None,
    interruption: Interruption,
    progress: bool,
) -> dict[str, float]:
    size = None if isinstance(rows, EndlessDialogues) else len(rows)
    updates = settings.updates_on(size or 0, ranks.size())
    if settings.max_seconds is not None:
        ranks.alone(f"supervised.{name}.max_seconds = {settings.max_seconds:g}")
    on_cpu = stage_model.rxt.device.type == "cpu"
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=updates,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        max_grad_norm=settings.optimizer.max_grad_norm,
        bf16=settings.precision == "bfloat16",
        fp16=settings.precision == "float16",
        use_cpu=on_cpu,
        seed=stage_key % 2**32,
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        save_strategy="steps" if settings.save_every else "no",
        save_steps=settings.save_every or 500,
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=not on_cpu,
        ddp_find_unused_parameters=True if ranks.size() > 1 else None,
        ddp_backend="gloo" if on_cpu and ranks.size() > 1 else None,
        log_level="error",
    )
    batches = updates * settings.accumulate * args.world_size
    sampler = BatchSampler(
        size,
        batches,
        settings.batch_size,
        stage_key,
        lengths=data_lengths(rows) if settings.length_window else None,
        window=settings.length_window,
        steps=_steps_of_batch(settings, batches, stage_key),
    )
    control, log = StageControl(interruption), MetricsLog(run, name)
    held_out: list[HeldOutControl] = []
    if looks is not None and settings.evaluate is not None:
        steps = settings.max_steps if isinstance(settings, MemoryAwareSettings) else getattr(settings, "steps", None)
        held_out.append(
            HeldOutControl(
                settings.evaluate,
                looks,
                batch_size=settings.batch_size,
                seed=stage_key,
                steps=steps,
                folder=folder,
                run=run,
                section=name,
            )
        )
    trainer = StageTrainer(
        stage_model,
        args,
        data=BatchData(rows, stage_key),
        sampler=sampler,
        optimizer_settings=settings.optimizer,
        budget=Budget(updates, settings.max_seconds),
        unfreeze=settings.unfreeze if isinstance(settings, MemoryAwareSettings | JointSettings) else (),
        dump_to=None if run is None else lambda update: run.dump_path(f"{name}-update-{update}"),
        callbacks=[control, *held_out, log],
    )
    control.trainer = log.trainer = trainer
    for look in held_out:
        look.trainer = trainer
    bar = TrainerBar(name.replace("_", "-"), updates, lambda: shown(log.latest), show=progress and ranks.is_main())
    bar.instead_of_others(trainer)
    kept: dict[str, float] = {}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory.*")
            trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
            for look in held_out if not interruption.requested else ():
                kept |= look.finish(trainer.state)
    finally:
        bar.close()
    done = {"updates": float(trainer.state.global_step), "tokens": ranks.total(trainer.tokens)}
    done["seconds"] = trainer.budget.seconds
    return {**log.latest, **kept, **done}
