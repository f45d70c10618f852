"""What conversations call their parts: columns, keys of a turn, roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Role = Literal["user", "assistant", "system", "tool", "call"]
"""Who speaks. ``tool`` is what a tool gave back, ``call`` what the assistant called it with."""

LISTS = (
    "messages", "conversations", "conversation", "history", "turns", "dialog", "dialogue", "dialogs", "dialogues",
    "utterances", "exchanges", "chat", "thread", "log", "data", "items", "content", "chosen", "prompt",
)  # fmt: skip
"""Columns that hold the turns of a conversation; others are looked at after them."""

TAILS = ("completion", "chosen", "response", "output")
"""Columns that hold further turns, after those of a list."""

ROLE_KEYS = ("role", "from", "speaker", "author", "sender", "agent", "speaker_id", "speaker_idx", "name", "type")
CONTENT_KEYS = ("content", "value", "text", "utterance", "message", "body", "msg", "parts", "transcript", "data")

PAIRS = (
    ("instruction", "output"), ("instruction", "response"),
    ("user", "bot"), ("user", "assistant"), ("user", "system"), ("user", "agent"), ("user", "model"), ("user", "ai"),
    ("human", "assistant"), ("human", "bot"), ("human", "gpt"), ("human", "ai"), ("usr", "sys"), ("customer", "agent"),
    ("question", "answer"), ("query", "answer"), ("query", "response"), ("prompt", "response"),
    ("prompt", "completion"), ("prompt", "answer"), ("prompt", "output"), ("input", "output"), ("input", "response"),
    ("question", "response"), ("q", "a"),
)  # fmt: skip
"""Keys of an item (or columns of a row) that holds a query and its answer."""

PASSAGES = ("story", "context", "passage", "article", "document", "background")
"""Columns that hold a text which questions are about."""

GROUPS = (
    "message_tree_id", "conversation_id", "conv_id", "dialogue_id", "dialog_id", "dialogue_idx", "thread_id", "chat_id",
    "session_id", "conversation", "dialogue", "dialog",
)  # fmt: skip
"""Columns that say which conversation a row belongs to, where a row is one turn."""

ORDERS = ("turn_id", "turn", "turn_index", "turn_idx", "utterance_idx", "utterance_id", "index", "position", "order")
"""Columns that say in which order."""

_ROLES: Mapping[Role, str] = {
    "user": "user human prompter customer client usr me seeker apprentice student patient caller visitor question q",
    "assistant": "assistant gpt chatgpt bot chatbot model ai agent wizard teacher doctor operator bard bing claude "
    "gemini llm answer a recommender system_response",
    "system": "system developer sys",
    "tool": "tool function observation ipython tool_response tool_result tool_output function_response function_output",
    "call": "function_call tool_call tool_calls",
}
ROLES: Mapping[str, Role] = {name: role for role, names in _ROLES.items() for name in names.split()}
"""Role names in lower case."""


def named(mapping: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The key of a mapping that is one of some names, in their order and in any case."""
    lower = {str(key).lower(): key for key in reversed(list(mapping))}
    return next((lower[name] for name in names if name in lower), None)


def pair_of(mapping: Mapping[str, Any]) -> tuple[str, str] | None:
    """The keys of a query and its answer, texts (an answer also a number); None where there are none."""
    lower = {str(key).lower(): key for key in reversed(list(mapping))}
    for query, answer in PAIRS:
        if query in lower and answer in lower and _holds_text(mapping, lower[query], lower[answer]):
            return lower[query], lower[answer]
    return None


def _holds_text(mapping: Mapping[str, Any], query: str, answer: str) -> bool:
    return isinstance(mapping[query], str | None) and isinstance(mapping[answer], str | int | float | None)


def role_name(value: Any) -> str:
    """A role as text; ``{"role": "user"}`` (ChatGPT exports) is ``user``."""
    if isinstance(value, Mapping):
        value = value.get("role") or value.get("name")
    return str(value).strip()


def turn_keys(item: Any) -> tuple[str, str] | None:
    """The keys of role and content of one turn; None where it is no turn."""
    if not isinstance(item, Mapping):
        return None
    for role in ROLE_KEYS:
        key = named(item, (role,))
        if key is None or isinstance(item[key], list):
            continue
        if role in ("name", "type") and role_name(item[key]).lower() not in ROLES:
            continue
        content = next((found for name in CONTENT_KEYS if (found := named(item, (name,))) not in (None, key)), None)
        if content is not None:
            return key, content
        if "tool_calls" in item or "function_call" in item:
            return key, "content"
    return None
