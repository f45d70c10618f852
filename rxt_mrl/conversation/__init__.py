"""Conversations: talk with a model, one message at a time, alone or as a batch; its memory in a file."""

from __future__ import annotations

from .batch import Answer, Conversations, Event, MemoryUpdateFinished, MemoryUpdateStarted, Token
from .single import Conversation

__all__ = [
    "Answer",
    "Conversation",
    "Conversations",
    "Event",
    "MemoryUpdateFinished",
    "MemoryUpdateStarted",
    "Token",
]
