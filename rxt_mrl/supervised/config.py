"""What a recipe can set about the supervised stages: one class per stage, strict, with the defaults of our recipes."""

from __future__ import annotations

import math
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from ..contracts import Component, Unfreeze
from ..settings import Beta, Settings

StageName = Literal["joint", "interaction", "memory_attention", "memory_aware"]
"""The supervised stages in their order; each starts from the weights that the one before left."""


class OptimizerSettings(Settings):
    """AdamW and its learning-rate schedule.

    Attributes:
        learning_rate: the highest rate, reached after ``warmup`` updates.
        schedule: after the warm-up: ``constant``; ``cosine`` to ``final``; or ``decay_last``, constant and then
            falling linearly to ``final`` over the last ``decay_share`` of the stage (warm-up - stable - decay).
        final: the rate at the end, as a share of ``learning_rate``.
        weight_decay: for matrices only; norms, biases, gates and the initial memory are never decayed.
        max_grad_norm: gradients are scaled down to this global norm; 0 switches it off.
    """

    learning_rate: float = Field(default=2e-3, gt=0)
    schedule: Literal["constant", "cosine", "decay_last"] = "decay_last"
    warmup: int = Field(default=20, ge=0)
    decay_share: float = Field(default=0.3, gt=0, le=1)
    final: float = Field(default=0.02, ge=0, le=1)
    betas: tuple[Beta, Beta] = (0.9, 0.95)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0)


REACHED: dict[str, tuple[str, ...]] = {
    "joint": ("embedding", "encoder", "mlm_head", "decoder", "memory_cross_attention"),
    "mlm": ("embedding", "encoder", "mlm_head"),
    "ar": ("embedding", "decoder"),
}
"""What each objective of stages 1 and 2 trains."""


class HeldOutSettings(Settings):
    """How a stage looks at the loss of held-out data while it trains.

    Attributes:
        every: updates between two looks; there is one at the start and one at the end as well.
        patience: ends the stage after so many looks in a row without a better loss; None: never.
        keep: weights at the end: the ``last`` ones, or those with the ``best`` held-out loss.
        rows: held-out rows (texts or dialogues) at most, the first ones of the validation split.
    """

    every: int = Field(default=100, ge=1)
    patience: int | None = Field(default=None, ge=1)
    keep: Literal["last", "best"] = "last"
    rows: int = Field(default=1000, ge=1)


class StageSettings(Settings):
    """What all supervised stages share.

    Attributes:
        updates: optimizer updates; or give ``epochs``, passes over the data. 0 skips the stage.
        max_seconds: ends the stage after this much wall-clock time, also if updates are left. The schedule then
            follows whichever of the two is nearer to its end, so that the decay is not cut off.
        batch_size: rows (dialogues or texts) of one forward pass.
        accumulate: forward passes per update.
        precision: of the forward pass; weights and optimizer state stay float32.
        length_window: sort this many batches' worth of rows by length before cutting them into batches, so that
            little is spent on padding; 0 keeps the shuffled order. The order of the batches stays shuffled.
        router_weight: weight of the router loss of a mixture of experts.
        log_every: updates between two logged lines.
        save_every: updates between two checkpoints from which the stage can go on; 0: only when interrupted.
        evaluate: look at held-out data, end early, keep the best weights; None: do not look.
    """

    updates: int | None = Field(default=None, ge=0)
    epochs: float | None = Field(default=None, gt=0)
    max_seconds: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=32, ge=1)
    accumulate: int = Field(default=1, ge=1)
    optimizer: OptimizerSettings = OptimizerSettings()
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    length_window: int = Field(default=0, ge=0)
    router_weight: float = Field(default=0.01, ge=0)
    log_every: int = Field(default=10, ge=1)
    save_every: int = Field(default=0, ge=0)
    evaluate: HeldOutSettings | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.updates is None) == (self.epochs is None):
            raise ValueError("give either updates or epochs, and not both")
        return self

    @property
    def components(self) -> tuple[str, ...]:
        """Components that the stage trains."""
        return get_args(Component)

    def updates_on(self, rows: int, processes: int = 1) -> int:
        """Updates of the stage on data of so many rows; the partial last batch of an epoch counts."""
        if self.updates is not None:
            return self.updates
        assert self.epochs is not None
        return max(1, round(self.epochs * math.ceil(rows / self.batch_size) / self.accumulate / processes))


