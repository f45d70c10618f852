"""Conversations that branch: OpenAssistant's trees, ChatGPT's exports. The best branch is read, the others counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    """
    if isinstance(row.get("prompt"), Mapping):
        return _ranked(row["prompt"])
    return _exported(row)


def _ranked(message: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], int]:
    branch, all_messages = [], _count(message)
    node: Mapping[str, Any] | None = message
    while node is not None:
        branch.append(node)
        replies = [reply for reply in node.get("replies") or () if isinstance(reply, Mapping)]
        node = min(replies, key=_rank, default=None)
    return branch, all_messages - len(branch)


def _rank(message: Mapping[str, Any]) -> float:
    rank = message.get("rank")
    return float(rank) if isinstance(rank, int | float) else float("inf")


def _count(message: Mapping[str, Any]) -> int:
    count, waiting = 0, [message]
    while waiting:
        node = waiting.pop()
        count += 1
        waiting += [reply for reply in node.get("replies") or () if isinstance(reply, Mapping)]
    return count


def _exported(row: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], int]:
    nodes = {key: node for key, node in row["mapping"].items() if isinstance(node, Mapping)}
    spoken = sum(isinstance(node.get("message"), Mapping) for node in nodes.values())
    current = row.get("current_node")
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
        current = nodes[current].get("parent")
    return branch[::-1], spoken - len(branch)


def grow(rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Trees of messages that stand in rows of their own and name their parents."""
    nodes: dict[Any, dict[str, Any]] = {}
    for row in rows:
        nodes[row.get("message_id", row.get("id"))] = {**row, "replies": []}
    roots: list[Mapping[str, Any]] = []
    for node in nodes.values():
        parent = nodes.get(node.get("parent_id"))
        (parent["replies"] if parent is not None and parent is not node else roots).append(node)
    return [{"prompt": root} for root in roots]


def message_role(message: Mapping[str, Any]) -> str:
    """The role of a tree's message."""
    return role_name(message.get("role", message.get("author")))
