"""``rxt-mrl convert``: a published checkpoint with its tokenizer, as one that is talked to, measured and trained on."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from rich.console import Console
from tokenizers import AddedToken

from ..dialogues.tokenizer import FILE as TOKENIZER_FILE
from ..dialogues.tokenizer import DialogueTokenizer
from ..errors import UserError
from ..files import read_json, write_json
from ..model import RxT
from ..model.hub import fetch
from ..model.published import convert_published
from ..runs import checkpoints
from ..runs.contents import listed

REPORT = "conversion.json"


def convert_command(
    source: str,
    out: Path,
    *,
    component: str | None = None,
    layout: str | None = None,
    tokenizer: Path | None = None,
    console: Console,
) -> None:
    """Convert a checkpoint, with a report of what became of its tensors.

    Args:
        source: folder or Hub id of a published checkpoint.
        out: folder for ours; new, empty, or of an earlier conversion of the same.
        component: the part to take; None: all.
        layout: where the checkpoint cannot tell.
        tokenizer: folder with a ``tokenizer.json``, or such a file; None: that of ``source``, where it has one.
        console: where to print.

    Raises:
        UserError: for a checkpoint that is not understood, a tokenizer that is not its own, or a folder that holds
            something else.
    """
    if not source:
        raise UserError("convert: a checkpoint is named by a string, got ''")
    if out.exists() and (not out.is_dir() or ((inside := listed(out)) and REPORT not in inside)):
        raise UserError(f"--out {out}: holds something else than a conversion; give a new or empty directory")
    model, report = convert_published(source, component, layout=layout)
    if (out / REPORT).is_file():
        earlier = read_json(out / REPORT, "give another --out")
        if (earlier.get("source"), earlier.get("component")) != (report.source, report.component):
            said = f"{earlier.get('component')} of {earlier.get('source')}"
            raise UserError(f"--out {out}: holds a conversion of another checkpoint ({said}); give another directory")
    words = _tokenizer(source, tokenizer)
    if words is not None:
        _fit(words, model.config.vocab_size, str(tokenizer or source))
    out.mkdir(parents=True, exist_ok=True)
    if words is None:
        model.save_pretrained(out)
    else:
        checkpoints.save(out, model, words)
    write_json(out / REPORT, report.__dict__)
    console.print(str(report), highlight=False, markup=False, soft_wrap=True)
    if words is None:
        lines = [
            f"tokenizer  none: {source} has no {TOKENIZER_FILE}; chat, evaluate and init_from need it, so convert "
            "again with --tokenizer FOLDER"
        ]
    else:
        lines = [f"tokenizer  {tokenizer or source}: {words.vocab_size:,} tokens"]
        lines += [f"talk to it rxt-mrl chat {quote(str(out))}"] if isinstance(model, RxT) else []
    for line in [f"checkpoint {out}", *lines]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _tokenizer(source: str, given: Path | None) -> DialogueTokenizer | None:
    if given is not None:
        return DialogueTokenizer.load(given)
    try:
        file = fetch(source, TOKENIZER_FILE)
    except UserError:  # it brings none
        return None
    return DialogueTokenizer.load(file)


def _fit(tokenizer: DialogueTokenizer, size: int, where: str) -> None:
    """Give the rows of an embedding that have no token names of their own, as where its size was rounded up.

    Raises:
        UserError: when there are more tokens than rows.
    """
    known = tokenizer.vocab_size
    if known > size:
        raise UserError(f"{where}: the tokenizer has {known} tokens and the model {size}: it is that of another model")
    tokenizer.tokenizer.add_tokens([AddedToken(f"[unused{row}]", special=True) for row in range(known, size)])
    if tokenizer.vocab_size != size:
        raise UserError(f"{where}: the tokenizer has {known} tokens and the model {size}, which cannot be filled up")
