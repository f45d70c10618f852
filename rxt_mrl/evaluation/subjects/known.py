"""Subjects whose scores are known: an oracle, answers at random, and an echo. They show what a score means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ...dialogues.template import pad_rows
from ...dialogues.tokenizer import DialogueTokenizer
from ...model.sampling import SamplingConfig
from ...seeding import uniforms
from ...texts import Tokens
from ..config import Control
from .protocol import Answers, Reading, Turn

Kind = Literal["oracle", "random", "echo"]

GUESS_BITS = 10.0
"""What each asked fact that was not told to it costs an oracle: as if it guessed one of 1,024 values."""
_RANDOM_TOKENS = 3


@dataclass(frozen=True)
class Told:
    """Of one dialogue (None: nothing was told), the interactions that were told."""

    dialogue: int | None = None
    turns: frozenset[int] = frozenset()


class KnownSubject:
    """Answers by a rule.

    ``oracle`` gives the reference answer if every interaction that told an asked fact was told to it, and nothing
    otherwise; ``random`` says three ordinary tokens; ``echo`` repeats the query.

    Args:
        kind: the rule, and the name.
        tokenizer: of the dialogues.
    """

    window = None
    controls: tuple[Control, ...] = ("wiped", "swapped", "frozen")

    def __init__(self, kind: Kind, tokenizer: DialogueTokenizer) -> None:
        self.kind, self.name, self.tokenizer = kind, str(kind), tokenizer

    def about(self) -> dict[str, Any]:
        """The kind is all."""
        return {"kind": self.kind, "parameters": 0}

    def start(self, rows: int, seeds: Sequence[int]) -> tuple[Told, ...]:
        """Nothing was told."""
        return (Told(),) * rows

    def write(self, state: tuple[Told, ...], turn: Turn) -> tuple[Told, ...]:
        """Remember that this interaction was told."""
        return tuple(
            Told(dialogue, told.turns | {turn.number}) for told, dialogue in zip(state, turn.dialogues, strict=True)
        )

    def answer(self, state: tuple[Told, ...], turn: Turn, sampling: SamplingConfig, seeds: Sequence[int]) -> Answers:
        """By the rule; at most ``sampling.max_new_tokens`` tokens."""
        if self.kind == "oracle":
            known = torch.from_numpy(self._unknown(state, turn) == 0)
            tokens = Tokens(turn.answer.ids, turn.answer.mask & known.unsqueeze(1))
        else:
            tokens = self._random(seeds) if self.kind == "random" else self._echo(turn)
        limit = sampling.max_new_tokens
        return Answers(Tokens(tokens.ids[:, :limit], tokens.mask[:, :limit]), np.zeros(len(turn), dtype=np.int64))

    def read(self, state: tuple[Told, ...], turn: Turn) -> Reading:
        """An oracle is certain of what it knows; at random every token is as likely; an echo has no probabilities."""
        tokens = turn.answer.mask.sum(1).numpy()
        if self.kind == "oracle":
            unknown = self._unknown(state, turn)
            return Reading(GUESS_BITS * unknown, tokens, np.maximum(tokens - unknown, 0))
        each = np.log2(self.tokenizer.vocab_size) if self.kind == "random" else np.nan
        return Reading(tokens * each, tokens, np.zeros_like(tokens))

    def pick(self, state: tuple[Told, ...], rows: Sequence[int]) -> tuple[Told, ...]:
        """Some of the rows."""
        return tuple(state[row] for row in rows)

    def join(self, states: Sequence[tuple[Told, ...]]) -> tuple[Told, ...]:
        """One after the other."""
        return tuple(row for state in states for row in state)

    def _unknown(self, state: tuple[Told, ...], turn: Turn) -> np.ndarray:
        """Facts that are asked and were not told, int64 ``(rows,)``; what is chosen in this turn needs no telling."""
        return np.array(
            [
                len(
                    {ask.told_at for ask in asks if 0 <= ask.told_at < turn.number}
                    - (told.turns if told.dialogue == dialogue else frozenset())
                )
                for told, asks, dialogue in zip(state, turn.asks, turn.dialogues, strict=True)
            ],
            dtype=np.int64,
        )

    def _random(self, seeds: Sequence[int]) -> Tokens:
        special = set(self.tokenizer.special_ids)
        ordinary = np.array([token for token in range(self.tokenizer.vocab_size) if token not in special])
        drawn = uniforms(seeds, _RANDOM_TOKENS, "random subject").numpy()
        ids = ordinary[(drawn * len(ordinary)).astype(np.int64)]
        return pad_rows([[*row, self.tokenizer.eos_id] for row in ids.tolist()])

    def _echo(self, turn: Turn) -> Tokens:
        queries = self.tokenizer.token_text(*turn.query)
        rows = [ids[keep].tolist() for ids, keep in zip(queries.ids, queries.content_mask, strict=True)]
        return pad_rows([[*row, self.tokenizer.eos_id] for row in rows])
