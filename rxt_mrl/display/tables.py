"""Tables that fit 80 columns, and sentences that are broken between words."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def table(
    *headings: str, title: str | None = None, text: int = 1, caption: str | None = None, show_lines: bool = False
) -> Table:
    """A table without frames, whose columns keep their headings.

    Args:
        *headings: of the columns; a line break makes a narrow one.
        title: above the table.
        text: how many columns hold text, from the left; the others hold numbers.
        caption: below the table.
        show_lines: a line between rows.
    """
    made = Table(
        title=title, caption=caption, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD,
        show_edge=False, pad_edge=False, padding=(0, 1, 0, 0) if len(headings) < _MANY else 0, show_lines=show_lines,
    )  # fmt: skip
    for place, heading in enumerate(headings):
        made.add_column(heading, justify="left" if place < text else "right", overflow="fold", vertical="top")
    return made


_MANY = 8
"""From so many columns on, one space has to part them."""


def say(console: Console, lines: str | Sequence[str]) -> None:
    """Print sentences: on a terminal broken between words, in a file each in a line."""
    for line in [lines] if isinstance(lines, str) else lines:
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)
