"""The settings of stage 5: what the algorithm optimises (:class:`AlgorithmSettings`) and how episodes are rolled out.

Both are sections of a recipe. A curriculum stage may override any key of the algorithm
(``Stage.algorithm = {"objective": {"clip": 0.1}}``); :func:`for_stage` merges and validates that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from rxt_mrl.contracts import Component
from rxt_mrl.errors import UserError
from rxt_mrl.model.device import Precision
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.settings import Beta, Settings, explain, merge

from .stages import Carrying, Stage


class ImpoSettings(Settings):
    """The terms that the published IMPO objective adds to PPO's (RXT 3.6)."""

    kl: float = Field(default=0.001, ge=0)
    """Weight of the KL divergence between the answers' distributions of consecutive steps."""
    memory_change: float = Field(default=1e-4, ge=0)
    """Weight of the mean squared change of the memory by one write; grows with the root of the step."""
    memory_cosine: float = Field(default=0.0, ge=0)
    """Weight of the cosine between the memory before and after a write (published, when on: always 1)."""


class ObjectiveSettings(Settings):
    """What the policy minimises."""

    kind: Literal["ppo", "impo"] = "ppo"
    clip: float = Field(default=0.2, gt=0, lt=1)
    """The probability ratio is clipped to ``1 - clip .. 1 + clip``."""
    mean: Literal["token", "answer"] = "token"
    """Average over all answer tokens of a minibatch, or over each answer's tokens and then over answers."""
    entropy: float = Field(default=0.0, ge=0)
    """Weight of the entropy bonus, nats per answer token."""
    target_kl: float | None = Field(default=0.05, gt=0)
    """The epochs of an update stop when the approximate KL from the behaviour policy (k3, nats per token) passes it."""
    reference_kl: float = Field(default=0.0, ge=0)
    """Weight of a KL penalty (k3) to the model as it was at the start of the stage."""
    memory_change: float = Field(default=0.0, ge=0)
    """Weight of the mean squared change of the memory by a write: keeps each from overwriting all."""
    router: float = Field(default=0.01, ge=0)
    """Weight of the router loss of a mixture-of-experts decoder."""
    supervised: float = Field(default=0.0, ge=0)
    """Weight of cross-entropy on the reference answers, read from the memories of the rollout."""
    impo: ImpoSettings = ImpoSettings()


class AdvantageSettings(Settings):
    """How rewards become advantages, one per answer.

    Of the answers from one memory (``rollout.answers``), without a critic: ``rloo``, reward minus the mean of the
    others; ``group``, (r - mean) / std (GRPO); ``maxrl``, (r - mean) / mean. With the critic: ``gae``, generalised
    advantage estimation over the interactions; ``published``, reward minus value, without a future.
    """

    kind: Literal["rloo", "group", "maxrl", "gae", "published"] = "rloo"
    gamma: float = Field(default=0.99, ge=0, le=1)
    """Discount from one interaction to the next (``gae``)."""
    lam: float = Field(default=0.95, ge=0, le=1)
    normalize: Literal["batch", "step", "none"] = "batch"
    """Divide by the standard deviation of the batch, or of each step, or not."""
    clip: float | None = Field(default=10.0, gt=0)
    negative_scale: float = Field(default=1.0, ge=0)
    """Negative advantages are multiplied by it: pushing answers down without end destroys a policy."""

    @property
    def uses_critic(self) -> bool:
        """Whether the baseline is the critic's."""
        return self.kind in ("gae", "published")


class CriticSettings(Settings):
    """The memory-aware critic of the ``gae`` and ``published`` advantages."""

    hidden: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    epochs: int = Field(default=8, ge=1, le=1000)
    warmup: int = Field(default=10, ge=0)
    """First updates of the first stage that train the critic alone."""
    max_grad_norm: float = Field(default=1.0, gt=0)


class OptimizerSettings(Settings):
    """AdamW of the policy."""

    learning_rate: float = Field(default=3e-4, gt=0)
    lr_scale: Mapping[Component, float] = Field(default_factory=dict)
    """Multiplies ``learning_rate`` for a component (default 1 for each)."""
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    warmup: int = Field(default=0, ge=0)
    """Updates of each stage with a linearly rising learning rate."""
    decay: float = Field(default=0.0, ge=0, le=1)
    """The last part of each stage's updates, over which the learning rate falls linearly to nearly 0."""


class AlgorithmSettings(Settings):
    """Memory reinforcement learning: objective, advantages, critic, optimizer, and how an update goes."""

    objective: ObjectiveSettings = ObjectiveSettings()
    advantage: AdvantageSettings = AdvantageSettings()
    critic: CriticSettings = CriticSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    epochs: int = Field(default=2, ge=1, le=1000)
    """Passes over the episodes of an update."""
    minibatches: int = Field(default=2, ge=1)
    """Optimizer steps per pass; a minibatch holds whole episodes."""
    truncate_scan: int | None = Field(default=None, ge=1)
    """Cut the gradient through the memory every so many writes; None: it flows through all of them."""
    bound_scan: bool = False
    """Keep the gradient from growing from write to write, without a cut (:class:`rxt_mrl.model.scan.Bounded`)."""
    freeze_memory: bool = False
    """Control: the writing of memory (embedding, encoder, memory attention) stays as it is, only reading learns."""
    precision: Precision = "float32"
    """Of the forward passes that learn; log-probabilities, weights and the optimizer's state are float32."""
    checkpoint_every: int = Field(default=20, ge=1)
    """Updates between two checkpoints; there is one more at the end of each stage."""
    max_seconds: float | None = Field(default=None, gt=0)
    """A stage ends after this time, if its updates are not done before. Results then depend on the machine."""


