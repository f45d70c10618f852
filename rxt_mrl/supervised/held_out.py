"""The loss of held-out data while a stage trains: looked at every so often, to end early and to keep the best weights.

A look draws its masks, noise and initial memories from keys of its own, the same ones each time, and without dropout:
two looks differ in the weights alone, and training goes on as if nobody had looked.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_model, save_model
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from ..model import inference
from ..runs import RunDir, ranks
from ..seeding import key
from .batches import BatchData, BatchPlan, EndlessDialogues, StageData
from .config import HeldOutSettings
from .objectives import StageModel, Sums

if TYPE_CHECKING:
    from .trainer import StageTrainer

PREFIX = "held_out_"
"""Of the names of what was measured on held-out data, in logs and results."""


def measure(
    model: StageModel,
    data: StageData,
    *,
    rows: int,
    batch_size: int,
    seed: int,
    steps: int | None = None,
    precision: AbstractContextManager[Any] | None = None,
) -> dict[str, float]:
    """Means of a stage's sums over held-out data: ``loss``, ``accuracy``, ``ppl``, ``mlm_accuracy``, ...

    Args:
        model: the stage's model; in eval mode meanwhile.
        data: held-out rows.
        rows: how many of them.
        batch_size: rows that are looked at together.
        seed: of masks, noise and initial memories.
        steps: follow-ups of dialogues; None: all.
        precision: a context for the forward pass.
    """
    batches, sums = BatchData(data, key(seed, "held out")), Sums()
    with inference(model), precision or torch.no_grad():
        for number, start in enumerate(range(0, rows, batch_size)):
            plan = BatchPlan(number, tuple(range(start, min(start + batch_size, rows))), steps)
            batch = {name: value.to(model.rxt.device) for name, value in batches.__getitems__([plan]).items()}
            sums.add(model(**batch)["sums"])
    return sums.means()


class HeldOutControl(TrainerCallback, ExportableState):
    """Looks, logs, remembers the best weights and ends a stage that gets no better.

    Args:
        settings: of the looks.
        data: held-out rows.
        batch_size: rows that are looked at together.
        seed: see :func:`measure`.
        steps: see :func:`measure`.
        folder: where the best weights wait for the end.
        run: where the numbers are logged; None: nowhere.
        section: their section.
    """

    def __init__(
        self,
        settings: HeldOutSettings,
        data: StageData,
        *,
        batch_size: int,
        seed: int,
        steps: int | None,
        folder: Path,
        run: RunDir | None,
        section: str,
    ) -> None:
        self.trainer: StageTrainer | None = None
        self.latest: dict[str, float] = {}
        self.place: dict[str, Any] = {"looked": -1, "best": None, "best_update": -1, "stale": 0}
        self._settings, self._data, self._folder = settings, data, folder
        self._how: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "steps": steps}
        self._rows = settings.rows if isinstance(data, EndlessDialogues) else min(settings.rows, len(data))
        self._run, self._section = run, section
        self._saved = -1

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": dict(self.place)}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on where a checkpoint stopped; the first look is at what the stage starts from."""
        callbacks: Any = state.stateful_callbacks or {}
        if state.global_step:
            self.place |= callbacks.get(type(self).__name__, {}).get("attributes", {})
            self._saved = self.place["best_update"]
        else:
            self._look(state, control)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look, when it is due."""
        if state.global_step % self._settings.every == 0:
            self._look(state, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """From here a resumed stage goes on: it needs the weights that are the best now."""
        self._saved = self.place["best_update"]

    def finish(self, state: TrainerState) -> dict[str, float]:
        """Look at the end of the stage and put the best weights back; what was measured of the weights that stay."""
        assert self.trainer is not None
        if self.place["looked"] != state.global_step or not self.latest:
            self._look(state, TrainerControl())
        ranks.wait()
        if self._settings.keep == "best" and self.place["best_update"] != state.global_step:
            load_model(self.trainer.stage_model, str(self._file(self.place["best_update"])))
            self.latest = self._measured()
        update = self.place["best_update"] if self._settings.keep == "best" else state.global_step
        return {PREFIX + name: value for name, value in self.latest.items()} | {PREFIX + "update": float(update)}

    def _look(self, state: TrainerState, control: TrainerControl) -> None:
        assert self.trainer is not None
        model, place = self.trainer.stage_model, self.place
        self.latest = self._measured()
        loss = model.criterion(self.latest)
        place["looked"] = state.global_step
        if place["best"] is None or loss < place["best"]:
            place |= {"best": loss, "best_update": state.global_step, "stale": 0}
            if self._settings.keep == "best" and self.trainer.args.should_save:
                self._folder.mkdir(parents=True, exist_ok=True)
                save_model(model, str(self._file(state.global_step)))
                self._forget()
        else:
            place["stale"] += 1
            if self._settings.patience is not None and place["stale"] >= self._settings.patience:
                control.should_training_stop = True
                control.should_log = True
        if self._run is not None:
            values = {PREFIX + name: value for name, value in self.latest.items()}
            self._run.metrics({**values, "tokens": ranks.total(self.trainer.tokens)}, state.global_step, self._section)

    def _measured(self) -> dict[str, float]:
        assert self.trainer is not None
        precision = self.trainer.compute_loss_context_manager()
        return measure(self.trainer.stage_model, self._data, rows=self._rows, precision=precision, **self._how)

    def _file(self, update: int) -> Path:
        return self._folder / f"best-{update}.safetensors"

    def _forget(self) -> None:
        """Remove the weights that neither the end nor a resumed stage asks for."""
        needed = (self.place["best_update"], self._saved)
        for path in self._folder.glob("best-*.safetensors"):
            if (number := re.search(r"\d+", path.stem)) and int(number[0]) not in needed:
                path.unlink()
