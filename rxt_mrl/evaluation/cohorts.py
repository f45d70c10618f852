"""Which dialogues are played together: any batch size gives the same pairs of dialogues, so the same results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cohort:
    """Dialogues that are played together.

    Attributes:
        rows: numbers of the dialogues that are reported.
        played: those, and behind them the ones whose memories are needed for ``swapped`` and that are not among them.
        partners: for each of ``rows``, the place in ``played`` of the dialogue before it (of the first: the last);
            its own where there is no other.
    """

    rows: tuple[int, ...]
    played: tuple[int, ...]
    partners: tuple[int, ...]


def cohorts(rows: Sequence[int], count: int, batch_size: int, *, partners: bool) -> Iterator[Cohort]:
    """Cut dialogues into batches, as even as possible.

    Args:
        rows: numbers of the dialogues that are to be played.
        count: dialogues of the whole set, which says who comes before whom.
        batch_size: at most so many are reported together.
        partners: whether the memory of the dialogue before is needed.
    """
    batches = -(-len(rows) // batch_size)
    for part in range(batches):
        own = tuple(rows[len(rows) * part // batches : len(rows) * (part + 1) // batches])
        before = [(row - 1) % count for row in own]
        played = (*own, *sorted(set(before) - set(own))) if partners else own
        place = {row: number for number, row in enumerate(played)}
        yield Cohort(own, played, tuple(place[row] for row in before) if partners else tuple(range(len(own))))
