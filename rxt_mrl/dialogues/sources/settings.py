"""One entry of a recipe's ``data`` section: which source of dialogues, and how to read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ...contracts import Strategy
from ...errors import UserError
from ...plugins import names
from ...settings import Settings, explain
from ..storyworld import StoryworldConfig
from ..tinystories import TinyStoriesOptions
from .babi import BabiOptions
from .chat.options import ChatOptions
from .rows import Columns, OnBadRow

Split = Literal["train", "validation", "supervised"]

LOCAL = ("parquet", "jsonl", "arrow", "chat", "babi", "tinystories")
BUILT_IN = ("storyworld", "hub", *LOCAL)

OPTIONS: Mapping[str, type[Settings]] = {
    "storyworld": StoryworldConfig,
    "babi": BabiOptions,
    "chat": ChatOptions,
    "tinystories": TinyStoriesOptions,
}
"""What ``options`` may hold, by source; a plug-in's go to its constructor."""


class DataSettings(Settings):
    """One source of dialogues, as a recipe or the command line names it.

    Examples::

        {source: storyworld, options: {level: easy}}
        {source: hub, name: ReactiveAI/TinyStories-MRL, config: steps-8-lr, strategy: long_range}
        {source: jsonl, path: my/dialogues, on_bad_row: skip, columns: {query: prompt}}
        {source: chat, path: sharegpt.json, options: {system: prefix, windows: true}}
        {source: babi, path: tasks/en, options: {tasks: [1, 6], windows: true}}
        {source: my_package.sources:Quiz, options: {level: 2}}
    """

    source: str = "storyworld"
    path: str | None = None
    """File or folder of a local source."""
    name: str | None = None
    """Data set on the Hub (or a local copy of its repository); of ``tinystories`` and ``chat`` in place of ``path``."""
    config: str | None = None
    """Sub-set of a data set: ``steps-8``."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    streaming: bool = False
    """Read a Hub data set while it comes, without storing it."""
    strategy: Strategy = "multi_step"
    """How the dialogues are built; for generated ones also how they are to be built."""
    splits: dict[Split, str] = Field(default_factory=dict)
    """What the data calls our splits (``{validation: test}``); in a folder also a file pattern (``dev/*.jsonl``)."""
    holdout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the train rows that become the validation split and leave train; 0: the data has its own."""
    columns: Columns = Columns()
    references: bool = True
    """False: the follow-ups of training dialogues come without reference answers, so that only rewards can teach
    (``asks`` stay). The validation split keeps them, to be measured by."""
    annotate: Literal["carried_words"] | None = None
    """``carried_words``: facts of English dialogues are found by a rule (:mod:`..carried_words`), in place of those
    that the data says. For data without annotations."""
    on_bad_row: OnBadRow = "stop"
    """At a row that cannot be used: ``stop``, or ``skip`` and count it."""
    steps: int | None = Field(default=None, ge=1)
    """Follow-ups of each dialogue, where the caller does not say; longer ones are cut, shorter ones are bad rows."""
    limit: int | None = Field(default=None, ge=1)
    """Dialogues (texts, pairs) at most."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the generated sources and of plug-ins."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        """``babi:FILE`` for a source with its path; the strategy may stand among the options."""
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        kind, colon, rest = str(data.get("source", "")).partition(":")
        if colon and kind in BUILT_IN and rest:
            data["source"] = kind
            data.setdefault("name" if kind == "hub" else "path", rest)
        options = data.get("options")
        if isinstance(options, Mapping) and "strategy" in options and "strategy" not in data:
            data["strategy"] = options["strategy"]
        return data

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        if source in BUILT_IN or ":" in source:
            return source
        known = names("source")
        if source.replace("-", "_") not in [name.replace("-", "_") for name in known]:
            allowed = ", ".join((*BUILT_IN, *known))
            raise ValueError(f"unknown source {source!r}; allowed: {allowed}, package.module:Name, file.py:Name")
        return source

    @model_validator(mode="after")
    def _complete(self) -> DataSettings:
        if self.source == "hub" and not self.name:
            raise ValueError("source 'hub' needs name, for example ReactiveAI/TinyStories-MRL")
        if self.source in LOCAL and not self.path and not (self.source in ("tinystories", "chat") and self.name):
            raise ValueError(f"source {self.source!r} needs path, a file or folder")
        if unused := self._unused():
            raise ValueError(f"source {self.source!r} does not use {', '.join(unused)}")
        if self.holdout and self.source not in ("hub", *LOCAL):
            raise ValueError(f"holdout is for data sets; source {self.source!r} makes its splits itself")
        if self.holdout and "validation" in self.splits:
            raise ValueError("holdout takes validation from train, so splits.validation has no use: give one of them")
        if self.source in OPTIONS:
            self.typed_options()
        elif self.source in BUILT_IN and self.options:
            raise ValueError(f"source {self.source!r} takes no options, got: {', '.join(self.options)}")
        return self

    def _unused(self) -> list[str]:
        """Keys that are given and say nothing to this source."""
        if self.source not in ("hub", *LOCAL):
            idle: tuple[str, ...] = ("path", "name", "config", "revision", "streaming")
        elif self.source == "hub":
            idle = ("path",)
        else:
            idle = ("name", "revision", "streaming") if self.path else ()
        return [key for key in idle if getattr(self, key)]

    def typed_options(self, **changes: Any) -> Any:
        """The options of a built-in source as its settings, with the strategy where it has one."""
        kind = OPTIONS[self.source]
        content = {**self.options, **changes}
        if "strategy" in kind.model_fields:
            content["strategy"] = self.strategy
        try:
            return kind(**content)
        except ValidationError as error:
            raise UserError(f"source {self.source!r}: {explain(kind, error, 'options.')}") from None

    @property
    def has_windows(self) -> bool:
        """Whether other dialogues are made for another number of follow-ups, and not only shorter ones."""
        if self.source not in OPTIONS:
            return False
        options = self.typed_options()
        return any(getattr(options, name, False) for name in ("windows", "skip"))

    @property
    def label(self) -> str:
        """The source in a few words, for messages."""
        where = self.path or self.name
        return " ".join(filter(None, (self.source, where, self.config)))
