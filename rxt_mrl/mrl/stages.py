"""One stage of the MRL curriculum, as a recipe says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, model_validator

from rxt_mrl.contracts import RewardSpec, Strategy, Unfreeze
from rxt_mrl.settings import Settings


class Promotion(Settings):
    """When a curriculum stage ends before its updates are used up; looked at with each validation.

    ``fixed``: never. ``threshold``: when the validation reward reaches ``value``. ``plateau``: when it has not
    improved by ``value`` for ``patience`` validations.
    """

    rule: Literal["fixed", "threshold", "plateau"] = "fixed"
    value: float | None = Field(default=None, ge=0, le=1)
    """Of ``threshold``, which needs one, and of ``plateau`` (None: any improvement); a reward is from 0 to 1."""
    patience: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _useful(self) -> Promotion:
        if self.rule == "threshold" and self.value is None:
            raise ValueError("rule 'threshold' needs value, the validation reward that ends the stage")
        return self


class Validation(Settings):
    """A look at a stage while it runs: greedy answers on fixed held-out dialogues of each source and length."""

    every: int = Field(default=10, ge=1)
    """Updates between two looks."""
    episodes: int = Field(default=64, ge=2)
    """Dialogues of each source and length."""
    keep: Literal["last", "best"] = "last"
    """``best``: the stage ends with the weights that were best, and before its time when the reward has fallen below
    its best by more than the 95 % interval of the paired difference at ``patience`` looks in a row."""
    patience: int = Field(default=2, ge=1)


CarriedAnswer = Literal["sampled", "greedy", "best", "reference"]
"""What goes on to memory: the first sampled answer, the greedy one, the best rewarded one, or the reference."""

Share = Annotated[float, Field(gt=0)]


class Carrying(Settings):
    """Shares of the episodes that carry each kind of answer on, which may change in the course of a stage."""

    start: Mapping[CarriedAnswer, Share] = Field(default={"sampled": 1.0}, min_length=1)
    end: Mapping[CarriedAnswer, Share] | None = Field(default=None, min_length=1)
    """Shares at the end of the stage; None: those of its start."""

    @property
    def kinds(self) -> set[CarriedAnswer]:
        """All kinds that occur."""
        return {*self.start, *(self.end or ())}

    def at(self, progress: float) -> dict[CarriedAnswer, float]:
        """Shares, which sum to 1, when ``progress`` (0 to 1) of the stage is done."""
        first = _normalized(self.start)
        last = first if self.end is None else _normalized(self.end)
        kinds = [kind for kind in get_args(CarriedAnswer) if kind in first or kind in last]
        return {kind: (1 - progress) * first.get(kind, 0.0) + progress * last.get(kind, 0.0) for kind in kinds}

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"start": {value: 1.0}}
        if isinstance(value, Mapping) and value and not value.keys() & {"start", "end"}:
            return {"start": value}
        return value


class Stage(Settings):
    """One stage of the MRL curriculum: how many steps, on which dialogues, for how long, with what changed."""

    steps: int | tuple[int, ...]
    """Follow-ups of the dialogues; several lengths take turns, update by update."""
    updates: int = Field(ge=0)
    strategy: Strategy | None = None
    """How the dialogues are built; None: as their source says."""
    data: str | Mapping[str, Share] | None = None
    """Name of an entry of the recipe's ``data`` section, or several with the share of the updates that each gets; None:
    the recipe's default."""
    validation: Validation | None = None
    """None: no look, unless ``promotion`` needs one."""
    promotion: Promotion = Promotion()
    unfreeze: tuple[Unfreeze, ...] = ()
    random_resets: float = Field(default=1.0, ge=0, le=1)
    """Probability that an episode starts from a fresh memory; otherwise from the memory of another dialogue's end."""
    memory_warmup: bool = False
    """Write the first interaction twice at the start of an episode."""
    carry: Carrying | None = None
    """What goes on to memory in this stage; None: as ``rollout.carry`` says."""
    reward: RewardSpec | None = None
    algorithm: dict[str, Any] = Field(default_factory=dict)
    """Overrides of the recipe's ``algorithm`` section."""

    @model_validator(mode="after")
    def _possible(self) -> Stage:
        if not self.lengths or min(self.lengths) < 1:
            raise ValueError(f"steps = {self.steps!r}: allowed: a number of at least 1, or several")
        if len(set(self.lengths)) < len(self.lengths):
            raise ValueError(
                f"steps = {self.steps!r}: a number stands there twice; data gives shares, steps take turns"
            )
        if isinstance(self.data, Mapping) and not self.data:
            raise ValueError("data is empty: name a source, or several with their shares")
        return self

    @property
    def lengths(self) -> tuple[int, ...]:
        """The numbers of follow-ups."""
        return (self.steps,) if isinstance(self.steps, int) else self.steps

    @property
    def most_steps(self) -> int:
        """The most follow-ups."""
        return max(self.lengths)

    @property
    def sources(self) -> tuple[str | None, ...]:
        """The sources of its dialogues; None is the recipe's default."""
        return tuple(self.data) if isinstance(self.data, Mapping) else (self.data,)

    @property
    def parts(self) -> dict[tuple[str | None, int], float]:
        """The share of the updates for each source and length."""
        shares = _normalized(self.data) if isinstance(self.data, Mapping) else {self.data: 1.0}
        return {
            (source, steps): share / len(self.lengths) for source, share in shares.items() for steps in self.lengths
        }

    @property
    def looks(self) -> Validation | None:
        """How the stage is validated: as asked for, or as a promotion rule needs it."""
        return Validation() if self.validation is None and self.promotion.rule != "fixed" else self.validation


_Key = TypeVar("_Key", bound=str)


def _normalized(shares: Mapping[_Key, float]) -> dict[_Key, float]:
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}
