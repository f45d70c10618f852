"""From a recipe's name or file to a validated object: YAML, ``extends``, ``--set``, errors of one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import plugins, yaml12
from ..errors import UserError
from ..settings import merge


def resolve(name_or_path: str, _chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The raw recipe of a name (entry point) or file, merged over the one that it ``extends``."""
    path = plugins.recipe_file(name_or_path).resolve()
    if path in _chain:
        raise UserError(f"{path}: 'extends' goes in a circle ({' -> '.join(step.name for step in (*_chain, path))})")
    content = yaml12.read(path)
    if content.keys() == {"recipe", "made_by"} and isinstance(content["recipe"], dict):  # a run directory's recipe.yaml
        content = content["recipe"]
    base = content.pop("extends", None)
    if base is None:
        return content
    if not isinstance(base, str):
        raise UserError(f"{path}: extends = {base!r}: allowed: the name or the file of one recipe")
    beside = path.parent / base
    source = str(beside) if base.endswith((".yaml", ".yml")) and beside.is_file() else base
    return merge(resolve(source, (*_chain, path)), content)


def override(content: Mapping[str, Any], assignments: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Apply ``--set a.b=c`` assignments; the value is YAML, a number in the path indexes a list.

    Args:
        content: what they change.
        assignments: as the user gave them.
        option: what the user gave them to, for errors.

    Raises:
        UserError: an assignment without ``=``, a path through something that is not a section, a bad index.
    """
    result: Any = dict(content)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise UserError(f"{option} {assignment}: give {'section.key' if option == '--set' else 'name'}=value")
        try:
            value = yaml12.parse(text)
        except UserError as error:
            raise UserError(f"{option} {assignment}: {error}") from error
        keys = re.sub(r"\[(\d+)\]", r".\1", path).split(".")  # stages[0].steps as stages.0.steps
        result = _assign(result, keys, value, assignment)
    return result


def texts_of(assignments: Sequence[str]) -> set[str]:
    """All texts among the values of ``--set`` assignments: what the user named."""
    return {text for assignment in assignments for text in texts_in(yaml12.parse(assignment.partition("=")[2]))}


def texts_in(value: Any) -> Iterator[str]:
    """All texts in a value of a recipe, at every depth; keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for child in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(child)


def _assign(node: Any, path: list[str], value: Any, assignment: str) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(node, list):
        if not re.fullmatch(r"\d{1,9}", head) or int(head) >= len(node):
            raise UserError(f"--set {assignment}: {head!r} is not an index from 0 to {len(node) - 1}")
        position = int(head)
        return [_assign(item, rest, value, assignment) if i == position else item for i, item in enumerate(node)]
    if node is None:
        node = {}
    if not isinstance(node, Mapping):
        raise UserError(f"--set {assignment}: {head!r} would be a key of {node!r}, which has none")
    return {**node, head: _assign(node.get(head), rest, value, assignment)}
