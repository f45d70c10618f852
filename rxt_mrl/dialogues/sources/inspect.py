"""A look at data before it is trained on: ``rxt-mrl data SOURCE``.

Counts and bad rows, the first dialogues (pairs, texts), statistics, and a round trip: what was read is written as
parquet in the published schema, read back through the ordinary source, and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from ...contracts import NEVER_TOLD, Ask, Dialogue
from ...display import busy, say, table
from ...errors import UserError
from ...texts import counted
from ..statistics import DataReport, Limits, describe
from .kinds import Content, content_of_rows, first_rows, no_reader, settings_of
from .load import load_dialogues, load_pairs, load_texts, rows_of
from .round_trip import round_trip
from .rows import LoadReport
from .settings import DataSettings

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
    kind: str | None = None,
    columns: Mapping[str, str] | None = None,
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
        show: how many dialogues (pairs, texts) to print.
        write: folder for ``<split>.parquet``; None: the round trip goes through a temporary folder.
        steps: follow-ups of each dialogue.
        on_bad_row: ``stop`` or ``skip``; for settings that already say, these go first.
        kind: which source reads a file or folder; None: its first rows tell.
        columns: names of columns, ours to theirs.
        tokenizer: counts tokens in place of words.
        limits: what a model takes.
        limit: dialogues at most.
        seed: of generated dialogues.
        console: where to print; None: the terminal.

    Returns:
        ``content`` (``dialogues``, ``pairs`` or ``texts``), ``load`` (the counts), ``statistics``, ``round_trip`` (how
        many were compared) and ``written`` (a path or None).

    Raises:
        UserError: one line: the data cannot be loaded or written, or does not come back the same.
    """
    from rich.console import Console

    console = console or Console()
    if isinstance(source, DataSettings):
        settings = source
    else:
        settings = settings_of(source, kind=kind, columns=columns, on_bad_row=on_bad_row)
    with busy(f"reading {settings.label}"):
        report, items = _load(settings, split, steps=steps, limit=limit, seed=seed)
    say(console, report.lines())
    if settings.source == "tinystories":  # serves stage 1 as well
        told = LoadReport(settings.label, split)
        _print_texts(load_texts(settings, split, report=told), told, console)
    content: Content = (
        "dialogues" if isinstance(items[0], Dialogue) else "texts" if isinstance(items[0], str) else "pairs"
    )
    dialogues = [item if isinstance(item, Dialogue) else _alone(item) for item in items]
    if content == "texts":
        _print_texts(items, report, console)
    for index, dialogue in enumerate(dialogues[:show]):
        console.print(_dialogue_table(index, dialogue, content))
    statistics = describe(dialogues, tokenizer, limits)
    _print_statistics(statistics, console, content)
    with busy("writing them and reading them back"):
        written = round_trip(items, content, split, write)
    say(console, f"round trip: {counted(len(items), content[:-1])} written as parquet, read back, equal")
    if written is not None:
        size = f"{written.stat().st_size / 1024:,.0f} KB"
        for line in (f"wrote      {written} ({size})", f"read it    rxt-mrl data {quote(str(written.parent))}"):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return {
        "content": content,
        "load": report.to_dict(),
        "statistics": statistics.to_dict(),
        "round_trip": len(items),
        "written": None if written is None else str(written),
    }


def _load(
    settings: DataSettings, split: str, *, steps: int | None, limit: int | None, seed: int
) -> tuple[LoadReport, list[Any]]:
    """What the source holds: dialogues, or where its rows have no follow-ups, pairs or texts."""
    content: Content | None = "dialogues"
    if settings.source in ("hub", "parquet", "jsonl", "arrow"):
        rows = first_rows(rows_of(settings, split))
        content = content_of_rows(rows, settings.columns)
        if content == "conversations" or (content is None and rows):
            hint = " (a conversation: --kind chat)" if content == "conversations" else ""
            raise UserError(f"data: {settings.label}: {no_reader(rows)}{hint}")
    report = LoadReport(settings.label, split)
    if content == "texts":
        return report, load_texts(settings, split, limit=limit, seed=seed, report=report)
    if content == "pairs":
        return report, load_pairs(settings, split, limit=limit, seed=seed, report=report)
    try:
        loaded = load_dialogues(settings, split, steps=steps, episodes=limit, seed=seed)
    except UserError:
        if settings.source != "chat" or steps or settings.steps:
            raise
        return report, load_pairs(settings, split, limit=limit, seed=seed, report=report)  # no row has a follow-up
    return loaded.report, loaded.dialogues


def _alone(item: str | tuple[str, str]) -> Dialogue:
    """A pair, or a text, in the place of a dialogue that has no follow-ups."""
    query, answer = (item, "") if isinstance(item, str) else item
    return Dialogue(query, answer, ())


# --- printing --------------------------------------------------------------------------------------------------------


def _dialogue_table(index: int, dialogue: Dialogue, content: Content) -> Any:
    from rich.text import Text

    title = f"{content.removesuffix('s').capitalize()} {index + 1}"
    made = table("turn", "query", "answer", "asks", title=title, text=4, show_lines=True)
    for number, turn in enumerate(dialogue.turns):
        asks = "\n".join(_asked(ask, number) for ask in turn.asks)
        made.add_row(str(number), Text(turn.query), Text(turn.answer), Text(asks))
    return made


def _asked(ask: Ask, turn: int) -> str:
    if ask.told_at == NEVER_TOLD:
        return "never told"
    return f"{ask.value} (chosen here)" if ask.told_at == turn else f"{ask.value} (told in {ask.told_at})"


def _print_statistics(statistics: DataReport, console: Console, content: Content) -> None:
    console.print(statistics.table())
    if content == "dialogues":
        say(console, statistics.lines())


def _print_texts(texts: list[str], report: LoadReport, console: Console) -> None:
    """How many texts there are for stage 1, and how the first begins."""
    words = sum(len(text.split()) for text in texts)
    begin = " ".join(texts[0].split()[:12])
    say(
        console,
        f"plain texts (stage 1): {len(texts)} texts, {words} words, {report.passed.total()} passed over, "
        f"{len(report.bad)} bad; the first begins: {begin} ...",
    )
