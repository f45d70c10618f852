"""The one state of a training: weights, optimizers, random state, place in curriculum and data. Saved and resumed.

A run that was interrupted and resumed gives the same weights, bit for bit, as one that was not: what is drawn is
keyed by (seed, stage, update), so the counters are the position in the data, and torch's own random state is kept for
whatever a plug-in draws from it.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rxt_mrl.dialogues import DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.files import damaged, whole
from rxt_mrl.model import RxT
from rxt_mrl.runs import checkpoints, ranks
from rxt_mrl.scoring.states import packed, unpacked

from .critic import CriticTrainer
from .curriculum import Counters
from .validation import Best

FILE = "trainer.pt"
_VERSION = 2


@dataclass
class TrainerState:
    """Everything that changes in a training.

    Attributes:
        model: the policy.
        optimizer: of the policy.
        critic: with its optimizer; None without one.
        counters: stage, update, ...
        embedding: the frozen embedding that rewards see, ``(vocab, dim)``.
        reference: weights of the model at the start of the stage, for the KL penalty; None without.
        best: the best validation of the stage, where it keeps it.
        rewards: what rewards with a state know (:mod:`rxt_mrl.scoring.states`).
        played_by: the weights that play the next update, where it is played ahead (:mod:`.ahead`).
        fingerprint: what must not change between a run and its resumption (seed, ...).
        planned: updates of each stage; there may be more of the last one, and further ones, when a run goes on.
        ended: how the last stage ended, which it goes on from when it is given more updates; None: it has not.
    """

    model: RxT
    optimizer: torch.optim.AdamW
    critic: CriticTrainer | None
    counters: Counters
    embedding: Tensor
    fingerprint: Mapping[str, Any]
    reference: dict[str, Tensor] | None = None
    best: Best | None = None
    played_by: dict[str, Tensor] | None = None
    rewards: dict[str, Any] = field(default_factory=dict)
    planned: tuple[int, ...] = ()
    ended: dict[str, Any] | None = None

    def save(self, folder: Path, tokenizer: DialogueTokenizer) -> None:
        """Write the state, and beside it the model as anyone loads it (safetensors, config, tokenizer).

        A killed process leaves the old state or the new one, never half of one.
        """
        if not ranks.is_main():
            return
        content = {
            "version": _VERSION,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "critic": None if self.critic is None else self.critic.critic.state_dict(),
            "critic_optimizer": None if self.critic is None else self.critic.optimizer.state_dict(),
            "counters": self.counters.as_dict(),
            "embedding": self.embedding,
            "reference": self.reference,
            "best": self._best(),
            "played_by": self.played_by,
            "rewards": packed(self.rewards),
            "planned": self.planned,
            "ended": self.ended,
            "random": torch.get_rng_state(),
            "fingerprint": dict(self.fingerprint),
        }
        with whole(folder / FILE) as part:
            torch.save(content, part)
        checkpoints.save(folder, self.model, tokenizer)

    def load(self, folder: Path) -> None:
        """Go on from what :meth:`save` wrote.

        Raises:
            UserError: when there is no state, or it belongs to another training.
        """
        path = folder / FILE
        if not path.is_file():
            raise UserError(f"nothing to resume: no {FILE} in {folder}")
        advice = "delete it, and --resume begins stage 5 anew from the checkpoint before it"
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(content, dict):
                raise TypeError(f"a {type(content).__name__}, not a state")
        except pickle.UnpicklingError as error:
            # Torch's own words tell how to have foreign code run.
            other = ValueError("it holds something else than tensors and numbers, and nothing of it was run")
            raise damaged(path, other, f"{advice}; do not use it if you do not know where it comes from") from error
        except Exception as error:  # a damaged file may raise anything
            raise damaged(path, error, advice) from error
        if content.get("version") != _VERSION:
            raise UserError(
                f"{path} has version {content.get('version')!r}, this rxt-mrl goes on from version {_VERSION} only: "
                "resume with the rxt-mrl that wrote it, or train anew (the model beside it loads as ever)"
            )
        planned, now = tuple(content.get("planned", ())), len(self.planned)
        if now < len(planned):
            raise UserError(f"{path} is of another training: it had {len(planned)} stages and has {now} now")
        for name, value in self.fingerprint.items():
            before = content.get("fingerprint", {}).get(name)
            if before != value:
                raise UserError(f"{path} is of another training: {name} was {before!r} and is now {value!r}")
        try:
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            if self.critic is not None and content["critic"] is not None:
                self.critic.critic.load_state_dict(content["critic"])
                self.critic.optimizer.load_state_dict(content["critic_optimizer"])
            self.counters = Counters(**content["counters"])
            self.embedding = content["embedding"].to(self.embedding.device)
            self.reference = content["reference"]
            self.best = None if content["best"] is None else Best(**content["best"])
            self.played_by = content.get("played_by")
            self.rewards |= unpacked(content.get("rewards", {}))
            self.ended = content.get("ended")
            self._reopen(planned)
            torch.set_rng_state(content["random"])
        except Exception as error:  # something is missing, or of another shape or type
            raise damaged(path, error, advice) from error

    def end_stage(self) -> None:
        """Go to the stage after this one; of the last one is kept what it would go on from."""
        place, last = self.counters.as_dict(), self.counters.stage == len(self.planned) - 1
        self.ended = {"counters": place, "reference": self.reference, "best": self._best()} if last else None
        self.counters.next_stage()
        self.reference = self.best = self.played_by = None

    def _reopen(self, before: tuple[int, ...]) -> None:
        """Go on with the last stage of before, where it is complete and has more updates now."""
        last = len(before) - 1
        if self.ended is not None and self.counters.stage == last + 1 and self.planned[last] > before[last]:
            self.counters, self.reference = Counters(**self.ended["counters"]), self.ended["reference"]
            self.best = None if self.ended["best"] is None else Best(**self.ended["best"])

    def _best(self) -> dict[str, Any] | None:
        return None if self.best is None else asdict(self.best)
