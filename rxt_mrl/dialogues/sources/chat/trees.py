"""Conversations that branch: OpenAssistant's trees, ChatGPT's exports. The best branch is read, the others counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..rows import Record, RowError
from .checks import bad_turn, id_of, list_of, needed_id
from .names import role_name


def is_tree(row: Mapping[str, Any]) -> bool:
    """Whether a row is a tree of messages."""
    prompt, mapping = row.get("prompt"), row.get("mapping")
    if isinstance(prompt, Mapping) and isinstance(prompt.get("replies"), list):
        return True
    return isinstance(mapping, Mapping) and any(
        isinstance(node, Mapping) and "children" in node for node in mapping.values()
    )


def branch_of(row: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], int]:
    """The messages of the best branch, and how many other messages the tree has.

    At each message the reply of the best rank is followed (the first one, where there are no ranks); in an export the
    branch that was shown last.

    Raises:
        RowError: the row is no tree, or a message of the branch does not say where it goes on.
    """
    if isinstance(row.get("prompt"), Mapping):
        branch = _ranked(row["prompt"])
    elif isinstance(row.get("mapping"), Mapping):
        branch = _exported(row)
    else:
        raise RowError(f"the row is no tree of messages; there are: {', '.join(map(str, row)) or 'none'}")
    return branch, messages_in(row) - len(branch)


def messages_in(row: Mapping[str, Any]) -> int:
    """How many messages a tree has, also those that are none."""
    mapping = row.get("mapping")
    if not isinstance(row.get("prompt"), Mapping) and isinstance(mapping, Mapping):
        return sum(isinstance(node, Mapping) and node.get("message") is not None for node in mapping.values())
    count, waiting = 0, [row["prompt"]] if isinstance(row.get("prompt"), Mapping) else []
    while waiting:
        node = waiting.pop()
        count += 1
        replies = node.get("replies") if isinstance(node, Mapping) else None
        waiting += replies if isinstance(replies, list | tuple) else [replies] * (replies is not None)
    return count


def _ranked(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    branch = []
    node: Mapping[str, Any] | None = message
    while node is not None:
        branch.append(node)
        replies = [reply for reply in list_of(node.get("replies"), "replies") if isinstance(reply, Mapping)]
        node = min(replies, key=_rank, default=None)
    return branch


def _rank(message: Mapping[str, Any]) -> float:
    rank = message.get("rank")
    return rank if isinstance(rank, int | float) else float("inf")


def _exported(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    nodes = {key: node for key, node in row["mapping"].items() if isinstance(node, Mapping)}
    current = id_of(row, "current_node")
    if current not in nodes:
        leaves = [key for key, node in nodes.items() if not node.get("children")]
        current = leaves[-1] if leaves else None
    branch: list[Mapping[str, Any]] = []
    seen = set()
    while current in nodes and current not in seen:
        seen.add(current)
        message = nodes[current].get("message")
        if isinstance(message, Mapping):
            branch.append(message)
        current = id_of(nodes[current], "parent")
    return branch[::-1]


def grow(records: Iterable[Record]) -> Iterator[Record]:
    """Trees of messages that stand in rows of their own and name their parents; one without a place is a bad row.

    A message whose parent is not there begins a tree.
    """
    rows: dict[Any, Record] = {}
    parents: dict[Any, Any] = {}
    for record in records:
        column = "message_id" if "message_id" in record.value else "id"
        try:
            name = needed_id(record.value, column, "the message has no place in a tree")
            if name in rows:
                first = rows[name]
                raise RowError(f"'{column}' is {name!r}, as in {first.unit} {first.number}; each message needs its own")
            parents[name] = id_of(record.value, "parent_id")
            rows[name] = record
        except RowError as error:
            yield bad_turn(record, error)
    messages = {name: {**record.value, "replies": []} for name, record in rows.items()}
    replies: dict[Any, list[Any]] = {name: [] for name in rows}
    roots = []
    for name, parent in parents.items():
        if parent in rows and parent != name:
            replies[parent].append(name)
            messages[parent]["replies"].append(messages[name])
        else:
            roots.append(name)
    waiting, placed = [*roots], set()
    while waiting:
        name = waiting.pop()
        placed.add(name)
        waiting += replies[name]
    for name, record in rows.items():
        if name not in placed:
            yield bad_turn(record, RowError("the parents of the message go in a circle"))
    for name in roots:
        yield replace(rows[name], value={"prompt": messages[name]})


def message_role(message: Mapping[str, Any]) -> str:
    """The role of a tree's message."""
    return role_name(message.get("role", message.get("author")))
