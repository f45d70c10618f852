"""Plain text of an answer: markup, JSON and Unicode's other spellings taken away, what a reader reads left."""

from __future__ import annotations

import ast
import html
import json
import re
import unicodedata
from typing import Any

ANSWER_KEYS = frozenset({"answer", "finalanswer", "value", "result", "response", "output", "reply", "solution", "text"})
"""Of a JSON object, what is the answer: its key without case, spaces and underscores."""

_ODD = re.compile(r"[^\x20-\x7e\n]|[*_<>{}\[\]\\`~&$|#=\n]")
_SPELT_OTHERWISE = ("<wide>", "<narrow>", "<font>", "<compat>", "<noBreak>", "<initial>", "<medial>", "<final>")
_UNSEEN = re.compile("[\u00ad\u200b\u200c\u200e\u200f\u2060\ufeff\ufe0e\ufe0f\u20e3\u202a-\u202e\u2066-\u2069]")
_LOOKALIKES = str.maketrans(
    {
        "\u2019": "'", "\u2018": "'", "\u02bc": "'", "`": " ", "\u00b4": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',
        "\u3002": ".", "\u3001": ",", "\u300c": '"', "\u300d": '"', "\u300e": '"', "\u300f": '"', "\u300a": '"',
        "\u300b": '"', "\u3010": "(", "\u3011": ")", "\u060c": ",", "\u061f": "?", "\u0964": ".",
        "\u2010": "-", "\u2011": "-", "\u2026": "\n", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ",
    }
)  # fmt: skip

_FENCE = re.compile(r"```[\w+-]*\n?|~~~[\w+-]*\n?")
_STRUCK = re.compile(
    r"~~.+?~~|<(s|del|strike|think|thinking|thought|reasoning|scratchpad)>.*?</\1>|<!--.*?-->",
    re.DOTALL | re.IGNORECASE,
)
_TAG = re.compile(r"<([A-Za-z][\w-]*)(?:\s[^<>]*)?>(.*?)</\1\s*>", re.DOTALL)
_VOID = re.compile(r"<(?:br|hr|p|img)\b[^<>]*>|\[/?(?:b|i|u|s|code|quote)\]", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_EMPHASIS = re.compile(r"(?<!\w)(\*{1,3}|_{1,3}|==)(?=\S)(.+?)(?<=\S)\1(?!\w)", re.DOTALL)
_TEX = re.compile(r"\\[A-Za-z]+\{([^{}]*)\}|\\[()\[\]]|\$(?=\S)([^$\n]*?[^\s$])\$(?!\d)")
_OBJECT = re.compile(r"\{[^{}]*\}")


def plain(text: str) -> str:
    """The text as it reads, in Unicode's composed form; case and punctuation stay.

    Emphasis, tags, links, code fences and TeX's frames go; what is struck out goes with its words, as does what a model
    thought before it answered (``<think>``). Of JSON the values stay, and of an object with an answer
    (``{"answer": "red"}``) only that.
    """
    if not _ODD.search(text):
        return text
    text = unicodedata.normalize("NFC", "".join(map(_spelt, text)) if not text.isascii() else text)
    text = _UNSEEN.sub("", text)
    text = _FENCE.sub(" ", _unpacked(text))
    text = html.unescape(_STRUCK.sub(" ", text))
    text = _VOID.sub("\n", text)
    for pattern, kept in ((_TAG, r"\2"), (_LINK, r"\1"), (_EMPHASIS, r"\2"), (_TEX, r" \1\2 ")):
        before = None
        while before != text:  # one within the other
            before, text = text, pattern.sub(kept, text)
    return text.translate(_LOOKALIKES)


def _spelt(character: str) -> str:
    """A character in its usual spelling: full width, ligatures, mathematical letters; powers and fractions stay."""
    if character < "\x80" or not unicodedata.decomposition(character).startswith(_SPELT_OTHERWISE):
        return character
    return unicodedata.normalize("NFKC", character)


def _unpacked(text: str) -> str:
    """The text with the answer of each JSON value in place of it."""
    bare = _FENCE.sub("", text).strip()
    if bare[:1] in ("{", "[") and (whole := _parsed(bare)) is not None:
        return _said(whole)

    def replaced(found: re.Match[str]) -> str:
        value = _parsed(found[0])
        return found[0] if value is None else f" {_said(value)} "

    return _OBJECT.sub(replaced, text) if "{" in text else text


def _parsed(text: str) -> Any:
    """What JSON or a literal of Python says; None where it is neither."""
    try:
        return json.loads(text, parse_int=str, parse_float=str)
    except ValueError:
        pass
    except RecursionError:
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
    return value if isinstance(value, dict | list) else None


def _said(value: Any) -> str:
    if isinstance(value, dict):
        for name, inner in value.items():
            if re.sub(r"[\s_-]", "", str(name)).casefold() in ANSWER_KEYS:
                return _said(inner)
        if len(value) == 1:
            return _said(next(iter(value.values())))
        return ". ".join(f"{name}: {_said(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple | set):
        return ", ".join(map(_said, value))
    return "" if value is None else str(value)
