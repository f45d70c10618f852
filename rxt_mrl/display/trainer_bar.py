"""A bar for the Trainers of transformers and TRL, in place of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from .progress import Bar, Bars


class TrainerBar(TrainerCallback):
    """Shows how far a Trainer has come.

    Args:
        title: in front of the bar.
        total: updates.
        figures: the latest ones, in the order in which they are shown.
        show: False shows nothing.
    """

    def __init__(
        self, title: str, total: int, figures: Callable[[], Mapping[str, float]], *, show: bool = True
    ) -> None:
        self._title, self._total, self._figures, self._show = title, total, figures, show
        self._bars: Bars | None = None
        self._bar: Bar | None = None

    def instead_of_others(self, trainer: Trainer) -> None:
        """Show this bar, and nothing of what the Trainer would print."""
        for other in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(other)
        trainer.add_callback(self)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Show the bar."""
        self._bars = Bars(show=self._show).__enter__()
        self._bar = self._bars.add(self._title, self._total, state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar."""
        assert self._bar is not None
        self._bar.move(state.global_step, self._figures())

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Show the new figures."""
        self.on_step_end(args, state, control)

    def close(self) -> None:
        """Leave the bar as it is; also after an error."""
        if self._bars is not None:
            self._bars.__exit__(None, None, None)
            self._bars = None
