"""Which rows form which batch: a function of (seed, number of the batch) and of nothing that happened before.

A resumed stage therefore sees exactly the batches that it would have seen, with the same random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from ..dialogues.batching import DialogueTensors
from ..dialogues.template import TokenRows
from ..seeding import key, numpy_generator


class EndlessDialogues:
    """Dialogues that never repeat: row r is row ``r % chunk`` of ``generate(r // chunk)``.

    Args:
        generate: makes the chunk of a number, always the same for the same number; ``chunk`` dialogues.
        chunk: dialogues of a chunk.
    """

    def __init__(self, generate: Callable[[int], DialogueTensors], chunk: int) -> None:
        self._generate = generate
        self.chunk = chunk
        self._number = -1
        self._held: DialogueTensors | None = None

    def select(self, rows: list[int], steps: int | None = None) -> DialogueTensors:
        """Rows of one chunk.

        Raises:
            ValueError: when the rows lie in several chunks, or the generator made a chunk of another size.
        """
        numbers = {row // self.chunk for row in rows}
        if len(numbers) != 1:
            raise ValueError(f"a batch must lie within one chunk of {self.chunk} dialogues, got rows {rows}")
        number = numbers.pop()
        if self._held is None or number != self._number:
            made = self._generate(number)
            if len(made) != self.chunk:
                raise ValueError(f"generate({number}) made {len(made)} dialogues, must make {self.chunk}")
            self._held, self._number = made, number
        return self._held.select([row % self.chunk for row in rows], steps=steps)


class DialoguesBySteps:
    """Dialogues that a source makes anew for each number of follow-ups (windows of longer ones).

    Row r of a number of follow-ups that has n dialogues is dialogue ``r % n``, so that each has a row.

    Args:
        by_steps: dialogues by their number of follow-ups.
    """

    def __init__(self, by_steps: Mapping[int, DialogueTensors]) -> None:
        self._by_steps = dict(by_steps)
        self.steps = max(by_steps)
        """The most follow-ups."""

    def __len__(self) -> int:
        return max(map(len, self._by_steps.values()))

    def select(self, rows: list[int], steps: int | None = None) -> DialogueTensors:
        """Some rows, with ``steps`` follow-ups (None: the most)."""
        dialogues = self.at(steps)
        return dialogues.select([row % len(dialogues) for row in rows])

    def at(self, steps: int | None) -> DialogueTensors:
        """The dialogues of ``steps`` follow-ups (None: the most)."""
        return self._by_steps[self.steps if steps is None else steps]


StageData = DialogueTensors | DialoguesBySteps | EndlessDialogues | TokenRows
Lengths = Callable[[int | None], np.ndarray]
"""Tokens of every row where so many follow-ups of it are used; None: all of them."""


@dataclass(frozen=True)
class BatchPlan:
    """One batch: its number within the stage, its rows, and how many follow-ups its dialogues have."""

    number: int
    rows: tuple[int, ...]
    steps: int | None = None


class BatchSampler(Sampler[list[BatchPlan]]):
    """Plans every batch of a stage.

    Args:
        rows: size of the data; None: endless.
        batches: how many batches the stage takes.
        batch_size: rows of a batch. The last batch of a pass over the data has what is left: none is dropped.
        seed: key of the order.
        lengths: of the rows, for ``window``.
        window: sort this many batches' worth of rows by length before cutting batches, which then come in any order;
            0: do not.
        steps: follow-ups of the batch of a number; None: all that the data has.
    """

    def __init__(
        self,
        rows: int | None,
        batches: int,
        batch_size: int,
        seed: int,
        *,
        lengths: Lengths | None = None,
        window: int = 0,
        steps: Callable[[int], int] | None = None,
    ) -> None:
        self.rows = rows
        self.batches = batches
        # What accelerate looks at when it deals batches out to processes: ours are lists of one plan.
        self.batch_size = 1
        self.drop_last = False
        self._rows_per_batch = batch_size
        self._seed = seed
        self._lengths = lengths
        self._window = window
        self._steps = steps

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[BatchPlan]]:
        for number, rows in zip(range(self.batches), self._row_batches(), strict=False):
            yield [BatchPlan(number, tuple(rows), None if self._steps is None else self._steps(number))]

    def _row_batches(self) -> Iterator[list[int]]:
        size = self._rows_per_batch
        if self.rows is None:
            number = 0
            while True:
                yield list(range(number * size, (number + 1) * size))
                number += 1
        epoch = 0
        while True:
            yield from self._epoch(epoch)
            epoch += 1

    def _epoch(self, epoch: int) -> list[list[int]]:
        assert self.rows is not None
        draw = numpy_generator(self._seed, "order", epoch)
        order = draw.permutation(self.rows)
        size = self._rows_per_batch
        if not self._window or self._lengths is None:
            return [order[start : start + size].tolist() for start in range(0, self.rows, size)]
        batches: list[list[int]] = []
        first = epoch * math.ceil(self.rows / size)
        for start in range(0, self.rows, size * self._window):
            number = first + len(batches)
            lengths = self._lengths(None if self._steps is None else self._steps(number))
            part = order[start : start + size * self._window]
            part = part[np.argsort(lengths[part], kind="stable")]
            cuts = [part[cut : cut + size].tolist() for cut in range(0, len(part), size)]
            batches += [cuts[place] for place in draw.permutation(len(cuts))]
        return batches


class BatchData(Dataset[dict[str, Any]]):
    """Turns plans into batches: a dict of tensors for the stage's model.

    Args:
        data: dialogues or single rows.
        seed: key of the random numbers that go with a batch (``row_seeds``, ``draw``).
    """

    def __init__(self, data: StageData, seed: int) -> None:
        self._data = data
        self._seed = seed

    def __getitems__(self, plans: list[BatchPlan]) -> dict[str, Any]:
        """The batch of one plan.

        Returns:
            ``ids``, ``mask``, ``answer_mask``: ``(rows, tokens)`` or, for dialogues, ``(rows, 1 + steps, tokens)``;
            ``row_seeds``: long ``(rows,)``, for the initial memory; ``draw``: long ``()``, for masks and noise.
        """
        (plan,) = plans
        rows = list(plan.rows)
        if isinstance(self._data, TokenRows):
            part = self._data.select(rows)
        else:
            part = self._data.select(rows, steps=plan.steps).interactions()
        seeds = [key(self._seed, "memory", plan.number, place) for place in range(len(rows))]
        return {
            "ids": part.ids,
            "mask": part.mask,
            "answer_mask": part.answer_mask,
            "row_seeds": torch.tensor(seeds, dtype=torch.long),
            "draw": torch.tensor(key(self._seed, "draw", plan.number), dtype=torch.long),
        }


def whole(batch: Any) -> Any:
    """Collate function: :class:`BatchData` makes whole batches already."""
    return batch


def data_lengths(data: StageData) -> Lengths | None:
    """Tokens of every row; for dialogues those of their longest interaction. None for endless data."""
    if isinstance(data, EndlessDialogues):
        return None
    if isinstance(data, TokenRows):
        rows = data.lengths.numpy()
        return lambda steps: rows

    @cache
    def longest(steps: int | None) -> np.ndarray:
        dialogues = data.at(steps) if isinstance(data, DialoguesBySteps) else data
        used = slice(None if steps is None else 1 + steps)
        tokens = (dialogues.query.mask[:, used].sum(-1) + dialogues.answer.mask[:, used].sum(-1)).max(-1).values
        return tokens.numpy()[np.arange(len(data)) % len(dialogues)]

    return longest
