"""The base of everything that a recipe can set: strict, immutable, validated before anything starts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A section of a recipe. Unknown keys and wrong values are errors, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, protected_namespaces=())
