"""Figures of a document as they are shown: each says which value of the JSON it is, so that a page can be checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal

Form = Literal["percent", "one", "two", "three", "count"]
"""How a value is written: a share in percent, so many decimals, or a whole number."""

NOTHING = "\u2013"
"""What stands where there is no value."""

Path = tuple[str | int, ...]


def written(value: Any, form: Form) -> str:
    """A value as it is shown; an interval ``[low, high]`` as ``low - high``."""
    if value is None:
        return NOTHING
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " \u2013 ".join(written(end, form) for end in value)
    if form == "count":
        return f"{value:,.0f}"
    places = 1 if form == "percent" else ("one", "two", "three").index(form) + 1
    # 0.0 has no sign, however it came about
    return f"{round(100 * value if form == 'percent' else value, places) + 0.0:.{places}f}"


class Figures:
    """Shows values of a document.

    Args:
        document: plain values, as in JSON.
        at: where all paths begin.
    """

    def __init__(self, document: Mapping[str, Any], at: Path = ()) -> None:
        self.document, self.at = document, at

    def below(self, *path: str | int) -> Figures:
        """The same document, from another place on."""
        return Figures(self.document, (*self.at, *path))

    def value(self, *path: str | int) -> Any:
        """A value; None where there is none."""
        found: Any = self.document
        for name in (*self.at, *path):
            try:
                found = found[name]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def show(self, *path: str | int, form: Form = "percent") -> str:
        """A value as HTML that says where it comes from."""
        return f"<span{self.mark(*path, form=form)}>{written(self.value(*path), form)}</span>"

    def mark(self, *path: str | int, form: Form = "percent") -> str:
        """The attributes that say where the text of an element comes from."""
        key = "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in (*self.at, *path))
        return f' data-key="{escape("/" + key, quote=True)}" data-form="{form}"'
