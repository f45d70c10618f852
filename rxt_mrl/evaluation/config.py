"""What a recipe can set about the evaluation."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from ..contracts import RewardSpec
from ..model.device import Precision
from ..settings import Settings, Temperature

Control = Literal["wiped", "swapped", "frozen", "oracle"]
"""What is answered from in place of the memory: ``wiped``, the initial one; ``swapped``, that of the dialogue before at
the same step; ``frozen``, as it was after the first interaction; ``oracle``, the initial one with the interactions that
told the asked facts in the query. The first two cannot help."""

CONTROLS: tuple[Control, ...] = get_args(Control)


class EvaluationSettings(Settings):
    """How retention is measured.

    Attributes:
        data: names of the recipe's data sources that are measured, the main one first (one name is short for a list
            of it); None: the recipe's default. :func:`~rxt_mrl.evaluation.evaluate` is given its dialogues and does not
            read it.
        episodes: held-out dialogues, the first ones of the set; None: all.
        steps: follow-ups of each; None: all that the dialogues have.
        batch_size: dialogues that are answered together.
        temperature: 0 answers greedily, which is what recall is reported for; above 0 samples.
        max_new_tokens: longest answer; None: the longest reference answer and 8 tokens more.
        teacher_forcing: write the reference answers to memory in place of the model's own.
        controls: what is answered from beside the real memory.
        bits: dialogues, the first ones, of which each interaction is left out in turn (``steps`` times the work of
            reading them once); 0: none.
        context: most tokens that a stateless subject reads, answer included; None: as many as its model takes.
        reward: what the score is made of; None: the published composite.
        score: whether to score at all (recall and PPL do not need it).
        precision: of what an RxT computes; memories and log-probabilities are float32 in both.
        retention: whether a run measures retention at all; False for recipes that train no memory.
    """

    data: tuple[str, ...] | None = Field(default=None, min_length=1)
    episodes: int | None = Field(default=300, ge=1, le=1_000_000)
    steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=100, ge=1)
    temperature: Temperature = 0.0
    max_new_tokens: int | None = Field(default=None, ge=1)
    teacher_forcing: bool = False
    controls: tuple[Control, ...] = CONTROLS
    bits: int = Field(default=100, ge=0)
    context: int | None = Field(default=None, ge=8)
    reward: RewardSpec | None = None
    score: bool = True
    precision: Precision = "float32"
    retention: bool = True

    @field_validator("data", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("data")
    @classmethod
    def _once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("a source is named twice; allowed: each once")
        return value
