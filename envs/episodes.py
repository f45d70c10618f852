"""The state of a batch of episodes: which dialogues, how far each is, and what was written to memory so far."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import TypedDict

import numpy as np

from rxt_mrl.contracts import Strategy, TokenArray, TokenText
from rxt_mrl.dialogues import DialogueTensors
from rxt_mrl.errors import UserError


class Written(TypedDict):
    """Completed interactions as they go to memory; all three ``(rows, tokens)``."""

    ids: np.ndarray
    """int64: ``[BOS][Q]query[A]answer[EOS]``, right-padded with 0."""
    mask: np.ndarray
    """int8: 1 = token."""
    answer_mask: np.ndarray
    """int8: 1 = token of the answer ([EOS] included)."""


class EpisodeBatch:
    """Episodes side by side, each at its own step. Rows share nothing: every array has them as its first axis.

    Args:
        dialogues: the data set, on the CPU.
        episodes: index of each row's dialogue, int64 ``(rows,)``.
        steps: follow-ups of an episode.
        width: tokens of an interaction, padding included.
    """

    def __init__(self, dialogues: DialogueTensors, episodes: np.ndarray, steps: int, width: int) -> None:
        turns = steps + 1
        self.episodes = episodes
        self.step = np.zeros(len(episodes), dtype=np.int64)
        self._rows, self._last = np.arange(len(episodes)), steps
        self._arrays = {
            f"{kind}_{part}": getattr(getattr(dialogues, kind), part).numpy()[:, :turns].take(episodes, axis=0)
            for kind in ("query", "answer")
            for part in ("ids", "mask")
        }
        told_at = dialogues.told_at.numpy()[:, :turns].take(episodes, axis=0)
        asks = chain.from_iterable(dialogues.asks[episode][:turns] for episode in episodes.tolist())
        others = chain.from_iterable(
            dialogues.columns[episode][:turns] if dialogues.columns else ({},) * turns for episode in episodes.tolist()
        )
        self._arrays |= {
            "columns": np.fromiter(others, dtype=object, count=told_at.size).reshape(told_at.shape),
            "asks": np.fromiter(asks, dtype=object, count=told_at.size).reshape(told_at.shape),
            "distance": np.where(told_at < 0, told_at, np.arange(turns) - told_at),
            "query_length": self._arrays["query_mask"].sum(-1, dtype=np.int32),
            "ids": np.zeros((len(episodes), turns, width), dtype=np.int64),
            "mask": np.zeros((len(episodes), turns, width), dtype=np.bool_),
            "answer": np.zeros((len(episodes), turns, width), dtype=np.bool_),
        }
        self._texts: list[TokenText] = []
        self.write(self.step, self.reference(self.step))

    def replace(self, rows: np.ndarray, fresh: EpisodeBatch) -> EpisodeBatch:
        """This batch with the episodes of ``fresh`` in some rows.

        Arrays are copied, since texts handed out earlier may still look at the old ones.
        """
        if len(rows) == len(self.episodes):
            return fresh
        batch = object.__new__(EpisodeBatch)
        batch._rows, batch._last, batch._texts = self._rows, self._last, []
        batch.episodes, batch.step = self.episodes.copy(), self.step.copy()
        batch.episodes[rows], batch.step[rows] = fresh.episodes, fresh.step
        batch._arrays = {name: array.copy() for name, array in self._arrays.items()}
        for name, array in batch._arrays.items():
            array[rows] = fresh._arrays[name]
        return batch

    def query(self, turn: np.ndarray) -> TokenArray:
        """The query of interaction ``turn`` ``(rows,)``, new arrays; without tokens after the last one."""
        query = self._tokens("query", np.minimum(turn, self._last))
        over = turn > self._last
        if over.any():
            query["ids"][over], query["mask"][over] = 0, 0
        return query

    def reference(self, turn: np.ndarray) -> TokenArray:
        """The reference answer of interaction ``turn`` ``(rows,)``, new arrays."""
        return self._tokens("answer", turn)

    def asked(self, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Facts asked in interaction ``turn``: tuples of ``Ask`` ``(rows,)`` and retention distances ``(rows,)``."""
        return self._at("asks", turn), self._at("distance", turn)

    def columns(self, turn: np.ndarray) -> np.ndarray:
        """Other columns of the data for interaction ``turn``: mappings ``(rows,)``."""
        return self._at("columns", turn)

    def write(self, turn: np.ndarray, answer: TokenArray) -> None:
        """Complete interaction ``turn`` ``(rows,)`` of every row with an answer, which makes it the rows' step.

        The same as :func:`rxt_mrl.dialogues.join`, in a third of its time.
        """
        ids, query_length = self._arrays["ids"], self._at("query_length", turn)[:, None]
        ids[self._rows, turn, : self._arrays["query_ids"].shape[-1]] = self._at("query_ids", turn)
        behind = query_length + np.arange(answer["ids"].shape[1])
        ids[self._rows[:, None], turn[:, None], behind] = answer["ids"]
        position = np.arange(ids.shape[-1], dtype=np.int32)
        mask = position < query_length + answer["mask"].sum(1, keepdims=True, dtype=np.int32)
        self._arrays["mask"][self._rows, turn] = mask
        self._arrays["answer"][self._rows, turn] = mask & (position >= query_length)
        self.step = turn.copy()

    def written(self, turn: np.ndarray) -> Written:
        """Interaction ``turn`` ``(rows,)`` as it went to memory, new arrays."""
        ids, mask, answer = (self._at(name, turn) for name in ("ids", "mask", "answer"))
        return {"ids": ids, "mask": mask.view(np.int8), "answer_mask": answer.view(np.int8)}

    def history(
        self, step: int, rows: np.ndarray, text: Callable[[np.ndarray, np.ndarray], TokenText]
    ) -> tuple[TokenText, ...]:
        """Interactions ``0 .. step - 1`` of some rows, oldest first.

        For all rows in order the texts are kept, so that each interaction is decoded once per episode, not once per
        step.
        """
        ids, mask = self._arrays["ids"], self._arrays["mask"]
        if not np.array_equal(rows, self._rows):
            return tuple(text(ids[rows, turn], mask[rows, turn]) for turn in range(step))
        self._texts.extend(text(ids[:, turn], mask[:, turn]) for turn in range(len(self._texts), step))
        return tuple(self._texts[:step])

    def _tokens(self, kind: str, turn: np.ndarray) -> TokenArray:
        return {"ids": self._at(f"{kind}_ids", turn), "mask": self._at(f"{kind}_mask", turn).view(np.int8)}

    def _at(self, name: str, turn: np.ndarray) -> np.ndarray:
        """Each row's entry at its turn, a new array."""
        return self._arrays[name][self._rows, turn]


class Shuffler:
    """Each of ``size`` items once in random order, then each again in another order, and so on."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.restart()

    def restart(self) -> None:
        """Forget the current order."""
        self._left = np.empty(0, dtype=np.int64)

    def take(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """The next ``count`` items, int64 ``(count,)``."""
        while len(self._left) < count:
            self._left = np.concatenate((self._left, generator.permutation(self.size)))
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def check_dialogues(dialogues: DialogueTensors, steps: int, strategy: Strategy) -> None:
    """Refuse what cannot be played.

    Raises:
        UserError: for no dialogues, for fewer follow-ups than ``steps``, and for a long-range episode of one step,
            which could not both leave its topic and return to it.
    """
    if not len(dialogues):
        raise UserError("no dialogues to play: the data set is empty")
    if steps > dialogues.steps:
        raise UserError(f"steps: {steps} is longer than the dialogues, which have {dialogues.steps} follow-ups")
    if strategy not in ("multi_step", "long_range"):
        raise UserError(f"strategy: {strategy!r} is not one of multi_step, long_range")
    if strategy == "long_range" and steps < 2:
        raise UserError(f"steps: {steps} is too short for long_range, which needs at least 2 (leave and return)")
