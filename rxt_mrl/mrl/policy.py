"""The RxT as a policy: its state is its memory. Write what was observed, then answer the next query.

What it says at a step depends on the memory and the query alone: earlier text is not at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rxt_mrl import seeding
from rxt_mrl.contracts import Observation, PolicyOutput, TokenArray
from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT, inference
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
    """

    def __init__(
        self, model: RxT, tokenizer: DialogueTokenizer, sampling: SamplingConfig, *, warmup: bool = False
    ) -> None:
        self.model = model
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
        with inference(self.model):
            memory = self.model.initial_memory(batch, seeds=seeds) if start is None else start
        # A view of a parameter requires gradient even under no_grad.
        memory = memory.detach().to(self.model.device)
        return RxTState(memory, tuple(int(seed) for seed in seeds))

    def act(self, observation: Observation, state: RxTState) -> PolicyOutput:
        """Write ``observation["interaction"]`` to memory, then answer ``observation["query"]``."""
        written_ids, written_mask = self._tensors(observation["interaction"])
        query_ids, query_mask = self._tensors(observation["query"])
        with inference(self.model):
            memory = state.memory
            for _ in range(2 if self.warmup and state.step == 0 else 1):
                memory = self.model.write(memory, written_ids, written_mask)
        seeds = [seeding.key(seed, "answer", state.step) for seed in state.seeds]
        answer = generate(self.model, query_ids, query_mask, memory, self.sampling, seeds=seeds, eos_id=self._eos_id)
        actions: TokenArray = {"ids": answer.ids.cpu().numpy(), "mask": answer.mask.cpu().numpy().astype(np.int8)}
        return PolicyOutput(actions, answer.log_probs.cpu().numpy(), RxTState(memory, state.seeds, state.step + 1))

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
        with inference(self.model):
            memory = self.model.initial_memory(ids.shape[0], seeds=seeds)
            return self.model.scan(memory, ids.to(device), mask.to(device))[-1]

    def _tensors(self, tokens: TokenArray) -> tuple[Tensor, Tensor]:
        # Arrays from Ray are read-only: copy.
        ids = torch.from_numpy(np.array(tokens["ids"], dtype=np.int64))
        mask = torch.from_numpy(np.array(tokens["mask"], dtype=bool))
        ids, mask = trim(ids, mask)
        return ids.to(self.model.device), mask.to(self.model.device)
