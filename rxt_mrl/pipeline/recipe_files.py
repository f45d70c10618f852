"""From a recipe's name or file to a validated object: YAML, ``extends``, ``--set``, errors of one line."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .. import plugins
from ..errors import UserError
from ..settings import merge


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice, where plain YAML keeps the last one in silence."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    seen: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if not isinstance(key, Hashable):
            raise UserError(f"line {line}: {key!r} cannot be a key; allowed: a word")
        if key in seen:
            raise UserError(f"line {line}: key {key!r} is given twice")
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        UserError: missing or unreadable file, bad YAML (with line and column), duplicate key, not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    try:
        content = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UserError(f"{path}: not YAML, {where}{error.problem}") from error
    except yaml.reader.ReaderError as error:
        raise UserError(f"{path}: not YAML, character {error.character:#04x} is not allowed") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: a recipe is a mapping of sections, this is {type(content).__name__}")
    return content


def resolve(name_or_path: str, _chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The raw recipe of a name (entry point) or file, merged over the one that it ``extends``."""
    path = plugins.recipe_file(name_or_path).resolve()
    if path in _chain:
        raise UserError(f"{path}: 'extends' goes in a circle ({' -> '.join(step.name for step in (*_chain, path))})")
    content = read_yaml(path)
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


def override(content: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply ``--set a.b=c`` assignments; the value is YAML, a number in the path indexes a list.

    Raises:
        UserError: an assignment without ``=``, a path through something that is not a section, a bad index.
    """
    result: Any = dict(content)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise UserError(f"--set {assignment}: give section.key=value")
        try:
            value = yaml.load(text, Loader=_StrictLoader)
        except yaml.YAMLError as error:
            raise UserError(f"--set {assignment}: the value is not YAML") from error
        result = _assign(result, path.split("."), value, assignment)
    return result


def _assign(node: Any, path: list[str], value: Any, assignment: str) -> Any:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(node, list):
        if not head.isdigit() or int(head) >= len(node):
            raise UserError(f"--set {assignment}: {head!r} is not an index from 0 to {len(node) - 1}")
        position = int(head)
        return [_assign(item, rest, value, assignment) if i == position else item for i, item in enumerate(node)]
    if node is None:
        node = {}
    if not isinstance(node, Mapping):
        raise UserError(f"--set {assignment}: {head!r} would be a key of {node!r}, which has none")
    return {**node, head: _assign(node.get(head), rest, value, assignment)}
