"""YAML as recipes, ``--set`` and data files are written in: the scalars of YAML 1.2, and nothing twice or half.

PyYAML follows YAML 1.1, where ``1e-3`` is a text, ``12:30`` is 750, ``010`` is 8 and ``no`` is False. Here a scalar
means what the core schema of YAML 1.2 says (https://yaml.org/spec/1.2.2/#103-core-schema): ``true`` and ``false``,
``null`` and ``~``, decimal integers, ``0o`` and ``0x``, floats; everything else is a text, dates too.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from .errors import UserError

DEEPEST = 100
"""Levels of nesting."""
MOST_NODES = 100_000
"""Values of a document with its aliases written out; a few lines of them can stand for billions."""

_SCALARS = (
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    (
        "float",
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+0123456789."),
    ),
    ("merge", re.compile(r"^<<$"), ["<"]),
)


class _Loader(yaml.SafeLoader):
    """The scalars above; a key given twice is refused, where YAML keeps the last one in silence."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's name

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark
            raise UserError(f"line {mark.line + 1}: nested more than {DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_document(self) -> yaml.Node | None:
        document = super().compose_document()
        if document is not None:
            _measure(document)
        return document


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would read as something other than a text."""


for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, _first)
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, _first)


def _measure(document: yaml.Node) -> None:
    """Refuse documents that are endless or enormous when their aliases are written out.

    Raises:
        UserError: names the line.
    """
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node), 0)
        if known is None:
            raise UserError(f"line {node.start_mark.line + 1}: an alias stands inside of what it names")
        if known:
            return known
        sizes[id(node)] = None
        total = 1
        if isinstance(node, yaml.MappingNode):
            total += sum(size(key) + size(value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(map(size, node.value))
        sizes[id(node)] = total
        if total > MOST_NODES:
            raise UserError(f"line {node.start_mark.line + 1}: more than {MOST_NODES:,} values, aliases written out")
        return total

    size(document)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
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


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    try:
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    except ValueError:
        shown = text if len(text) <= 20 else f"{text[:20]}... ({len(text)} characters)"
        raise UserError(f"line {node.start_mark.line + 1}: {shown} is no whole number that can be read") from None


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = loader.construct_scalar(node)
    return float(text.replace(".inf", "inf").replace(".nan", "nan") if text[-1].isalpha() else text)


def _str(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    for bad, what in ((r"[\ud800-\udfff]", "half a character"), (r"\0", "a NUL character")):
        if found := re.search(bad, text):
            raise UserError(f"line {node.start_mark.line + 1}: a text holds {what} (\\u{ord(found[0]):04x})")
    return text


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)
_Loader.add_constructor("tag:yaml.org,2002:str", _str)


def parse(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        UserError: one line: where it is no YAML, a key that is given twice, nesting without end.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"not YAML{where}: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        raise UserError(f"not YAML, character {int(error.character):#04x} is not allowed") from error
    except (ValueError, OverflowError) as error:  # a tag that does not fit its value, as in !!int x
        if isinstance(error, UserError):
            raise
        raise UserError(f"not YAML: {' '.join(str(error).split())}") from error


def read(path: Path, what: str = "a recipe is a mapping of sections") -> dict[str, Any]:
    """Read a YAML file that holds a mapping; ``what`` says in the error what it should be.

    Raises:
        UserError: missing or unreadable file, bad YAML (with line and column), duplicate key, not a mapping.
    """
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read, it is not UTF-8 (byte {error.start + 1})") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: {what}, this is {'empty' if content is None else type(content).__name__}")
    return content


def text_of(content: Any) -> str:
    """Plain values as YAML, in the order that they have."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
