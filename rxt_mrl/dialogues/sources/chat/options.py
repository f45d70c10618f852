"""Options of ``source: chat``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from ....settings import Settings

LayoutName = Literal["messages", "pairs", "alternating", "passage", "instruction", "tree", "locomo", "longmemeval"]


class ChatOptions(Settings):
    """How conversations become dialogues. What is not given, the first rows tell.

    Attributes:
        layout: how a row holds its turns; None: detected.
        rows: in a JSON file with one top-level object, where the list of rows lies (``data``, ``data.paragraphs``).
        turns: column of the turns (``conversations``); a dotted path goes into mappings (``session.turns``).
        role, content: keys of a turn, or of the two texts of a pair.
        user, assistant: names of the roles, beside the usual ones.
        where: values of columns that a row must have to be read: ``{task: [CM, AR]}``.
        system: a system message becomes an ``interaction`` of its own, a ``prefix`` of the next query, or is dropped.
        tools: tool calls and their results are ``text`` like the others, or dropped.
        same_role: turns of one role in a row are joined, or those after the first are dropped.
        unanswered: a last query without an answer is dropped, or answered with ``acknowledge``.
        opening: the query to an answer that comes before any query; None: it is dropped.
        windows: with ``steps``: make further dialogues of the rest of a conversation, in place of dropping it.
        acknowledge: the answer to what only tells (system messages, stories, sessions).
        unknown: the answer to a question that nothing answers (LoCoMo, LongMemEval).
        unit: what one interaction tells of an annotated benchmark: a ``turn`` with its reply, or a whole ``session``.
        questions: questions of one dialogue of an annotated benchmark; None: all, or as many as ``steps`` leaves.
    """

    layout: LayoutName | None = None
    rows: str | None = None
    turns: str | None = None
    role: str | None = None
    content: str | None = None
    user: tuple[str, ...] = ()
    assistant: tuple[str, ...] = ()
    where: Mapping[str, Any] = Field(default_factory=dict)
    system: Literal["interaction", "prefix", "drop"] = "interaction"
    tools: Literal["text", "drop"] = "text"
    same_role: Literal["join", "drop"] = "join"
    unanswered: Literal["drop", "acknowledge"] = "drop"
    opening: str | None = Field(default=None, min_length=1)
    windows: bool = False
    acknowledge: str = Field(default="I will remember that.", min_length=1)
    unknown: str = Field(default="I do not know.", min_length=1)
    unit: Literal["turn", "session"] = "turn"
    questions: int | None = Field(default=None, ge=1)
