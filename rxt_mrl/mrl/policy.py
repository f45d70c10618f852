"""The RxT as a policy: its state is its memory. Write what was observed, then answer the next query.

What it says at a step depends on the memory and the query alone: earlier text is not at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rxt_mrl import seeding
from rxt_mrl.contracts import Observation, PolicyOutput, TokenArray
from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT, inference
from rxt_mrl.model.device import Precision, computing
from rxt_mrl.model.generation import generate
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.texts import trim


@dataclass(frozen=True)
class RxTState:
    """Between two steps: ``memory`` ``(layers, episodes, slots, dim)``, a seed per episode, and the steps done."""

    memory: Tensor
    seeds: tuple[int, ...]
    step: int = 0


class RxTPolicy:
    """Implements :class:`rxt_mrl.contracts.Policy` with an RxT.

    Args:
        model: used in eval mode and without gradient; left in the mode it was in.
        tokenizer: gives the id that ends an answer.
        sampling: how answers are drawn.
        warmup: write the first interaction of an episode twice.
        precision: of encoding, writing and answering.
    """

    def __init__(
        self,
        model: RxT,
        tokenizer: DialogueTokenizer,
        sampling: SamplingConfig,
        *,
        warmup: bool = False,
        precision: Precision = "float32",
    ) -> None:
        self.model = model
        self.precision: Precision = precision
        self.sampling = sampling
        self.warmup = warmup
        self._eos_id = tokenizer.eos_id

    def reset(self, batch: int, *, seeds: Sequence[int] | None = None, start: Tensor | None = None) -> RxTState:
        """State at the start of ``batch`` episodes.

        Args:
            batch: number of episodes.
            seeds: one number per episode: it fixes the initial memory and every answer. None: drawn from torch's
                global generator.
            start: memory to go on from, ``(layers, batch, slots, dim)``; None: the model's initial memory.

        Raises:
            UserError: for a number of seeds that is not ``batch``.
        """
        if seeds is None:
            seeds = torch.randint(2**62, (batch,)).tolist()
        if len(seeds) != batch:
            raise UserError(f"seeds has {len(seeds)} numbers for {batch} episodes; allowed: one per episode, or None")
        with self._inference():
            memory = self.model.initial_memory(batch, seeds=seeds) if start is None else start
        # A view of a parameter requires gradient even under no_grad.
        memory = memory.detach().to(self.model.device)
        return RxTState(memory, tuple(int(seed) for seed in seeds))

    def act(self, observation: Observation, state: RxTState) -> PolicyOutput:
        """Write ``observation["interaction"]`` to memory, then answer ``observation["query"]``."""
        written = self.write(observation, state)
        return replace(self.answer(observation, written), state=self.stepped(written))

    def write(self, observation: Observation, state: RxTState) -> RxTState:
        """The state after ``observation["interaction"]`` was written to memory."""
        ids, mask = self._tensors(observation["interaction"])
        memory = state.memory
        with self._inference():
            for _ in range(2 if self.warmup and state.step == 0 else 1):
                memory = self.model.write(memory, ids, mask)
        return replace(state, memory=memory)

    def answer(self, observation: Observation, state: RxTState, count: int = 1) -> PolicyOutput:
        """Answer ``observation["query"]`` from the memory of ``state``, ``count`` times per episode.

        The query is read once. Rows are ``(episodes * count)``, the answers of an episode next to each other; the first
        one is the same whatever ``count`` is.
        """
        seeds = [
            seeding.key(seed, "answer", state.step, *([number] if number else []))
            for seed in state.seeds
            for number in range(count)
        ]
        return self._generate(observation, state, self.sampling, seeds, count)

    def answer_greedily(self, observation: Observation, state: RxTState) -> PolicyOutput:
        """The most probable answer to ``observation["query"]``."""
        greedy = SamplingConfig(temperature=0.0, max_new_tokens=self.sampling.max_new_tokens)
        return self._generate(observation, state, greedy, state.seeds, 1)

    def stepped(self, state: RxTState) -> RxTState:
        """The state at the next step."""
        return replace(state, step=state.step + 1)

    def _generate(
        self, observation: Observation, state: RxTState, sampling: SamplingConfig, seeds: Sequence[int], count: int
    ) -> PolicyOutput:
        ids, mask = self._tensors(observation["query"])
        with self._inference():
            answer = generate(
                self.model, ids, mask, state.memory, sampling, seeds=seeds, eos_id=self._eos_id, answers=count
            )
        actions: TokenArray = {"ids": answer.ids.cpu().numpy(), "mask": answer.mask.cpu().numpy().astype(np.int8)}
        return PolicyOutput(actions, answer.log_probs.cpu().numpy(), state)

    def remember(self, ids: Tensor, mask: Tensor, seeds: Sequence[int]) -> Tensor:
        """The memory after whole dialogues were written, without gradient.

        Args:
            ids: long ``(episodes, interactions, tokens)``.
            mask: bool, of the same shape.
            seeds: one per episode, for the initial memory.

        Returns:
            ``(layers, episodes, slots, dim)``.
        """
        device = self.model.device
        with self._inference():
            memory = self.model.initial_memory(ids.shape[0], seeds=seeds)
            return self.model.scan(memory, ids.to(device), mask.to(device))[-1]

    @contextmanager
    def _inference(self) -> Iterator[None]:
        with inference(self.model), computing(self.precision, self.model.device):
            yield

    def _tensors(self, tokens: TokenArray) -> tuple[Tensor, Tensor]:
        # Arrays from Ray are read-only: copy.
        ids = torch.from_numpy(np.array(tokens["ids"], dtype=np.int64))
        mask = torch.from_numpy(np.array(tokens["mask"], dtype=bool))
        ids, mask = trim(ids, mask)
        return ids.to(self.model.device), mask.to(self.model.device)
