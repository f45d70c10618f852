"""Turns of a conversation, and the exchanges (query, answer) that they make: nothing gets lost uncounted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ....contracts import Interaction
from ..tally import Tally
from .names import Role
from .options import ChatOptions


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the data.

    Attributes:
        role: who speaks.
        text: what is said.
        calls: tools that an assistant's turn calls, as text.
        name: of the turn in the data, where evidence can point to it.
    """

    role: Role
    text: str
    calls: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A query with its answer, and the turns that went into it: read, and joined to these."""

    interaction: Interaction
    read: int = 2
    joined: int = 0
    names: frozenset[str] = frozenset()

    @property
    def turns(self) -> int:
        """Turns of the data."""
        return self.read + self.joined


@dataclass
class _Side:
    """A query or an answer that is being put together."""

    texts: list[str] = field(default_factory=list)
    read: int = 0
    joined: int = 0
    names: set[str] = field(default_factory=set)

    def add(self, text: str, turn: Turn, *, joined: bool) -> None:
        self.texts.append(text)
        self.joined += joined
        self.read += not joined
        self.names |= {turn.name} - {""}

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    @property
    def turns(self) -> int:
        return self.read + self.joined


class _Pairing:
    """Walks through turns, see :func:`exchanges`."""

    def __init__(self, options: ChatOptions) -> None:
        self.options = options
        self.tally = Tally()
        self.found: list[Exchange] = []
        self.query: _Side | None = None
        self.answer: _Side | None = None
        self.prefix: list[Turn] = []

    def walk(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            text = self._text(turn)
            if text is None:
                continue
            if turn.role == "system":
                self._system(turn, text)
            elif turn.role in ("assistant", "call"):
                self._assistant(turn, text)
            else:
                self._user(turn, text)
        self._close()

    def _text(self, turn: Turn) -> str | None:
        """What of a turn is used; None: nothing, and counted."""
        text = turn.text.strip()
        if self.options.tools == "drop":
            if turn.role in ("tool", "call") or (turn.calls and not text):
                self.tally.dropped["tool call or result"] += 1
                return None
            if turn.calls:
                self.tally.parts["tool call"] += 1
        elif turn.calls:
            text = "\n".join(filter(None, (text, turn.calls)))
        if not text:
            self.tally.dropped["empty"] += 1
            return None
        return text

    def _system(self, turn: Turn, text: str) -> None:
        if self.options.system == "drop":
            self.tally.dropped["system message"] += 1
        elif self.options.system == "prefix" or (self.query is not None and self.answer is None):
            # in the middle of an exchange it cannot stand alone: it goes with the query that waits, or comes next
            if self.query is not None and self.answer is None:
                self.query.add(text, turn, joined=True)
            else:
                self.prefix.append(turn)
        else:
            self._flush()
            names = frozenset({turn.name} - {""})
            self.found.append(Exchange(Interaction(text, self.options.acknowledge), read=1, names=names))

    def _user(self, turn: Turn, text: str) -> None:
        if self.query is not None and self.answer is None:
            if self.options.same_role == "drop":
                self.tally.dropped["second turn of one role"] += 1
            else:
                self.query.add(text, turn, joined=True)
            return
        self._flush()
        self.query = _Side()
        for message in self.prefix:
            self.query.add(message.text.strip(), message, joined=True)
        self.prefix = []
        self.query.add(text, turn, joined=False)

    def _assistant(self, turn: Turn, text: str) -> None:
        if self.answer is not None:
            if self.options.same_role == "drop":
                self.tally.dropped["second turn of one role"] += 1
            else:
                self.answer.add(text, turn, joined=True)
            return
        if self.query is None:
            if self.options.opening is None:
                self.tally.dropped["answer before any query"] += 1
                return
            self.query = _Side([self.options.opening])
        self.answer = _Side()
        self.answer.add(text, turn, joined=False)

    def _flush(self) -> None:
        """The exchange that is complete."""
        if self.query is None or self.answer is None:
            return
        query, answer = self.query, self.answer
        self.query = self.answer = None
        self.found.append(
            Exchange(
                Interaction(query.text, answer.text),
                read=query.read + answer.read,
                joined=query.joined + answer.joined,
                names=frozenset(query.names | answer.names),
            )
        )

    def _close(self) -> None:
        self._flush()
        if self.query is not None:
            if self.options.unanswered == "acknowledge":
                self.answer = _Side([self.options.acknowledge])
                self._flush()
            else:
                self.tally.dropped["query without an answer"] += self.query.turns
        self.tally.dropped["system message before no query"] += len(self.prefix)
        self.tally.dropped = +self.tally.dropped
        for exchange in self.found:
            self.tally.read += exchange.read
            self.tally.joined += exchange.joined


def exchanges(turns: Sequence[Turn], options: ChatOptions) -> tuple[list[Exchange], Tally]:
    """The exchanges that turns make, and what became of every turn.

    A query is what a user says, or what a tool gave back; turns of one side in a row are joined with a line break.
    """
    pairing = _Pairing(options)
    pairing.walk(turns)
    return pairing.found, pairing.tally


# --- what a turn says ------------------------------------------------------------------------------------------------


def content_of(value: Any, lost: Counter[str]) -> tuple[str, str, str]:
    """Text, tool calls and tool results of a turn's content, which may be a text or a list of parts.

    Args:
        value: of the content's key.
        lost: counts parts that are no text, by their type.
    """
    if value is None:
        return "", "", ""
    if isinstance(value, Mapping):
        value = value.get("parts") if isinstance(value.get("parts"), list) else [value]
    if isinstance(value, str | int | float) and not isinstance(value, bool) and value == value:
        return str(value), "", ""  # a number is its text
    if not isinstance(value, list | tuple):
        lost[type(value).__name__] += 1
        return "", "", ""
    texts, calls, results = [], [], []
    for part in value:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = str(part.get("type", "part")) if isinstance(part, Mapping) else type(part).__name__
        if not isinstance(part, Mapping):
            lost[kind] += part is not None
        elif kind in ("tool_use", "tool_call"):
            calls.append(call_text(part))
        elif kind == "tool_result":
            results.append(content_of(part.get("content"), lost)[0])
        elif isinstance(text := part.get("text", part.get("content")), str):
            texts.append(text)
        else:
            lost[kind] += 1
    return tuple("\n".join(filter(str.strip, found)) for found in (texts, calls, results))  # type: ignore[return-value]


def call_text(call: Any) -> str:
    """A tool call as text: ``name(arguments)``."""
    if not isinstance(call, Mapping):
        return str(call)
    function = call.get("function", call)
    if not isinstance(function, Mapping):
        return str(function)
    arguments = function.get("arguments", function.get("input", function.get("args", "")))
    return f"{function.get('name', 'tool')}({arguments if isinstance(arguments, str) else _plain(arguments)})"


def _plain(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, default=str)
