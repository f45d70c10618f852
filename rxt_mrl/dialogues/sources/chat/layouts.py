"""How a row holds its turns: seen from the first rows, then the same for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..rows import RowError
from .names import LISTS, PASSAGES, ROLES, TAILS, Role, named, pair_of, role_name, turn_keys
from .options import ChatOptions, LayoutName
from .trees import is_tree

LOOKED_AT = 100
"""Rows that a layout is seen from."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the turns of a row are.

    Attributes:
        name: the kind.
        turns: column of the list; dotted through mappings.
        first, second: keys of role and content of a turn; of query and answer of a pair; of passage and questions.
        roles: what the roles are called in this data, in lower case.
    """

    name: LayoutName
    turns: str = ""
    first: str = ""
    second: str = ""
    roles: tuple[tuple[str, Role], ...] = ()

    @property
    def role_of(self) -> dict[str, Role]:
        """Roles by their names in lower case."""
        return dict(self.roles)

    def __str__(self) -> str:
        keys = " and ".join(filter(None, (self.first, self.second)))
        return f"{self.name}" + (f" in '{self.turns}'" if self.turns else "") + (f" ({keys})" if keys else "")


def detect(rows: Sequence[Any], options: ChatOptions) -> Layout | None:
    """The layout of most of the rows; None where none of them holds turns."""
    found = Counter(layout for row in rows if (layout := layout_of(row, options)) is not None)
    if not found:
        return None
    layout = found.most_common(1)[0][0]
    return replace(layout, roles=_roles(rows, layout, options)) if layout.name == "messages" else layout


def layout_of(row: Any, options: ChatOptions) -> Layout | None:
    """The layout of one row, without the roles; None where it holds no turns that are known."""
    if isinstance(row, list):
        row = {"turns": row}
    if not isinstance(row, Mapping):
        return None
    wanted = options.layout
    special = _special(row, options)
    if special is not None and wanted in (None, special.name):
        return special
    for column in _columns(row, options):
        kind = _of_items(as_list(at(row, column)), options)
        if kind is None or wanted not in (None, kind.name) or _a_pair_of_columns(row, column, kind):
            continue
        if kind != Layout("alternating") or wanted or options.turns or column.lower() in LISTS:  # no tags, no traits
            return replace(kind, turns=column)
    pair = pair_of(row) if wanted in (None, "instruction") else None
    return None if pair is None else Layout("instruction", "", *pair)


def _special(row: Mapping[str, Any], options: ChatOptions) -> Layout | None:
    """Layouts that a row's columns tell as a whole."""
    told = row.get("conversation")
    if isinstance(told, Mapping) and any(str(key).startswith("session_") for key in told) and "qa" in row:
        return Layout("locomo", "conversation")
    if "haystack_sessions" in row:
        return Layout("longmemeval", "haystack_sessions")
    if is_tree(row):
        return Layout("tree")
    passage = options.content if options.layout == "passage" and options.content else named(row, PASSAGES)
    questions = options.turns if options.layout == "passage" and options.turns else named(row, ("questions", "qas"))
    if passage is not None and questions is not None and isinstance(row.get(questions), list | Mapping):
        return Layout("passage", "", passage, questions)
    return None


def _columns(row: Mapping[str, Any], options: ChatOptions) -> list[str]:
    """Columns that may hold the turns, the likeliest first."""
    if options.turns is not None:
        return [options.turns]
    lower = {str(key).lower(): str(key) for key in reversed(list(row))}
    known = [lower[name] for name in LISTS if name in lower]
    return [*known, *(str(key) for key in row if str(key) not in known)]


def _a_pair_of_columns(row: Mapping[str, Any], column: str, kind: Layout) -> bool:
    """Whether a list is only the history of a query and answer that stand beside it (Alpaca)."""
    pair = pair_of(row)
    return pair is not None and column not in pair and kind.name in ("pairs", "alternating")


def at(row: Any, path: str) -> Any:
    """The value of a column, or of a dotted path through mappings; None where there is none."""
    if isinstance(row, Mapping) and path in row:
        return row[path]
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def as_list(value: Any) -> list[Any] | None:
    """A list, also where a reader made a mapping of lists of it; None for anything else."""
    if isinstance(value, Mapping):
        columns = {key: list(items) for key, items in value.items() if isinstance(items, list | tuple)}
        if not columns or len({len(items) for items in columns.values()}) > 1:
            return None
        return [dict(zip(columns, items, strict=True)) for items in zip(*columns.values(), strict=True)]
    return list(value) if isinstance(value, list | tuple) else None


