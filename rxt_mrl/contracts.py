"""What may be plugged into rxt-mrl: dialogues, rewards, policies, environments.

A catalogue entry (``envs/``, ``rewards/``, ``curricula/``) and a user's file are written against this module. Of the
rest of the engine they import, where they need it,

- ``rxt_mrl.errors``, ``rxt_mrl.seeding``, ``rxt_mrl.settings`` and ``rxt_mrl.texts``;
- the public names of the packages ``rxt_mrl.dialogues``, ``rxt_mrl.dialogues.storyworld`` and ``rxt_mrl.scoring``;

and nothing deeper. Shapes are given as ``(episodes, tokens)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypedDict, runtime_checkable

import numpy as np
import torch
from gymnasium import Space
from pydantic import Field

from .errors import MissingColumnError, UserError  # noqa: F401 - offered here
from .settings import Settings
from .terms import Calls, Mode, RewardSpec, RewardTerm, Strategy, mode_of, plugin, reward  # noqa: F401 - offered here
from .texts import Columns, TextCodec, TokenText, WordCodec, pad

# --- dialogues -------------------------------------------------------------------------------------------------------


NEVER_TOLD = -1
"""``Ask.told_at`` of what was never told (so far): right is to say so, and ``value`` is empty."""
OWN_WORDS = "own_words"
"""``Ask.slot`` of what the agent itself chooses, out of ``value`` and ``wrong``: ``rxt_mrl.dialogues.by_own_words``."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A fact that a right answer must contain.

    Attributes:
        value: the word or words, for example ``"red"``.
        told_at: index of the interaction that told it (0 = the first interaction of the dialogue), or ``NEVER_TOLD``.
        wrong: values that a right answer must not claim (outdated ones, the same slot of other characters); optional.
        slot: what kind of fact it is (``"color"``); optional, for reports and ``OWN_WORDS``.
        ability: what the question takes (``"recall"``, ``"update"``, ``"two_facts"``, ...); optional, for reports.
    """

    value: str
    told_at: int
    wrong: tuple[str, ...] = ()
    slot: str = ""
    ability: str = ""


@dataclass(frozen=True, slots=True)
class Interaction:
    """A query with its reference answer, the facts that the answer must contain (empty: not annotated), and whatever
    other columns its row has."""

    query: str
    answer: str
    asks: tuple[Ask, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The published TinyStories-MRL schema: a first interaction to remember, then follow-ups.

    ``turns[0]`` is the first interaction and ``turns[i]`` the i-th follow-up, so an ``Ask`` of ``turns[i]``
    has the retention distance ``i - ask.told_at``.
    """

    query: str
    answer: str
    interactions: tuple[Interaction, ...]
    columns: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Whatever other columns its row has; those of an interaction come before those of the dialogue."""

    @property
    def turns(self) -> tuple[Interaction, ...]:
        """All interactions, the first one included: ``1 + len(interactions)`` of them."""
        return (Interaction(self.query, self.answer), *self.interactions)


# --- token batches ---------------------------------------------------------------------------------------------------


class TokenArray(TypedDict):
    """Right-padded token ids of a batch, as environments and policies exchange them."""

    ids: np.ndarray
    """int64 ``(episodes, tokens)``."""
    mask: np.ndarray
    """int8 ``(episodes, tokens)``: 1 = token, 0 = padding. Built with the ids, never inferred from pad ids."""


class Observation(TypedDict):
    """What an agent sees: the completed interaction to write to memory, then the next query to answer."""

    interaction: TokenArray
    query: TokenArray


# --- rewards ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RewardContext:
    """Everything that a reward may look at, for one step of a batch of episodes.

    Attributes:
        query: the question of this step.
        generated: what the agent answered.
        reference: what the dialogue answers; empty where references are withheld.
        history: the completed interactions before this step, oldest first, as they were written to memory
            (with the agent's own answers, or the reference answers under teacher forcing).
        asks: per episode, the facts asked at this step (empty where the dialogue is not annotated).
        step: 1 for the first follow-up.
        steps: follow-ups of the episode.
        strategy: how the dialogues are built.
        mode: what this step asks for.
        embedding: frozen token embedding ``(vocab, dim)``, or None.
        columns: by name, what other columns of the data set hold, one value per episode (None where a row has none).
    """

    query: TokenText
    generated: TokenText
    reference: TokenText
    history: tuple[TokenText, ...] = ()
    asks: tuple[tuple[Ask, ...], ...] = ()
    step: int = 1
    steps: int = 1
    strategy: Strategy = "multi_step"
    mode: Mode = "standard"
    embedding: torch.Tensor | None = field(default=None, repr=False)
    columns: Mapping[str, Sequence[Any]] = field(default_factory=Columns)

    def __len__(self) -> int:
        return len(self.generated)

    @classmethod
    def from_text(
        cls,
        query: str | Sequence[str],
        generated: str | Sequence[str],
        reference: str | Sequence[str] = "",
        *,
        history: Sequence[Sequence[tuple[str, str]]] = (),
        asks: Sequence[Sequence[Ask]] = (),
        step: int | None = None,
        steps: int | None = None,
        strategy: Strategy = "multi_step",
        mode: Mode = "standard",
        codec: TextCodec | None = None,
        embedding: torch.Tensor | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
    ) -> RewardContext:
        """Build a context from plain text, so that a reward can be tried in a second, without a model.

        Args:
            query: one question per episode; a single string is a batch of one.
            generated: the answers to score.
            reference: the right answers; a single string serves all episodes.
            history: per episode, its completed interactions ``(query, answer)``, oldest first; all equally many.
            asks: per episode, the facts asked.
            step: by default the number of completed interactions (at least 1).
            steps: by default ``step``.
            strategy: as in the context.
            mode: as in the context.
            codec: turns text into ids; by default a :class:`~rxt_mrl.texts.WordCodec`, an ad-hoc word tokenizer that
                returns exactly the text it was given. A ``DialogueTokenizer`` also serves.
            embedding: ``(vocab, dim)`` for ``codec``; by default, with the ad-hoc tokenizer, one fixed random unit
                vector per word (so that cosine compares bags of words and knows nothing of meaning).
            columns: other columns of the data, by name, one value per episode.

        Raises:
            UserError: when the batch sizes differ.
        """
        queries = [query] if isinstance(query, str) else list(query)
        count = len(queries)
        answers = _per_episode("generated", generated, count)
        references = _per_episode("reference", reference, count)
        for name, given in (("history", history), ("asks", asks), *(columns or {}).items()):
            if given and len(given) != count:
                raise UserError(f"{name} has {len(given)} entries for {count} queries: give one per query, or none")
        turns = {len(past) for past in history}
        if len(turns) > 1:
            raise UserError(f"history must be equally long in all episodes, got lengths {sorted(turns)}")
        depth = turns.pop() if turns else 0

        words = None if codec is not None else WordCodec()
        used: TextCodec = codec if codec is not None else words  # type: ignore[assignment]

        def tokens(encode: Callable[[str], list[int]], texts: Sequence[str]) -> TokenText:
            return pad([encode(text) for text in texts], used)

        past = tuple(
            pad([used.encode_query(row[turn][0]) + used.encode_answer(row[turn][1]) for row in history], used)
            for turn in range(depth)
        )
        query_tokens = tokens(used.encode_query, queries)
        generated_tokens = tokens(used.encode_answer, answers)
        reference_tokens = tokens(used.encode_answer, references)
        if embedding is None and words is not None:
            embedding = words.embedding()
        step = max(depth, 1) if step is None else step
        return cls(
            query=query_tokens,
            generated=generated_tokens,
            reference=reference_tokens,
            history=past,
            asks=tuple(tuple(row) for row in asks),
            step=step,
            steps=step if steps is None else steps,
            strategy=strategy,
            mode=mode,
            embedding=embedding,
            columns=Columns(columns or {}),
        )

    def embed(self, tokens: TokenText) -> torch.Tensor:
        """Mean frozen embedding of the content tokens, ``(episodes, dim)``; zeros for an empty row.

        Raises:
            ValueError: when the context has no embedding.
        """
        if self.embedding is None:
            raise ValueError("this reward needs embeddings, and the context has none (embedding=None)")
        keep = tokens.content_mask.unsqueeze(-1).to(self.embedding.dtype)
        total = (self.embedding[tokens.ids] * keep).sum(1)
        return total / keep.sum(1).clamp(min=1)

    def copy(self) -> RewardContext:
        """The same context in memory of its own, the frozen embedding apart: what is done to one leaves the other."""
        texts = {name: getattr(self, name).copy() for name in ("query", "generated", "reference")}
        columns = Columns(deepcopy(dict(self.columns)))
        return replace(self, **texts, columns=columns, history=tuple(turn.copy() for turn in self.history))

    def select(self, rows: Sequence[int]) -> RewardContext:
        """The same context, restricted to some episodes (for error reports and rewards on subsets)."""
        return replace(
            self,
            query=self.query.select(rows),
            generated=self.generated.select(rows),
            reference=self.reference.select(rows),
            history=tuple(turn.select(rows) for turn in self.history),
            asks=tuple(self.asks[row] for row in rows) if self.asks else (),
            columns=Columns({name: [values[row] for row in rows] for name, values in self.columns.items()}),
        )


def _per_episode(name: str, texts: str | Sequence[str], count: int) -> list[str]:
    rows = [texts] * count if isinstance(texts, str) else list(texts)
    if len(rows) != count:
        raise UserError(f"{name} has {len(rows)} texts for {count} queries: give one per query")
    return rows


Values = torch.Tensor | np.ndarray | Sequence[float | None]
"""``(episodes,)`` floats in [0, 1]. ``None`` in a list means: this reward has nothing to say about that episode."""

Scores = Values | tuple[Values, torch.Tensor | np.ndarray | Sequence[bool]]
"""Values alone, or ``(values, applies)``: where ``applies`` is False the value is ignored, never counted as 0.
NaN is always an error; say "does not apply" with ``None`` or ``applies``."""


@runtime_checkable
class Reward(Protocol):
    """Scores a batch of answers: ``(episodes,)`` floats in [0, 1]. Any callable of this shape is a reward."""

    def __call__(self, context: RewardContext) -> Scores:
        """Score the answers of a batch."""
        ...


# --- policies --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PolicyOutput:
    """What a policy did in one step.

    Attributes:
        actions: the sampled answer tokens (without [A], with [EOS] if it came), right-padded.
        log_probs: float32 ``(episodes, tokens)``, log-probability of each action token under the distribution
            that it was really sampled from (temperature and filters applied); 0 where masked.
        state: the policy's state after this step.
    """

    actions: TokenArray
    log_probs: np.ndarray
    state: Any


@runtime_checkable
class Policy(Protocol):
    """An agent: explicit state in, explicit state out; it holds nothing between calls."""

    def reset(self, batch: int, *, seeds: Sequence[int] | None = None) -> Any:
        """State at the start of ``batch`` episodes; ``seeds`` has one number per episode."""
        ...

    def act(self, observation: Observation, state: Any) -> PolicyOutput:
        """Write ``observation["interaction"]`` to the state, then answer ``observation["query"]``."""
        ...


# --- environments ----------------------------------------------------------------------------------------------------


class ScoreInfo(TypedDict):
    """What is known about the score of ``n`` answers."""

    valid: np.ndarray
    """bool ``(n,)``: False where the reward is unknown; what stands in its place is not used."""
    terms: Mapping[str, np.ndarray]
    """The parts of the reward, ``(n,)`` each, NaN where one does not apply; logged."""
    metrics: Mapping[str, np.ndarray]
    """As ``terms``, for what is logged and not rewarded."""


class _ScoreAndMode(ScoreInfo):
    mode: np.ndarray
    """``(num_envs,)`` of :data:`Mode`, the same in all rows."""


class StepInfo(_ScoreAndMode, total=False):
    """What the engine reads of the ``info`` of a step, for its ``num_envs`` answers; it may hold more."""

    reference: TokenText
    """The right answers, where there are any; optional."""
    asks: Sequence[tuple[Ask, ...]]
    """Per row, the facts asked; optional."""


class Playable(Protocol):
    """The dialogues of an environment, as far as the engine looks at them."""

    def __len__(self) -> int:
        """How many there are; an episode is named by a number below it."""

    def select(self, rows: Sequence[int]) -> Playable:
        """Some of them."""

    def interactions(self) -> Any:
        """``ids`` and ``mask``, tensors ``(dialogues, 1 + steps, tokens)``: what the reference answers would write."""


class Environment(Protocol):
    """``num_envs`` episodes side by side that share nothing and end in the same step; ``rxt-mrl env check`` checks it.

    Any ``gymnasium.vector.VectorEnv`` that has these members and, where it is told ``autoreset="disabled"``, leaves
    resetting to its caller. Observations are int64 ids and int8 masks as in :class:`Observation`.
    """

    num_envs: int

    @property
    def observation_space(self) -> Space[Any]:
        """Of an :class:`Observation`."""

    @property
    def action_space(self) -> Space[Any]:
        """Of a :class:`TokenArray`: the answers. Narrower arrays are answers too."""

    @property
    def dialogues(self) -> Playable:
        """What it plays."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Mapping[str, Any]]:
        """Start the episodes of all rows.

        Args:
            seed: determines, with the answers, everything that follows.
            options: ``episodes``, int64: the dialogue of each row, which determines its episode; ``reset_mask``, bool
                ``(num_envs,)``: start only these rows (for callers of their own, the engine starts all);
                ``teacher_forced``, bool ``(num_envs,)``, given only where ``carry`` names ``reference``: rows that
                write the reference answers to memory.
        """

    def step(self, actions: TokenArray, /) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, Mapping[str, Any]]:
        """Answer the queries: observation, rewards in [0, 1], terminated, truncated (never), :class:`StepInfo`."""


@runtime_checkable
class ScoresCandidates(Protocol):
    """An environment that can also tell what answers would earn, several to one query. Optional."""

    def score(self, actions: TokenArray, rows: np.ndarray, /) -> tuple[np.ndarray, Mapping[str, Any]]:
        """Score answers to the queries now asked, as ``step`` would; nothing changes.

        Args:
            actions: ``n`` answers.
            rows: int64 ``(n,)``, the row whose query each answers, in any order and as often as wanted.

        Returns:
            Rewards float32 ``(n,)`` and a :class:`ScoreInfo`.
        """


# --- what learns ------------------------------------------------------------------------------------------------------


Component = Literal["embedding", "encoder", "memory_attention", "decoder", "memory_cross_attention"]
"""A part of the model that learns at a rate of its own (disjoint: ``decoder`` is without its reading of the memory)."""


class Unfreeze(Settings):
    """From update ``at`` on, train ``components``; ``lr_scale`` multiplies the learning rate of each."""

    at: int = Field(default=0, ge=0)
    components: tuple[Component, ...]
    lr_scale: Mapping[str, float] = Field(default_factory=dict)