class JointSettings(StageSettings):
    """Stage 1: the encoder fills masked tokens in, the decoder continues the text with the encoder's data as memory.

    Attributes:
        objective: ``joint`` trains both; ``mlm`` the encoder alone; ``ar`` the decoder alone, on an empty memory
            and with its memory cross-attention frozen.
        mask_share: share of tokens that the encoder sees as [MASK].
        memory: what the decoder reads: the encoded ``tokens`` (as published), or their average over as many
            stretches as the memory has ``slots``, which looks like the memory of the later stages.
        memory_masking: share of encoded vectors set to zero before the decoder reads them.
        memory_noise: standard deviation of the noise added to them.
        mlm_weight, ar_weight: weights of the two losses.
        row_tokens: texts are cut into rows of even length, of so many tokens at most, and all of a text is trained on;
            None: a text is one row, and what does not fit the model's width is left out. For texts only.
        unfreeze: which of the components that the objective reaches are trained from which update on; empty: all.
            The MLM head learns wherever the objective reaches it.
    """

    objective: Literal["joint", "mlm", "ar"] = "joint"
    mask_share: float = Field(default=0.15, gt=0, lt=1)
    memory: Literal["tokens", "slots"] = "tokens"
    memory_masking: float = Field(default=0.0, ge=0, lt=1)
    memory_noise: float = Field(default=0.0, ge=0)
    mlm_weight: float = Field(default=1.0, ge=0)
    ar_weight: float = Field(default=1.0, ge=0)
    row_tokens: int | None = Field(default=None, ge=8)
    unfreeze: tuple[Unfreeze, ...] = ()

    @property
    def components(self) -> tuple[str, ...]:
        """Components that the objective reaches and ``unfreeze`` leaves."""
        named = {"mlm_head", *(component for entry in self.unfreeze for component in entry.components)}
        return tuple(name for name in REACHED[self.objective] if not self.unfreeze or name in named)


class InteractionSettings(JointSettings):
    """Stage 2: the same on (query, answer) pairs; the decoder's loss counts answer tokens only, [EOS] included."""


class TargetWeights(Settings):
    """How much of the new data the memory of stage 3 should take up at interaction t (0 = the first one).

    ``first`` at t = 0, then ``later - slope * t``, never below ``floor``; the old memory has the rest.
    """

    first: float = Field(default=0.9, ge=0, le=1)
    later: float = Field(default=0.5, ge=0, le=1)
    slope: float = Field(default=0.05, ge=0, le=1)
    floor: float = Field(default=0.05, ge=0, le=1)
    jitter: float = Field(default=0.15, ge=0, le=1)
    """Largest random shift of the weights of one update."""

    def at(self, interaction: int) -> float:
        """The weight of the new data at one interaction."""
        if interaction == 0:
            return self.first
        return max(self.floor, self.later - self.slope * interaction)


class MemoryAttentionSettings(StageSettings):
    """Stage 3: memory attention alone learns to blend encoded data into the memory (cosine to a weighted mean).

    Attributes:
        weights: the share of new data in the target.
        encoded_noise, label_noise: standard deviation of the noise on the encoded data and on the target.
        scan_gradient: let gradients run through the whole scan; else every update sees a detached memory.
        change_penalty: weight of the mean squared change of the memory, times sqrt(t + 1).
        steps: follow-ups used of every dialogue; None: all.
    """

    weights: TargetWeights = TargetWeights()
    encoded_noise: float = Field(default=0.0, ge=0)
    label_noise: float = Field(default=0.0, ge=0)
    scan_gradient: bool = True
    change_penalty: float = Field(default=0.0, ge=0)
    steps: int | None = Field(default=None, ge=1)

    @property
    def components(self) -> tuple[str, ...]:
        """Memory attention alone."""
        return ("memory_attention",)


class StepsFrom(Settings):
    """From the share ``at`` of the stage on (0 = its start), dialogues have ``steps`` follow-ups."""

    at: float = Field(ge=0, lt=1)
    steps: int = Field(ge=1)


