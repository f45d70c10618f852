"""What a recipe says of a reward: its terms, where each counts and how it is called; and how a file declares one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from .errors import UserError
from .settings import Settings

Strategy = Literal["multi_step", "long_range"]
"""How a dialogue is built: one topic throughout, or other topics in between and a return at the end."""

Mode = Literal["standard", "topic_switch", "return"]
"""What a step asks for: go on with the topic, leave it (published: NEGATIVE), or return to the first one
(published: LONG_RANGE)."""


def mode_of(strategy: Strategy, step: int, steps: int) -> Mode:
    """What step ``step`` of ``steps`` (1 for the first follow-up) asks for.

    Published rule: multi-step is always ``standard``; long range leaves the first topic in step 1
    (``topic_switch``) and returns to it in the last (``return``).
    """
    if strategy == "multi_step":
        return "standard"
    return "topic_switch" if step == 1 else "return" if step == steps else "standard"


_Declared = TypeVar("_Declared", bound=Callable[..., Any])


def reward(
    *, weight: float = 1.0, name: str | None = None, concurrent: bool = False, episode: bool = False
) -> Callable[[_Declared], _Declared]:
    """Declare a function or class to be a reward, with the weight that it has when a recipe gives none.

    Args:
        weight: its weight in a sum, at least 0.
        name: what logs and reports call it; by default the name of the function or class.
        episode: it scores the whole episode, which ``context.history`` holds: it is called at the last step alone.
        concurrent: call it for one answer at a time, many beside each other (see :class:`Calls`), as ``async def`` is.

    Raises:
        UserError: when the weight is negative or not finite.
    """
    if not 0 <= weight < float("inf"):
        raise UserError(f"@reward(weight={weight!r}): a weight must be a finite number of at least 0")

    def declare(target: _Declared) -> _Declared:
        target.reward_weight = weight  # type: ignore[attr-defined]
        target.reward_name = name or target.__name__  # type: ignore[attr-defined]
        target.reward_episode = episode  # type: ignore[attr-defined]
        target.reward_concurrent = concurrent  # type: ignore[attr-defined]
        return target

    return declare


def plugin(kind: Literal["env", "source"], *, name: str | None = None) -> Callable[[_Declared], _Declared]:
    """Declare a function or class to be an environment or a source of dialogues, so that a dotted path may name it.

    A subclass of ``gymnasium.vector.VectorEnv``, and what an entry point names, need no declaration.
    """

    def declare(target: _Declared) -> _Declared:
        setattr(target, f"{kind}_name", name or target.__name__)
        return target

    return declare


class Calls(Settings):
    """How a slow reward is called: ``limit`` calls at a time, each again after a failure; scores are kept on disk."""

    limit: int = Field(default=16, ge=1)
    timeout: float = Field(default=60.0, gt=0)
    """Seconds of one call."""
    retries: int = Field(default=4, ge=0)
    backoff: float = Field(default=1.0, ge=0)
    """Seconds before the first retry, at most; doubled before each further one."""
    cache: bool = True


Step = Annotated[int, Field(ge=1, strict=True)]


class RewardTerm(Settings):
    """One weighted term of a reward: a name, a dotted path or ``file.py:Name``, with constructor options.

    ``steps``, ``mode`` and ``strategy`` say where it counts; elsewhere the other terms share its weight.
    """

    use: str
    weight: float | None = Field(default=None, ge=0)
    """None: what the reward declares, else 1."""
    options: dict[str, Any] = Field(default_factory=dict)
    calls: Calls | None = None
    steps: Literal["all", "first", "last"] | Annotated[tuple[Step, ...], Field(min_length=1)] | None = None
    """Of an episode, from 1 on; None: all, or the last for a reward of whole episodes."""
    mode: tuple[Mode, ...] = ()
    strategy: Strategy | None = None

    @model_validator(mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    @field_validator("steps", "mode", mode="before")
    @classmethod
    def _one(cls, value: Any, info: ValidationInfo) -> Any:
        """One is short for a list of it."""
        short = int if info.field_name == "steps" else str
        return (value,) if isinstance(value, short) and not isinstance(value, bool) else value


class RewardSpec(Settings):
    """A weighted sum of terms; metrics are logged and not rewarded.

    A name or path is short for a term, a term for a spec of that term alone, a list of terms for their sum.
    """

    terms: tuple[RewardTerm, ...] = Field(min_length=1)
    metrics: tuple[RewardTerm, ...] = ()
    on_error: Literal["raise", "skip"] = "raise"
    max_unknown: float | None = Field(default=None, ge=0, le=1)
    """Stop when the reward of more than this share of an update's answers is unknown, with ``on_error: skip``."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str) or (isinstance(value, dict) and "use" in value and "terms" not in value):
            value = [value]
        return {"terms": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _effective(self) -> RewardSpec:
        for metric in self.metrics:
            if metric.weight not in (None, 1.0):  # 1: what runs of earlier builds stored
                raise ValueError(f"metrics are not rewarded, so {metric.use} has no weight")
        if self.max_unknown is not None and self.on_error == "raise":
            raise ValueError("max_unknown needs on_error: skip; with raise, the first failure stops the run")
        return self
