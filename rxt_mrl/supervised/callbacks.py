"""What happens around the updates of a stage: freezing, time limit, interruption, log, what a bar shows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from ..runs import RunDir, ranks
from ..runs.guards import Interruption

if TYPE_CHECKING:
    from .trainer import StageTrainer


class StageControl(TrainerCallback, ExportableState):
    """Freezes components, ends the stage when its time is up, and saves and ends it when it is interrupted.

    Seconds used and tokens seen are part of the checkpoint, so that a resumed stage goes on counting.
    """

    def __init__(self, interruption: Interruption) -> None:
        self.trainer: StageTrainer | None = None
        self.interruption = interruption
        self.seconds = 0.0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        seconds = self.seconds if self.trainer is None else self.trainer.budget.seconds
        tokens = 0.0 if self.trainer is None else self.trainer.tokens
        return {"args": {}, "attributes": {"seconds": seconds, "tokens": tokens}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock where a checkpoint stopped it."""
        assert self.trainer is not None
        callbacks: Any = state.stateful_callbacks or {}
        kept = callbacks.get(type(self).__name__, {})
        used = kept.get("attributes", {}) if state.global_step else {}
        self.trainer.budget.start(used=used.get("seconds", 0.0))
        self.trainer.tokens = used.get("tokens", 0.0)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Freeze and unfreeze."""
        assert self.trainer is not None
        self.trainer.apply_freezing(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Stop when the time is up, or when asked to."""
        assert self.trainer is not None
        if self.trainer.budget.out_of_time:
            control.should_training_stop = True
            control.should_log = True
        if ranks.any_of(self.interruption.requested):
            self.interruption.requested = True
            control.should_training_stop = True
            control.should_save = True


class MetricsLog(TrainerCallback):
    """Writes a line to the run every few updates; keeps the last one as ``latest``."""

    def __init__(self, run: RunDir | None, section: str) -> None:
        self.trainer: StageTrainer | None = None
        self.latest: dict[str, float] = {}
        self._run = run
        self._section = section
        self._mark = (0.0, 0)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start measuring speed."""
        self._mark = (time.monotonic(), state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log the means since the last line, the gradient norm, the learning rate and the speed."""
        assert self.trainer is not None
        if not logs or "learning_rate" not in logs:
            return
        now = (time.monotonic(), state.global_step)
        values = self.trainer.pop_means()
        values["tokens"] = ranks.total(self.trainer.tokens)
        values["learning_rate"] = logs["learning_rate"]
        values["grad_norm"] = logs.get("grad_norm", 0.0)
        values["updates_per_second"] = (now[1] - self._mark[1]) / max(now[0] - self._mark[0], 1e-9)
        self._mark = now
        self.latest = values
        if self._run is not None:
            self._run.metrics(values, state.global_step, self._section)


def shown(latest: Mapping[str, float]) -> dict[str, float]:
    """The figures of a progress bar, from the latest log line; accuracy of tokens to follow, else of masked ones."""
    figures = {name: latest[name] for name in ("loss", "accuracy", "mlm_accuracy", "cosine") if name in latest}
    masked = figures.pop("mlm_accuracy", None)
    return figures if masked is None or "accuracy" in figures else {**figures, "accuracy": masked}
