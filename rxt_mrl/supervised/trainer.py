"""``transformers.Trainer`` for our stages: our batches, our learning rates, a guard against NaN, little overhead.

What the Trainer gives: mixed precision, gradient accumulation, data-parallel training, checkpoints with optimizer and
random state, callbacks. What is ours: batches keyed by (seed, number), parameter groups by component, schedules that
may follow a time budget, sums that are logged as means over tokens, and one line of error.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..contracts import Unfreeze
from ..files import WriteError, damaged
from ..model.components import by_component, freeze_to, parameter_groups, trained_components
from ..runs import ranks
from ..runs.guards import NotFiniteError, check_finite, check_gradients
from .batches import BatchData, BatchSampler, whole
from .config import OptimizerSettings
from .objectives import StageModel, Sums
from .schedule import Budget, rate_factor

_WEIGHTS = "model.safetensors"


class StageTrainer(Trainer):
    """Trains a :class:`~rxt_mrl.supervised.objectives.StageModel`.

    Args:
        model: the stage's model.
        args: Trainer settings.
        data: makes batches of plans.
        sampler: plans the batches.
        optimizer_settings: AdamW and schedule.
        budget: updates and seconds.
        unfreeze: gradual unfreezing of the components that ``model.trained()`` names; empty: all of these.
        dump_to: the file for the batch of an update that led to NaN; None: it is not written.
    """

    def __init__(
        self,
        model: StageModel,
        args: TrainingArguments,
        *,
        data: BatchData,
        sampler: BatchSampler,
        optimizer_settings: OptimizerSettings,
        budget: Budget,
        unfreeze: tuple[Unfreeze, ...] = (),
        dump_to: Callable[[int], Path] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model=model, args=args, train_dataset=data, **options)
        self.stage_model = model
        self.budget = budget
        self._data = data
        self._sampler = sampler
        self._optimizer_settings = optimizer_settings
        self._unfreeze = unfreeze
        self._dump_to = dump_to
        self._sums = Sums()
        self.tokens = 0.0
        self._last_inputs: dict[str, Any] = {}
        self._last_loss: Tensor | None = None
        self._trained_now: tuple[str, ...] | None = None

    # --- data ---

    def get_train_dataloader(self) -> DataLoader:
        """Our batches; under DDP every process takes every n-th of them."""
        loader = DataLoader(self._data, batch_sampler=self._sampler, collate_fn=whole)
        return self.accelerator.prepare(loader)

    # --- optimizer ---

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with a group per component; frozen components keep their group."""
        if self.optimizer is None:
            parameters = by_component(self.stage_model.rxt)
            for name, module in self.stage_model.extra_modules().items():
                parameters[name] = list(module.parameters())
            settings = self._optimizer_settings
            groups = parameter_groups(
                parameters, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
            )
            self.optimizer = torch.optim.AdamW(groups, betas=settings.betas, eps=settings.epsilon, fused=True)
        if ranks.size() == 1:  # with several, every parameter has to be known to the averaging of gradients first
            self.apply_freezing(0)
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """One factor per group: the schedule times the scale that its component has at that update."""
        if self.lr_scheduler is None:
            optimizer = optimizer or self.create_optimizer()
            settings, budget = self._optimizer_settings, self.budget

            def factor_of(component: str) -> Any:
                def factor(update: int) -> float:
                    trained = self._trained(update)
                    scale = 1.0 if trained is None else trained.get(component, 0.0)
                    return scale * rate_factor(settings, update, budget.share(update))

                return factor

            factors = [factor_of(group["component"]) for group in optimizer.param_groups]
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _trained(self, update: int) -> dict[str, float] | None:
        reached = self.stage_model.trained()
        named = trained_components(self._unfreeze, update)
        if named is None or reached is None:
            return reached if named is None else named
        extra = self.stage_model.extra_modules()
        return {name: named.get(name, reached[name] if name in extra else 0.0) for name in reached}

    def apply_freezing(self, update: int) -> None:
        """Freeze and unfreeze for an update, if anything changes with it."""
        trained = self._trained(update)
        now = None if trained is None else tuple(sorted(name for name, scale in trained.items() if scale > 0))
        if update == 0 or now != self._trained_now:
            assert self.optimizer is not None
            freeze_to(self.optimizer.param_groups, trained)
            self._trained_now = now

    # --- a step ---

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The stage's loss; its sums are kept for the log (added up on the device, read when logged)."""
        output = model(**inputs)
        self._last_inputs, self._last_loss = inputs, output["loss"].detach()
        self._sums.add(output["sums"])
        self.tokens += float(inputs["mask"].sum())
        return (output["loss"], output) if return_outputs else output["loss"]

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        try:
            check_finite({"loss": self._last_loss})
            # With a loss scaler (float16) infinite gradients are part of the game: there the loss alone is judged.
            if norm is not None and self.accelerator.scaler is None:
                check_gradients(torch.as_tensor(norm), self.stage_model.named_parameters())
        except NotFiniteError as error:
            raise self._dumped(error) from None
        return norm

    def _dumped(self, error: NotFiniteError) -> NotFiniteError:
        if self._dump_to is None:
            return error
        inputs = {name: value.cpu() for name, value in self._last_inputs.items()}
        return error.dumped(
            self._dump_to(self.state.global_step + 1), {"inputs": inputs, "model": self.stage_model.state_dict()}
        )

    # --- log ---

    def pop_means(self) -> dict[str, float]:
        """Means of the sums since the last call."""
        sums, self._sums = self._sums, Sums()
        return sums.means()

    # --- checkpoints ---

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:  # the libraries that write its files have several
            folder = Path(self.args.output_dir or ".") / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            shutil.rmtree(folder, ignore_errors=True)
            raise WriteError(folder, error) from error

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir or ".")
            folder.mkdir(parents=True, exist_ok=True)
            save_model(self.stage_model, str(folder / _WEIGHTS))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        with _readable(Path(resume_from_checkpoint) / _WEIGHTS):
            load_model(self.stage_model, str(Path(resume_from_checkpoint) / _WEIGHTS))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        for name in ("optimizer.pt", "scheduler.pt"):
            with _readable(Path(checkpoint) / name):
                torch.load(Path(checkpoint) / name, map_location="cpu", weights_only=True)
        with _readable(Path(checkpoint) / "optimizer.pt"):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            super()._load_rng_state(checkpoint)
            return
        with _readable(Path(checkpoint) / "rng_state.pth"):
            super()._load_rng_state(checkpoint)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong inside is a damaged file of the checkpoint that a stage goes on from."""
    try:
        yield
    except Exception as error:  # a damaged file may raise anything
        said = ValueError("it holds something else, and nothing of it was run")
        raise damaged(
            path,
            said if isinstance(error, pickle.UnpicklingError) else error,
            f"delete {path.parent}, and --resume begins the stage anew",
        ) from error
