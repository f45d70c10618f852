"""A recipe: one YAML file describes a run. Validated as a whole before anything starts.

Sections are the settings classes of the rooms that use them, so each key is documented where it acts::

    model        preset + changed keys              rxt_mrl.model.config
    tokenizer    trained on the data, or loaded     here
    data         named sources of dialogues         rxt_mrl.dialogues.sources
    supervised   stages 1-4                         rxt_mrl.supervised.config
    env, reward  plug-ins by name or path           rxt_mrl.contracts
    curriculum   stages of MRL                      rxt_mrl.contracts.Stage
    algorithm    objective, advantages, critic      rxt_mrl.mrl.config
    rollout      episodes per update, Ray workers   rxt_mrl.mrl.config
    evaluation   retention, controls, score         rxt_mrl.evaluation.config
    baseline     the stateless peer                 rxt_mrl.baseline.config
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from ..baseline.config import BaselineSettings
from ..contracts import RewardSpec
from ..dialogues.sources import DataSettings
from ..errors import UserError
from ..evaluation.config import EvaluationSettings
from ..model.config import RxTConfig
from ..model.presets import preset
from ..mrl.config import AlgorithmSettings, EnvSpec, RolloutSettings, for_stage
from ..mrl.config import check as check_algorithm
from ..mrl.stages import Stage
from ..settings import Settings, explain, validate, without_nulls
from ..supervised.config import SupervisedSettings
from .recipe_files import override, resolve

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class InitFrom(Settings):
    """Which trained weights a run starts from: those of a whole model, or of parts. The tokenizer comes with them.

    Attributes:
        model: a run (its last stage) or a checkpoint of a whole model (short: its path in place of this section);
            ``preset`` is then not used.
        encoder, decoder, memory_attention: runs or checkpoints whose part is taken; it has to fit the model that
            ``preset`` and ``options`` describe.
        embedding: run or checkpoint whose embedding is taken; None: that of the encoder, or else of the decoder.
        mlm_head: run or checkpoint of stage 1 or 2 whose MLM head goes on learning; None: the one beside the model or
            the encoder, if there is one.
    """

    model: Path | None = None
    encoder: Path | None = None
    decoder: Path | None = None
    memory_attention: Path | None = None
    embedding: Path | None = None
    mlm_head: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _path(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str | Path) else value

    @model_validator(mode="after")
    def _one_kind(self) -> InitFrom:
        if not any(self.model_dump().values()):
            raise ValueError(f"init_from names nothing; allowed: {', '.join(type(self).model_fields)}")
        if self.model is not None and self.parts:
            raise ValueError(f"give model or {' and '.join(self.parts)}, and not both")
        return self

    @property
    def parts(self) -> dict[str, Path]:
        """The parts of a model that are taken, in the order in which they are."""
        names = ("encoder", "decoder", "memory_attention", "embedding")
        return {name: path for name in names if (path := getattr(self, name)) is not None}


class ModelSection(Settings):
    """The model: a preset by name with changed keys, and trained weights to start from."""

    open_sections: ClassVar[Mapping[str, Any]] = {"options": RxTConfig}  # null there is a preset's part left out

    preset: str = "nano"
    options: dict[str, Any] = Field(default_factory=dict)
    """Keys of :class:`~rxt_mrl.model.config.RxTConfig` that differ from the preset."""
    init_from: InitFrom | None = None
    """None: fresh weights."""

    @property
    def checkpoint(self) -> Path | None:
        """The whole model that a run starts from; None where it builds ``preset`` itself."""
        return None if self.init_from is None else self.init_from.model

    @model_validator(mode="after")
    def _known(self) -> ModelSection:
        if self.checkpoint is None:
            self.config(vocab_size=512)
        return self

    def config(self, vocab_size: int) -> RxTConfig:
        """The model's configuration for a tokenizer of ``vocab_size`` tokens."""
        try:
            return preset(self.preset, **{**self.options, "vocab_size": vocab_size})
        except UserError as error:
            if isinstance(error.__cause__, ValidationError):
                raise UserError(explain(RxTConfig, error.__cause__, "options.")) from None
            raise

    @field_validator("options")
    @classmethod
    def _no_vocabulary(cls, options: dict[str, Any]) -> dict[str, Any]:
        if "vocab_size" in options:
            raise ValueError("vocab_size comes from the tokenizer; set tokenizer.vocab_size")
        return options


