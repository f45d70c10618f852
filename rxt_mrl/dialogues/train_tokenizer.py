"""``rxt-mrl tokenizer``: byte-level BPE of the texts of data sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .sources import load_texts
from .sources.inspect import settings_of
from .tokenizer import FILE, DialogueTokenizer

if TYPE_CHECKING:
    from rich.console import Console


def train_tokenizer(
    sources: Sequence[str],
    *,
    vocab_size: int,
    out: Path,
    split: str = "train",
    limit: int | None = None,
    console: Console | None = None,
) -> DialogueTokenizer:
    """Train a tokenizer on several sources and save it.

    Args:
        sources: each as :func:`~rxt_mrl.dialogues.sources.inspect.settings_of` understands it; texts, pairs or
            dialogues of any length.
        vocab_size: as for :meth:`DialogueTokenizer.train`.
        out: folder for ``tokenizer.json``.
        split: of every source.
        limit: texts (interactions of dialogues) of each source, at most; None: all, and 1,000 of an endless one.
        console: where to say what came of it; None: nowhere.

    Raises:
        UserError: a source that cannot be read, a vocabulary that is too small, or a tokenizer that is there already.
    """
    if (out / FILE).exists():
        raise UserError(f"--out {out}: {FILE} is there already; name another folder")
    texts = [text for source in sources for text in load_texts(settings_of(source), split, limit=limit)]
    tokenizer = DialogueTokenizer.train(texts, vocab_size)
    path = tokenizer.save(out)
    if console is not None:
        count = sum(map(len, tokenizer.encode_texts(texts)))
        per_token = sum(map(len, texts)) / max(count, 1)
        console.print(
            f"wrote {path}: {tokenizer.vocab_size:,} tokens of {per_token:.2f} characters, from {len(texts):,} texts",
            highlight=False,
            soft_wrap=True,
        )
    return tokenizer
