"""The base of everything that a recipe can set: strict, immutable, validated before anything starts."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from .errors import UserError

Section = TypeVar("Section", bound=BaseModel)

Beta = Annotated[float, Field(ge=0, lt=1)]
"""A decay of AdamW."""

_LEAST_TEMPERATURE = 0.001


def _not_tiny(value: float) -> float:
    if 0 < value < _LEAST_TEMPERATURE:
        raise ValueError(
            f"logits cannot be divided by so little; allowed: 0 (greedy), or at least {_LEAST_TEMPERATURE}"
        )
    return value


Temperature = Annotated[float, Field(ge=0), AfterValidator(_not_tiny)]
"""Divides logits; 0 takes the most probable token."""

_TYPES = ("int", "str")
"""What pydantic puts into the place of a mistake for an alternative of a type: no key of ours."""

RENAMED = {
    "optimiser": ("optimizer", "called 'optimizer'"),
    "lr": ("learning_rate", "called 'learning_rate'"),
    "normalise": ("normalize", "called 'normalize'"),
    "group": ("answers", "replaced by 'answers' (from one memory)"),
    "teacher_forcing": ("carry", "replaced by 'carry: reference'"),
    "every": ("patience", "replaced by 'validation.every' of the stage"),
}
"""Keys of recipes of 0.1: a key that stands at the same place now, and what became of the old one in 0.2."""


class Settings(BaseModel):
    """A section of a recipe. Unknown keys and wrong values are errors, never ignored; so are infinity and NaN."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, protected_namespaces=(), allow_inf_nan=False
    )

    open_sections: ClassVar[Mapping[str, Any]] = {}
    """What a field that takes any mapping is a part of, for :func:`without_nulls`."""

    @field_validator("*", mode="before")
    @classmethod
    def _taken_for_another(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic takes true for 1 where a number is asked for, and an empty path for the working directory."""
        if (isinstance(value, bool) or value == "") and info.field_name in cls.model_fields:
            kinds = _kinds(cls.model_fields[info.field_name].annotation)
            if value != "" and kinds & {int, float} and bool not in kinds:
                raise ValueError("a number is needed, not true or false")
            if value == "" and Path in kinds:
                raise ValueError("a path is needed, not an empty text")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation names at its top: ``int | None`` has ``int`` and ``NoneType``."""
    if typing.get_origin(annotation) is Annotated:
        return _kinds(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return set().union(*map(_kinds, typing.get_args(annotation)))
    return {annotation}


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``change`` over it: mappings key by key, everything else (lists too) replaced."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def validate(schema: type[Section], content: Any, where: str) -> Section:
    """Build a settings object; the first mistake becomes one line: the key, its value, what is allowed."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {explain(schema, error)}") from None


def explain(schema: type[BaseModel], error: ValidationError, prefix: str = "") -> str:
    """One line about the first mistake of a validation, and how many more there are.

    Args:
        schema: what was validated.
        error: what came of it.
        prefix: where ``schema`` stands, put before the key, for example ``"model.options."``.
    """
    mistakes = error.errors()
    # A misspelt key first: it explains why the right one is missing.
    first = min(mistakes, key=lambda mistake: mistake["type"] not in ("extra_forbidden", "invalid_key"))
    where, last = first["loc"], len(first["loc"]) - 1
    named = last if first["type"] in ("extra_forbidden", "missing") else None  # a key for sure, whatever it looks like
    location = tuple(
        part
        for place, part in enumerate(where)
        if isinstance(part, int) or place == named or not ("[" in part or part in _TYPES)
    )
    key = prefix + ".".join(str(part) for part in location) if location else prefix.removesuffix(".")
    if first["type"] == "extra_forbidden":
        allowed = sorted(_fields(schema, location[:-1]))
        beside, became = RENAMED.get(str(location[-1]), ("", ""))
        if beside in allowed:
            text = f"unknown key {key!r}: it is {became} since 0.2"
        else:
            text = f"unknown key {key!r}{_suggest(str(location[-1]), allowed)}; allowed: {', '.join(allowed)}"
    elif first["type"] == "missing":
        text = f"key {key!r} is missing"
    else:
        message = first["msg"].removeprefix("Value error, ")
        value = repr(first["input"])
        value = value if len(value) <= 80 else value[:77] + "..."
        message = message[:1].lower() + message[1:]
        if isinstance(first["input"], Mapping):  # a section as a whole: the message names the keys
            text = f"{key}: {message}" if key else message
        else:
            text = f"{key} = {value}: {message}" if key else message
    more = len(mistakes) - 1
    return text + (f" (and {more} more)" if more else "")


def _suggest(name: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _fields(schema: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """Names of the fields at a place of the schema, following the annotations."""
    candidates: list[Any] = [schema]
    for part in location:
        following: list[Any] = []
        for candidate in candidates:
            field = candidate.model_fields.get(part) if isinstance(part, str) else None
            following += _models(field.annotation) if field is not None else [candidate]
        candidates = following
    return {name for candidate in candidates for name in candidate.model_fields}


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes inside an annotation such as ``dict[str, Stage] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models(argument)]


# --- null ------------------------------------------------------------------------------------------------------------


def without_nulls(content: Any, annotation: Any) -> Any:
    """A recipe's content without the keys that ``null`` removes, at every depth.

    ``null`` stays where it is a value that the key can have (no stage, no limit); elsewhere the key is as if nobody had
    given it: an entry of a mapping is gone, an option or a section has its default.

    Args:
        content: merged, not validated yet.
        annotation: what it is to become: a settings class, or the type of a field.
    """
    if isinstance(content, list):
        return [without_nulls(item, annotation) for item in content]
    if not isinstance(content, Mapping):
        return content
    kept: dict[str, Any] = {}
    for key, value in content.items():
        inner = [
            getattr(model, "open_sections", {}).get(key, model.model_fields[key].annotation)
            for model in _models(annotation)
            if key in model.model_fields
        ]
        inner = inner or _entries(annotation)
        if value is None and inner and not any(_takes_null(kind) for kind in inner):
            continue
        kept[key] = without_nulls(value, typing.Union[tuple(inner)] if inner else None)  # noqa: UP007
    return kept


def _entries(annotation: Any) -> list[Any]:
    """What the values of a mapping are, for an annotation such as ``dict[str, Stage]``; whatever is inside of Any."""
    if annotation is Any:
        return [Any]
    if typing.get_origin(annotation) in (dict, Mapping):
        return [typing.get_args(annotation)[1]]
    return [kind for argument in typing.get_args(annotation) for kind in _entries(argument)]


def _takes_null(annotation: Any) -> bool:
    return annotation is type(None) or (
        typing.get_origin(annotation) not in (dict, list, tuple, Mapping)
        and any(_takes_null(argument) for argument in typing.get_args(annotation))
    )
