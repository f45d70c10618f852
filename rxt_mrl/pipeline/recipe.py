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

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

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
from ..settings import Settings, explain, validate
from ..supervised.config import SupervisedSettings
from .recipe_files import override, resolve

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class ModelSection(Settings):
    """The model: a preset by name with changed keys, or the weights of a checkpoint to start from."""

    preset: str = "nano"
    options: dict[str, Any] = Field(default_factory=dict)
    """Keys of :class:`~rxt_mrl.model.config.RxTConfig` that differ from the preset."""
    init_from: Path | None = None
    """A checkpoint whose model and tokenizer the run starts from; ``preset`` is then not used."""

    @model_validator(mode="after")
    def _known(self) -> ModelSection:
        if self.init_from is None:
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
    supervised_dialogues: int = Field(default=8000, ge=1)
    """Dialogues for the supervised stages, at most."""
    mrl_dialogues: int = Field(default=4000, ge=1)
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
    device: str = "auto"
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    model: ModelSection = ModelSection()
    tokenizer: TokenizerSection = TokenizerSection()
    limits: TokenLimits = TokenLimits()
    data: DataSection
    supervised: SupervisedSettings = SupervisedSettings()
    env: EnvSpec = EnvSpec()
    reward: RewardSpec
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
    reward_samples: int = Field(default=2, ge=1)
    """Sampled answers per held-out question, before and after MRL, for the gain in reward."""
    evaluation: EvaluationSettings = EvaluationSettings()
    baseline: BaselineSettings = BaselineSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        check_algorithm(self.algorithm, self.rollout)
        if self.model.init_from is None and self.tokens > (width := self.model.config(512).max_tokens):
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
        if self.control != "none" and not self.curriculum:
            raise ValueError(f"control = {self.control!r} replaces the MRL curriculum, and the recipe has none")
        return self

    @property
    def tokens(self) -> int:
        """The longest interaction in tokens."""
        return self.limits.query + self.limits.answer

    @property
    def evaluation_sources(self) -> tuple[str, ...]:
        """Names of the data sources that are measured, the main one first."""
        return self.evaluation.data or (self.data.default,)

    def source(self, name: str | None = None) -> DataSettings:
        """A data source by name; None: the default."""
        return self.data.sources[name or self.data.default]


def load_recipe(name_or_path: str, assignments: Sequence[str] = ()) -> Recipe:
    """A validated recipe from a name (``rxt-mrl list recipes``) or a YAML file, with ``--set`` assignments applied.

    Raises:
        UserError: one line that names the file, the key, its value and what is allowed.
    """
    return validate(Recipe, override(resolve(name_or_path), assignments), f"recipe {name_or_path}")
