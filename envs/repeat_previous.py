"""Repeat previous: told a symbol a turn, say the one told ``k`` turns ago. Only memory solves it.

POPGym's idea in our token contract, as the trainer's unit test: each query is one symbol, and its answer is the
symbol of the query ``k`` turns before (of the first one, while there are fewer). A query never contains its own
answer, so copying earns nothing, and guessing earns ``1 / (symbols - 1)``.

Source of the idea: Morad et al., POPGym, ICLR 2023 (``RepeatPrevious``).
"""

from __future__ import annotations

from functools import lru_cache
from numbers import Integral
from typing import Any, NamedTuple

from rxt_mrl.contracts import Ask, Dialogue, Interaction
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer, encode_dialogues
from rxt_mrl.errors import UserError
from rxt_mrl.seeding import numpy_generator

from .memory_retention import MemoryRetentionVectorEnv
from .single import MemoryRetentionEnv

# fmt: off
SYMBOLS = (
    "ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay", "koi", "lynx", "mole",
    "newt", "owl", "pig", "quail", "ram", "seal", "toad", "urchin", "vole", "wasp", "yak", "zebu",
)
# fmt: on
"""The words that may be told; a difficulty uses the first few."""


class Tier(NamedTuple):
    """A difficulty: how far back, out of how many symbols, for how many steps."""

    k: int
    symbols: int
    steps: int


TIERS = {"easy": Tier(2, 4, 4), "medium": Tier(4, 8, 8), "hard": Tier(8, 16, 16)}


def repeat_previous_dialogues(
    episodes: int, *, k: int = 2, symbols: int = 4, steps: int = 4, seed: int = 0
) -> list[Dialogue]:
    """Random dialogues of the task, annotated with ``asks``.

    Args:
        episodes: how many.
        k: how many turns ago the symbol was told that must be said; at least 1.
        symbols: how many different ones there are; 2 .. 25.
        steps: follow-ups of a dialogue.
        seed: same seed, same dialogues.

    Raises:
        UserError: for values outside of these.
    """
    for name, value, low, high in (
        ("episodes", episodes, 1, None),
        ("k", k, 1, None),
        ("symbols", symbols, 2, len(SYMBOLS)),
        ("steps", steps, 1, None),
    ):
        if not isinstance(value, Integral) or value < low or (high is not None and value > high):
            raise UserError(f"{name}: {value!r} is not allowed; {f'{low} .. {high}' if high else f'at least {low}'}")
    generator = numpy_generator(seed, "repeat previous", k, symbols, steps)
    told = generator.integers(0, symbols, size=(episodes, steps + 1))
    for turn in range(1, steps + 1):
        # One of the other symbols: drawn from one fewer, and moved past the answer.
        drawn = generator.integers(0, symbols - 1, size=episodes)
        told[:, turn] = drawn + (drawn >= told[:, max(0, turn - k)])
    return [_dialogue([SYMBOLS[symbol] for symbol in row], k, symbols) for row in told.tolist()]


def _dialogue(words: list[str], k: int, symbols: int) -> Dialogue:
    turns = []
    for turn, word in enumerate(words[1:], start=1):
        told_at = max(0, turn - k)
        # A list of all symbols must earn nothing.
        wrong = tuple(symbol for symbol in SYMBOLS[:symbols] if symbol != words[told_at])
        turns.append(Interaction(word, words[told_at], (Ask(words[told_at], told_at, wrong, "symbol"),)))
    return Dialogue(words[0], "yes", tuple(turns))


@lru_cache(maxsize=1)
def symbol_tokenizer() -> DialogueTokenizer:
    """A tokenizer in which every symbol is one token: 263 ids and the merges of these words."""
    return DialogueTokenizer.train((*SYMBOLS, "yes"), vocab_size=400)


@lru_cache(maxsize=8)
def encoded_dialogues(
    tokenizer: DialogueTokenizer, episodes: int, k: int, symbols: int, steps: int, seed: int
) -> DialogueTensors:
    """Dialogues of the task in tokens; the same object for the same arguments."""
    dialogues = repeat_previous_dialogues(episodes, k=k, symbols=symbols, steps=steps, seed=seed)
    return encode_dialogues(dialogues, tokenizer, max_query=16, max_answer=16, on_long="error")


class RepeatPreviousVectorEnv(MemoryRetentionVectorEnv):
    """Say the symbol that was told k turns ago: a vector environment that only memory solves.

    Args:
        tier: ``easy``, ``medium`` or ``hard``: the defaults of ``k``, ``symbols`` and ``steps``.
        k: how many turns ago the symbol was told.
        symbols: how many different ones there are.
        steps: follow-ups of an episode.
        episodes: how many different dialogues to draw.
        data_seed: which ones.
        tokenizer: encodes them; None: :func:`symbol_tokenizer`.
        options: as of :class:`~rxt_mrl.envs.MemoryRetentionVectorEnv`; the reward is fact recall where none is given.
    """

    def __init__(
        self,
        *,
        tier: str = "easy",
        k: int | None = None,
        symbols: int | None = None,
        steps: int | None = None,
        episodes: int = 256,
        data_seed: int = 0,
        tokenizer: DialogueTokenizer | None = None,
        **options: Any,
    ) -> None:
        if tier not in TIERS:
            raise UserError(f"tier: {tier!r} is not one of {', '.join(TIERS)}")
        default = TIERS[tier]
        self.k = default.k if k is None else k
        self.symbols = default.symbols if symbols is None else symbols
        steps = default.steps if steps is None else steps
        tokenizer = symbol_tokenizer() if tokenizer is None else tokenizer
        dialogues = encoded_dialogues(tokenizer, episodes, self.k, self.symbols, steps, data_seed)
        super().__init__(dialogues, tokenizer, **{"reward": "fact_recall", **options})


class RepeatPreviousEnv(MemoryRetentionEnv):
    """One episode of :class:`RepeatPreviousVectorEnv` at a time; the same options."""

    vector_class = RepeatPreviousVectorEnv

    @classmethod
    def make_vector(
        cls, dialogues: DialogueTensors | None, tokenizer: DialogueTokenizer | None, **options: Any
    ) -> MemoryRetentionVectorEnv:
        """The vector environment of this kind; it draws its own dialogues."""
        if dialogues is not None:
            raise UserError("repeat previous draws its own dialogues: choose them by k, symbols, steps and data_seed")
        return cls.vector_class(tokenizer=tokenizer, **options)


def chance(symbols: int) -> float:
    """The reward of guessing at random among the symbols that the query does not name."""
    return 1.0 / (symbols - 1)