class EnvSpec(Settings):
    """The environment: a name, a dotted path or ``file.py:Name``, with constructor options."""

    use: str = "memory-retention"
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("options")
    @classmethod
    def _not_of_the_run(cls, options: dict[str, Any]) -> dict[str, Any]:
        places = {"reward": "the section reward", "num_envs": "rollout.shard", "autoreset": "the trainer"}
        for name, place in places.items():
            if name in options:
                raise ValueError(f"options.{name}: {place} says it; leave it out")
        return options


class RolloutSettings(Settings):
    """How many episodes an update has, how they are sampled, and by whom."""

    episodes: int = Field(default=48, ge=1)
    """Episodes of an update."""
    answers: int = Field(default=4, ge=1, le=4096)
    """Answers sampled from the memory of each step; one goes on to memory."""
    carry: Carrying = Carrying()
    """Which: ``sampled``, ``greedy``, ``best`` or ``reference``; or shares of each, which may change during a stage:
    ``{start: {reference: 1}, end: {sampled: 1}}``."""
    shard: int = Field(default=24, ge=1)
    """Episodes rolled out together. The result depends on it in the last bits, but never on ``workers``."""
    workers: int = Field(default=0, ge=0)
    """Ray actors; 0 rolls out in the process of the learner, by the same code."""
    ahead: Literal[0, 1] = 0
    """1: an update is played while the one before it is learnt, with the weights from before that: one update behind.
    The probability ratio corrects for it. Faster with workers; the results are others than with 0."""
    address: str | None = None
    """``HOST:PORT`` of a Ray cluster that runs already, or ``auto``; None: that of ``RAY_ADDRESS``, else Ray is started
    on this machine. The cluster's machines need the same rxt-mrl and the plug-ins' packages."""
    sampling: SamplingConfig = SamplingConfig()
    precision: Precision = "float32"
    """Of writing and answering; memories and log-probabilities are float32. The ratio before an update is no longer 1
    to the last digits then."""
    timeout: float = Field(default=300.0, gt=0)
    """Seconds after which a worker that has not returned a shard is replaced."""
    restarts: int = Field(default=3, ge=0)
    """Workers that may be replaced in a row before the training gives up."""
    object_store_mb: int = Field(default=256, ge=80)
    """Size of Ray's object store, when this process starts Ray."""
    log: Literal["all"] | Annotated[int, Field(ge=0)] = "all"
    """How many episodes of each update are written to ``rollouts/*.jsonl``."""


def for_stage(algorithm: AlgorithmSettings, stage: Stage, where: str = "stage.algorithm") -> AlgorithmSettings:
    """The algorithm of one stage: the recipe's, with the stage's overrides merged in, key by key.

    ``where`` is what an error calls the overrides.

    Raises:
        UserError: an override of an unknown key or with a wrong value.
    """
    if not stage.algorithm:
        return algorithm
    try:
        return AlgorithmSettings.model_validate(merge(algorithm.model_dump(), stage.algorithm))
    except ValidationError as error:
        raise UserError(explain(AlgorithmSettings, error, f"{where}.")) from None


def check(algorithm: AlgorithmSettings, rollout: RolloutSettings) -> None:
    """What the two sections must agree on.

    Raises:
        UserError: naming both values.
    """
    kind = algorithm.advantage.kind
    if not algorithm.advantage.uses_critic and rollout.answers < 2:
        raise UserError(
            f"rollout.answers = {rollout.answers}: algorithm.advantage.kind = {kind!r} compares the answers from one "
            "memory, give at least 2 (or kind: gae, which has a critic)"
        )
    if algorithm.objective.kind == "impo" and rollout.answers > 1:
        raise UserError(
            f"rollout.answers = {rollout.answers}: algorithm.objective.kind = 'impo' compares the answers of "
            "consecutive steps; allowed: 1"
        )
    if algorithm.bound_scan and algorithm.truncate_scan is not None:
        raise UserError(
            f"algorithm.truncate_scan = {algorithm.truncate_scan}: algorithm.bound_scan is true; give one of them"
        )
    if algorithm.minibatches > rollout.episodes:
        raise UserError(
            f"algorithm.minibatches = {algorithm.minibatches}: at most rollout.episodes = {rollout.episodes}"
        )
    if rollout.sampling.greedy:
        raise UserError("rollout.sampling.temperature = 0: reinforcement learning samples; allowed: above 0")