def _of_items(items: list[Any] | None, options: ChatOptions) -> Layout | None:
    """The layout of a list of turns, seen from its first items."""
    items = [item for item in items or () if item is not None]
    if not items:
        return None
    first = items[0]
    if isinstance(first, str):
        return Layout("alternating") if len(items) > 1 and all(isinstance(item, str) for item in items) else None
    if isinstance(first, list | tuple):
        pairs = all(isinstance(item, list | tuple) and len(item) == 2 for item in items)
        texts = pairs and all(isinstance(text, str | None) for item in items for text in item)
        return Layout("pairs", "", "0", "1") if texts else None
    if not isinstance(first, Mapping):
        return None
    if options.role is not None and options.content is not None:
        if options.layout == "pairs":
            return Layout("pairs", "", options.role, options.content)
        return Layout("messages", "", options.role, options.content)
    keys = next((found for item in items if (found := turn_keys(item)) is not None), None)
    if keys is not None:
        return Layout("messages", "", options.role or keys[0], options.content or keys[1])
    pair = pair_of(first)
    if pair is not None:
        return Layout("pairs", "", *pair)
    if len(first) == 1 and str(next(iter(first))).lower() in ROLES:  # {"human": "..."}, {"bot": "..."}
        return Layout("messages")
    content = options.content or named(first, ("text", "utterance", "message", "content", "value"))
    if content is not None and isinstance(first.get(content), str):
        return Layout("alternating", "", "", content)
    return None


# --- roles -----------------------------------------------------------------------------------------------------------


def _roles(rows: Sequence[Any], layout: Layout, options: ChatOptions) -> tuple[tuple[str, Role], ...]:
    """What the roles are called, from the usual names, the options, and what else the rows have."""
    roles: dict[str, Role] = dict(ROLES)
    roles |= dict.fromkeys((name.lower() for name in options.user), "user")
    roles |= dict.fromkeys((name.lower() for name in options.assistant), "assistant")
    seen = {role for row in rows for role in _roles_in(row, layout)}
    used = {roles[name] for name in seen if name in roles}
    if "system" in seen and "user" in used and "assistant" not in used and not options.assistant:
        roles["system"] = "assistant"  # MultiWOZ and others: the system is who the user talks with
    return tuple(sorted(roles.items()))


def _roles_in(row: Any, layout: Layout) -> set[str]:
    items = as_list(at({"turns": row} if isinstance(row, list) else row, layout.turns))
    if not layout.first:
        return {str(next(iter(item))).lower() for item in items or () if isinstance(item, Mapping) and item}
    found = set()
    for item in items or ():
        if isinstance(item, Mapping) and layout.first in item:
            found.add(role_name(item[layout.first]).lower())
    return found


def roles_for(names: Sequence[str], layout: Layout) -> dict[str, Role]:
    """The roles of one row's speakers.

    Two speakers whose names say nothing (``0`` and ``1``, Ann and Bob) are user and assistant in the order in which
    they speak; one beside a user is the assistant, and the other way round.

    Raises:
        RowError: more speakers than that.
    """
    known = layout.role_of
    roles = {name: known[name.lower()] for name in names if name.lower() in known}
    unknown = [name for name in dict.fromkeys(names) if name not in roles]
    sides: list[Role] = ["user", "assistant"]
    free = [side for side in sides if side not in roles.values()]
    if len(unknown) > len(free):
        raise RowError(
            f"{len(set(names))} speakers ({', '.join(dict.fromkeys(names))}): say which of them is which with the "
            "options user and assistant"
        )
    return {**roles, **dict(zip(unknown, free, strict=False))}


def tail_of(row: Mapping[str, Any], layout: Layout) -> list[Any]:
    """Turns that stand beside the list (a preferred answer)."""
    for name in TAILS:
        if name != layout.turns and name in row:
            value = row[name]
            items = [value] if turn_keys(value) else as_list(value) if isinstance(value, list) else None
            if items and all(turn_keys(item) for item in items):
                return items
    return []
