"""What a recipe can set about its stateless peer (``rxt-mrl baseline``)."""

from __future__ import annotations

import math

from pydantic import Field

from ..settings import Settings


class SftSettings(Settings):
    """Supervised fine-tuning (``trl.SFTTrainer``) on whole dialogues; the loss counts the answers.

    Attributes:
        updates: optimizer updates; 0 skips it.
        batch_size: dialogues of an update.
        learning_rate: the highest rate; it falls to 0 along a cosine.
        warmup: updates until it is reached.
        grow: share of the updates over which the dialogues grow from one follow-up, doubling, to all of them; 0: they
            are whole from the start. A small model finds out in short histories that they hold the answers, and what it
            has found it keeps: so the first doublings take longer, and all of them less than whole dialogues would.
    """

    updates: int = Field(default=1200, ge=0)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-2, gt=0)
    warmup: int = Field(default=50, ge=0)
    grow: float = Field(default=0.9, ge=0, lt=1)

    def steps_at(self, update: int, steps: int) -> int:
        """Follow-ups of the dialogues of an update (from 0), of ``steps`` in the end.

        >>> [SftSettings(updates=10, grow=0.9).steps_at(update, 8) for update in range(10)]
        [1, 1, 1, 1, 1, 1, 2, 2, 4, 8]
        """
        if update >= self.grow * self.updates:
            return steps
        doublings = math.ceil(math.log2(steps))
        return min(steps, 2 ** int((update / (self.grow * self.updates)) ** 2 * doublings))


class GrpoSettings(Settings):
    """Reinforcement learning (``trl.GRPOTrainer``) with the recipe's reward, one question a prompt.

    Attributes:
        updates: optimizer updates; 0 skips it.
        questions: questions of an update.
        answers: sampled to each question and compared with each other.
        learning_rate: of AdamW.
        temperature: of sampling.
    """

    updates: int = Field(default=0, ge=0)
    questions: int = Field(default=16, ge=1)
    answers: int = Field(default=4, ge=2)
    learning_rate: float = Field(default=1e-4, gt=0)
    temperature: float = Field(default=1.0, gt=0)


class BaselineSettings(Settings):
    """The stateless peer of a recipe's model.

    Attributes:
        layers: of the model; None: as many as make it as large as the recipe's model, at its width.
        steps: follow-ups of the dialogues that it is trained on; None: the most that any stage of the recipe sees.
        dialogues: at most so many; None: ``data.supervised_dialogues``.
        sft: supervised fine-tuning.
        grpo: reinforcement learning after it.
    """

    layers: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    dialogues: int | None = Field(default=None, ge=1)
    sft: SftSettings = SftSettings()
    grpo: GrpoSettings = GrpoSettings()