class MemoryAwareSettings(StageSettings):
    """Stage 4: the whole model learns to answer from the memory that it wrote.

    Attributes:
        steps: follow-ups of a training dialogue.
        steps_from: a curriculum: other numbers of follow-ups in the course of the stage, for example
            ``[{at: 0, steps: 2}, {at: 0.3, steps: 4}]``; empty: ``steps`` throughout. Shares are of the planned
            updates, so that batches do not depend on time: a stage that ``max_seconds`` cuts short may miss the end.
        min_steps: draw the number of follow-ups of every batch evenly from here to the current number.
        first_interaction: also train on the answer of the first interaction, read from the initial memory.
        truncate: cut the gradient after this many memory updates; None: it runs through the whole scan;
            1 is the published scheme, in which a write learns from the next answer alone.
        bounded: keep the gradient from growing from write to write, without a cut
            (:class:`rxt_mrl.model.scan.Bounded`).
        unfreeze: which components are trained from which update on; empty: all from the start. Components that are
            never named stay frozen.
        query_weight: weight of the loss over query tokens (a language model of the questions); 0: answers only.
        retell_weight: weight of telling again: the loss over all tokens of an interaction, read from the memory that it
            has just been written to (autoencoding, as in Ge et al. 2024, arXiv 2307.06945). Which one is drawn for
            each batch. It teaches what to store and how to find it where answers tell little of that ("yes").
    """

    steps: int = Field(default=4, ge=1)
    steps_from: tuple[StepsFrom, ...] = ()
    min_steps: int | None = Field(default=None, ge=1)
    first_interaction: bool = False
    truncate: int | None = Field(default=None, ge=1)
    bounded: bool = False
    unfreeze: tuple[Unfreeze, ...] = ()
    query_weight: float = Field(default=0.0, ge=0)
    retell_weight: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        most = self.max_steps
        if self.bounded and self.truncate is not None:
            raise ValueError("give truncate or bounded, and not both")
        if self.min_steps is not None and self.min_steps > min([self.steps, *(p.steps for p in self.steps_from)]):
            raise ValueError(f"min_steps is {self.min_steps}, must not exceed the fewest steps of the stage")
        if any(p.steps > self.steps for p in self.steps_from):
            raise ValueError(f"steps_from goes up to {most} steps, must not exceed steps ({self.steps})")
        if list(self.steps_from) != sorted(self.steps_from, key=lambda phase: phase.at):
            raise ValueError("steps_from must be ordered by at")
        return self

    @property
    def components(self) -> tuple[str, ...]:
        """All, or those that ``unfreeze`` names."""
        named = {component for entry in self.unfreeze for component in entry.components}
        return tuple(name for name in get_args(Component) if not named or name in named)

    @property
    def max_steps(self) -> int:
        """The most follow-ups that any batch has."""
        return max([self.steps, *(phase.steps for phase in self.steps_from)])

    @property
    def all_steps(self) -> tuple[int, ...]:
        """Every number of follow-ups that a batch may have, in order."""
        most = {self.steps_at(0.0), *(self.steps_at(phase.at) for phase in self.steps_from)}
        if self.min_steps is None:
            return tuple(sorted(most))
        return tuple(range(self.min_steps, max(most) + 1))

    def steps_at(self, share: float) -> int:
        """Follow-ups at a share (0 to 1) of the stage."""
        steps = self.steps
        for phase in self.steps_from:
            if share >= phase.at:
                steps = phase.steps
        return steps


class SupervisedSettings(Settings):
    """The supervised part of a recipe; a stage that is None is left out."""

    joint: JointSettings | None = None
    interaction: InteractionSettings | None = None
    memory_attention: MemoryAttentionSettings | None = None
    memory_aware: MemoryAwareSettings | None = None


STAGE_SETTINGS: dict[StageName, type[StageSettings]] = {
    "joint": JointSettings,
    "interaction": InteractionSettings,
    "memory_attention": MemoryAttentionSettings,
    "memory_aware": MemoryAwareSettings,
}
"""The settings class of every stage, in the order of the stages."""
