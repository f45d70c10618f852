"""Dialogues: their schema, where they come from, the tokenizer and template, and their tensors."""

from __future__ import annotations

from .batching import DialogueTensors, EncodingReport, encode_dialogues
from .own_words import by_own_words
from .schema import from_dataset, from_row, to_dataset, to_row
from .template import TokenRows, join, pad_rows
from .tokenizer import DialogueTokenizer

__all__ = [
    "DialogueTensors",
    "DialogueTokenizer",
    "EncodingReport",
    "TokenRows",
    "by_own_words",
    "encode_dialogues",
    "from_dataset",
    "from_row",
    "join",
    "pad_rows",
    "to_dataset",
    "to_row",
]
