"""A look at data before it is trained on: ``rxt-mrl data SOURCE``.

Counts and bad rows, the first dialogues, statistics, and a round trip: the dialogues are written as parquet in the
published schema, read back through the ordinary source, and compared.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...contracts import NEVER_TOLD, Ask, Dialogue
from ...errors import UserError
from ...settings import validate
from ...yaml12 import read
from ..schema import to_dataset
from ..statistics import DataReport, Limits, describe
from .files import SUFFIXES, lines_of
from .load import load_dialogues, load_texts
from .recognize import foreign
from .rows import LoadReport
from .settings import BUILT_IN, DataSettings

if TYPE_CHECKING:
    from rich.console import Console

    from ..tokenizer import DialogueTokenizer


def inspect_source(
    source: str | Path | DataSettings,
    *,
    split: str = "train",
    show: int = 1,
    write: Path | None = None,
    steps: int | None = None,
    on_bad_row: str = "stop",
    tokenizer: DialogueTokenizer | None = None,
    limits: Limits | None = None,
    limit: int | None = None,
    seed: int = 0,
    console: Console | None = None,
) -> dict[str, Any]:
    """Load a source, print what it holds, check that it survives being written; the same as a dictionary.

    Args:
        source: settings, or what :func:`settings_of` understands.
        split: ``train``, ``validation`` or ``supervised``.
        show: how many dialogues to print.
        write: folder for ``<split>.parquet``; None: the round trip goes through a temporary folder.
        steps: follow-ups of each dialogue.
        on_bad_row: ``stop`` or ``skip``; for settings that already say, these go first.
        tokenizer: counts tokens in place of words.
        limits: what a model takes.
        limit: dialogues at most.
        seed: of generated dialogues.
        console: where to print; None: the terminal.

    Returns:
        ``load`` (the counts), ``statistics``, ``round_trip`` (dialogues compared) and ``written`` (a path or None).

    Raises:
        UserError: one line: the data cannot be loaded or written, or does not come back the same.
    """
    from rich.console import Console

    console = console or Console()
    settings = source if isinstance(source, DataSettings) else settings_of(source, on_bad_row=on_bad_row)
    loaded = load_dialogues(settings, split, steps=steps, episodes=limit, seed=seed)
    for line in loaded.report.lines():
        console.print(line, markup=False, highlight=False)
    _print_texts(settings, split, console)
    for index, dialogue in enumerate(loaded.dialogues[:show]):
        console.print(_dialogue_table(index, dialogue))
    statistics = describe(loaded.dialogues, tokenizer, limits)
    _print_statistics(statistics, console)
    written = round_trip(loaded.dialogues, split, write)
    where = f" ({written})" if written else ""
    console.print(
        f"round trip: {len(loaded)} dialogues written as parquet{where}, read back, equal",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    return {
        "load": loaded.report.to_dict(),
        "statistics": statistics.to_dict(),
        "round_trip": len(loaded),
        "written": None if written is None else str(written),
    }


def round_trip(dialogues: list[Dialogue], split: str, folder: Path | None = None) -> Path | None:
    """Write dialogues as parquet in the published schema, read them back and compare.

    Returns:
        The file, or None where no folder was given (a temporary one is used).

    Raises:
        UserError: the file is there already, the folder cannot be written, or the dialogues come back different.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            _write_and_compare(dialogues, Path(temporary) / f"{split}.parquet")
        return None
    path = folder / f"{split}.parquet"
    if path.exists():
        raise UserError(f"data: '{path}' is there already; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"data: cannot make folder '{folder}' ({error.strerror})") from error
    _write_and_compare(dialogues, path)
    return path


def _write_and_compare(dialogues: list[Dialogue], path: Path) -> None:
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        to_dataset(dialogues).to_parquet(str(path))
    except OSError as error:
        raise UserError(f"data: cannot write '{path}' ({error.strerror})") from error
    finally:
        if shown:
            datasets.enable_progress_bars()
    back = load_dialogues(DataSettings(source="parquet", path=str(path))).dialogues
    if back != dialogues:
        row = next((row for row, pair in enumerate(zip(dialogues, back, strict=False), 1) if pair[0] != pair[1]), 0)
        raise UserError(f"data: '{path}' does not read back as it was written (row {row or 'count'})")


# --- what a source is ------------------------------------------------------------------------------------------------


def settings_of(source: str | Path, **changes: Any) -> DataSettings:
    """The settings that a word on the command line stands for.

    ``storyworld``; ``kind:path`` (``babi:tasks/en``, ``hub:owner/name``); a plug-in; a YAML file with one entry of a
    recipe's data section; or a file or folder, whose kind its suffixes and its first line tell.

    Raises:
        UserError: one line: neither a source nor a path, or wrong settings.
    """
    text = str(source)
    path = Path(text).expanduser()
    kind = text.partition(":")[0]
    if re.match(r"[a-z][a-z0-9+.-]*://", text):
        raise UserError(f"data: '{text}' is an address: download the file and name it, or a data set as hub:OWNER/NAME")
    if kind in BUILT_IN:
        content: dict[str, Any] = {"source": text}
    elif path.suffix in (".yaml", ".yml") and path.is_file():
        content = read(path, "a source is a mapping with the key source")
    elif path.exists():
        content = {"source": kind_of_path(path), "path": str(path)}
    elif ":" not in text and (len(path.parts) > 1 or path.suffix):
        raise UserError(f"data: '{text}' does not exist; a source is a file or folder, or: {', '.join(BUILT_IN)}")
    else:
        content = {"source": text}
    content = {**{key: value for key, value in changes.items() if value is not None}, **content}
    return validate(DataSettings, content, "data")


def kind_of_path(path: Path) -> str:
    """Which local source reads a file or a folder.

    Raises:
        UserError: none does, or several could.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    kinds: dict[str, Path] = {}
    for file in files:
        for kind in ("parquet", "jsonl", "arrow"):
            if file.suffix.lower() in SUFFIXES[kind] and not file.name.startswith(("dataset_", "state.")):
                kinds.setdefault(kind, file)
        if file.suffix.lower() == ".txt" and not file.name.upper().startswith(("LICENSE", "README")):
            kinds.setdefault("babi" if _is_babi(file) else "tinystories", file)
    if len(kinds) > 1:
        raise UserError(f"data: '{path}' has files of several kinds: {', '.join(kinds)}; name one, for example a file")
    if not kinds:
        if path.is_file() and (what := foreign(path)):
            raise UserError(f"data: '{path}' is {what}")
        allowed = ", ".join(sorted({suffix for group in SUFFIXES.values() for suffix in group}))
        raise UserError(f"data: no data in '{path}'; files may be: {allowed}")
    return next(iter(kinds))


def _is_babi(file: Path) -> bool:
    _, first = next(iter(lines_of(file)), (0, ""))
    return isinstance(first, str) and first.startswith("1 ")


# --- printing --------------------------------------------------------------------------------------------------------


def _dialogue_table(index: int, dialogue: Dialogue) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"Dialogue {index + 1}", title_justify="left", show_lines=True)
    for name in ("turn", "query", "answer", "asks"):
        table.add_column(name, overflow="fold")
    for number, turn in enumerate(dialogue.turns):
        asks = "\n".join(_asked(ask, number) for ask in turn.asks)
        table.add_row(str(number), Text(turn.query), Text(turn.answer), Text(asks))
    return table


def _asked(ask: Ask, turn: int) -> str:
    if ask.told_at == NEVER_TOLD:
        return "never told"
    return f"{ask.value} (chosen here)" if ask.told_at == turn else f"{ask.value} (told in {ask.told_at})"


def _print_statistics(statistics: DataReport, console: Console) -> None:
    console.print(statistics.table())
    for line in statistics.lines():
        console.print(line, markup=False, highlight=False)


def _print_texts(settings: DataSettings, split: str, console: Console) -> None:
    """A text source serves stage 1 as well: how many texts, and how the first begins."""
    if settings.source != "tinystories":
        return
    report = LoadReport(settings.label, split)
    texts = load_texts(settings, split, report=report)
    words = sum(len(text.split()) for text in texts)
    begin = " ".join(texts[0].split()[:12])
    console.print(
        f"plain texts (stage 1): {len(texts)} stories, {words} words, {report.passed.total()} passed over, "
        f"{len(report.bad)} bad; the first begins: {begin} ...",
        markup=False, highlight=False,
    )  # fmt: skip