class TokenizerSection(Settings):
    """Byte-level BPE, trained on the recipe's data, or loaded from a folder."""

    vocab_size: int = Field(default=512, ge=263)
    """At least the 256 bytes and the 7 template tokens."""
    dialogues: int = Field(default=2000, ge=1)
    """Dialogues that it is trained on."""
    path: Path | None = None
    """A folder with a saved tokenizer, in place of training one."""


class TokenLimits(Settings):
    """Longest query and answer in tokens, template tokens included; their sum must fit the model's ``max_tokens``."""

    query: int = Field(default=48, ge=4)
    answer: int = Field(default=24, ge=2)
    on_long: Literal["error", "cut"] = "error"
    """Dialogues with longer texts: refuse the data, or cut the tails and report how many."""


SourceName = Annotated[str, StringConstraints(pattern=_NAME)]
"""Reports and pictures carry it in their file names."""


class DataSection(Settings):
    """Which of the sources serves what, and how many dialogues are used of each."""

    sources: dict[SourceName, DataSettings] = Field(min_length=1)
    default: str = "main"
    """The source of everything that names no other."""
    text: str | None = None
    """Source of stage 1 (plain text); None: the default."""
    pairs: str | None = None
    """Source of stage 2 (queries with answers); None: the default."""
    supervised_dialogues: int = Field(default=8000, ge=1, le=10_000_000)
    """Dialogues for the supervised stages, at most."""
    mrl_dialogues: int = Field(default=4000, ge=1, le=10_000_000)
    """Dialogues of each MRL stage, at most; other ones than the supervised stages saw, where the source has more."""

    @model_validator(mode="after")
    def _named(self) -> DataSection:
        for key in ("default", "text", "pairs"):
            name = getattr(self, key)
            if name is not None and name not in self.sources:
                raise ValueError(f"{key} = {name!r} is not one of the sources: {', '.join(self.sources)}")
        return self


class Recipe(Settings):
    """A whole run."""

    name: str = Field(pattern=_NAME)
    description: str = ""
    seed: int = Field(default=0, ge=0)
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of the learner; None: as torch chooses."""
    products: Literal["torch", "onednn", "auto"] = "torch"
    """Who computes matrix products on a CPU (:mod:`rxt_mrl.model.products`); ``auto`` measures at the start and keeps
    its choice in the run. The last bits of all results depend on it."""
    compile: bool = False
    """Compile what training computes with ``torch.compile``: encoder, write and decoder."""
    device: Annotated[str, Field(min_length=1)] = "auto"
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    model: ModelSection = ModelSection()
    tokenizer: TokenizerSection = TokenizerSection()
    limits: TokenLimits = TokenLimits()
    data: DataSection
    supervised: SupervisedSettings = SupervisedSettings()
    env: EnvSpec = EnvSpec()
    reward: RewardSpec | None
    """null where nothing is scored: without a curriculum and without retention."""
    curriculum: tuple[Stage, ...] = ()
    algorithm: AlgorithmSettings = AlgorithmSettings()
    rollout: RolloutSettings = RolloutSettings()
    control: Literal["none", "frozen_memory", "supervised"] = "none"
    """What takes the place of MRL, to see what MRL adds: the same with encoder and memory attention frozen, or
    ``control_seconds`` of memory-aware supervised training at the steps of the last curriculum stage."""
    control_seconds: float = Field(default=120.0, gt=0)
    control_rate: float = Field(default=0.5, gt=0)
    """Learning rate of the supervised control, as a share of stage 4's."""
    beside: tuple[str, ...] = ()
    """Lines that the end of a run prints below its own figures: what was measured before, with which other method."""
    reward_samples: int = Field(default=2, ge=1, le=1000)
    """Sampled answers per held-out question, before and after MRL, for the gain in reward."""
    evaluation: EvaluationSettings = EvaluationSettings()
    report_to: dict[str, dict[str, Any]] = Field(default={"tensorboard": {}})
    """Trackers that get what is logged: a name, a list of names, or names with arguments for ``init`` (``project``,
    ``entity``, ``space_id``, ...); any that accelerate knows. An empty list: none."""
    baseline: BaselineSettings = BaselineSettings()

    @field_validator("report_to", mode="before")
    @classmethod
    def _trackers(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            value = {name: {} for name in names}
        if isinstance(value, dict):
            value = {name: options or {} for name, options in value.items()}
            if value.get("tensorboard"):
                raise ValueError("tensorboard takes no arguments; it writes to RUN/tensorboard")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        check_algorithm(self.algorithm, self.rollout)
        if self.model.checkpoint is None and self.tokens > (width := self.model.config(512).max_tokens):
            raise ValueError(
                f"limits.query + limits.answer = {self.tokens} tokens exceed the model's max_tokens = {width}"
            )
        for number, stage in enumerate(self.curriculum):
            for source in stage.sources:
                if source is not None and source not in self.data.sources:
                    raise ValueError(
                        f"curriculum.{number}.data = {source!r} is not one of data.sources: "
                        f"{', '.join(self.data.sources)}"
                    )
            check_algorithm(for_stage(self.algorithm, stage, f"curriculum.{number}.algorithm"), self.rollout)
        for name in self.evaluation_sources:
            if name not in self.data.sources:
                raise ValueError(
                    f"evaluation.data = {name!r} is not one of data.sources: {', '.join(self.data.sources)}"
                )
        if self.reward is None and (self.curriculum or self.evaluation.retention):
            raise ValueError("reward = None: a curriculum, and retention after each stage, need one")
        planned, warmup = sum(stage.updates for stage in self.curriculum), self.algorithm.critic.warmup
        if self.algorithm.advantage.uses_critic and 0 < planned <= warmup:
            raise ValueError(
                f"algorithm.critic.warmup = {warmup}: the first updates train the critic alone, and the curriculum has "
                f"{planned}; allowed: fewer than these"
            )
        if self.control != "none" and not self.curriculum:
            raise ValueError(f"control = {self.control!r} replaces the MRL curriculum, and the recipe has none")
        return self

    @property
    def tokens(self) -> int:
        """The longest interaction in tokens."""
        return self.limits.query + self.limits.answer

    @property
    def most_steps(self) -> int:
        """The most follow-ups that any stage trains on."""
        aware = self.supervised.memory_aware
        return max([1, *([aware.max_steps] if aware else []), *(stage.most_steps for stage in self.curriculum)])

    @property
    def held_out_steps(self) -> int:
        """Follow-ups of the held-out dialogues."""
        return self.evaluation.steps or self.most_steps

    @property
    def reads_dialogues(self) -> bool:
        """Whether anything is trained or measured on dialogues; False for a recipe on plain text alone."""
        stages, data = self.supervised, self.data
        plain = stages.memory_attention is None and stages.memory_aware is None
        plain = plain and (stages.joint is None or data.text is not None)
        plain = plain and (stages.interaction is None or data.pairs is not None)
        return bool(self.curriculum or self.evaluation_sources) or not plain

    @property
    def evaluation_sources(self) -> tuple[str, ...]:
        """Names of the data sources that retention is measured on, the main one first."""
        return (self.evaluation.data or (self.data.default,)) if self.evaluation.retention else ()

    def source(self, name: str | None = None) -> DataSettings:
        """A data source by name; None: the default."""
        return self.data.sources[name or self.data.default]


def load_recipe(name_or_path: str, assignments: Sequence[str] = ()) -> Recipe:
    """A validated recipe from a name (``rxt-mrl list recipes``) or a YAML file, with ``--set`` assignments applied.

    Raises:
        UserError: one line that names the file, the key, its value and what is allowed.
    """
    content = without_nulls(override(resolve(name_or_path), assignments), Recipe)
    return validate(Recipe, content, f"recipe {name_or_path}")
