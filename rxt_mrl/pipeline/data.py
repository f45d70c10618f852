"""The data of a run: what each stage trains on and what the evaluation holds out, encoded with the run's tokenizer."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from .. import plugins
from ..contracts import Dialogue
from ..dialogues.batching import DialogueTensors, encode_dialogues
from ..dialogues.sources import load_dialogues, load_pairs, load_texts
from ..dialogues.tokenizer import DialogueTokenizer
from ..errors import UserError
from ..mrl.config import EnvSpec
from ..mrl.environment import StageSetup, make_setup
from ..mrl.ray_workers import check_sendable
from ..mrl.stages import Stage
from ..runs import ranks
from ..scoring import WeightedReward, states
from ..seeding import key, torch_generator
from ..supervised.batches import DialoguesBySteps
from ..supervised.config import STAGE_SETTINGS, StageName
from ..texts import counted
from .recipe import Recipe
from .rehearsal import rehearse
from .start import initial_tokenizer

Rows = DialogueTensors | DialoguesBySteps | list[str]
"""What a supervised stage trains on."""

MAX_TEXTS = 20_000
"""Held-out dialogues at most, and texts of stage 1 where their source has no ``limit``."""


class RunData:
    """Loads what a recipe names, and keeps what is loaded.

    Args:
        recipe: the run's recipe.
        tokenizer: the run's, where it has one already; None: see :meth:`make_tokenizer`.
    """

    def __init__(self, recipe: Recipe, tokenizer: DialogueTokenizer | None = None) -> None:
        self.recipe = recipe
        self.tokenizer = tokenizer or self.make_tokenizer()
        self._held_out: dict[str, DialogueTensors] = {}
        self._mrl: dict[tuple[str | None, int], DialogueTensors] = {}
        self._at_steps: dict[int, DialogueTensors] = {}
        self._supervised: dict[StageName, Rows] = {}
        self._looked_at: dict[StageName, Rows] = {}

    def check(self, *, complete: Collection[str] = ()) -> None:
        """Load the plug-ins and the data of every stage, so that nothing is missing or too long in mid-run.

        Args:
            complete: supervised stages that a resumed run does not need any more.

        Raises:
            UserError: for the first thing that does not fit.
        """
        plugins.find("env", self.recipe.env.use)
        for reward in (self.recipe.reward, self.recipe.evaluation.reward):
            if reward is not None:
                WeightedReward(reward)
        self._check_terms()
        for stage in sorted(self.recipe.curriculum, key=lambda stage: -stage.most_steps):  # the longest asks for most
            self._check_stage(stage)
        for name in STAGE_SETTINGS:
            settings = getattr(self.recipe.supervised, name)
            if name not in complete and settings is not None and settings.updates != 0:
                self.supervised(name)
                if settings.evaluate is not None:
                    self.supervised_held_out(name)
        for source in self.recipe.evaluation_sources:
            self.held_out(source)

    def _check_terms(self) -> None:
        """Whether each term of each reward counts somewhere, by the rule that our environment has for modes."""
        recipe = self.recipe
        if recipe.env.use.replace("_", "-") != EnvSpec().use:
            return
        for spec in (recipe.reward, *(stage.reward for stage in recipe.curriculum)):
            episodes = {
                (stage.strategy or recipe.data.sources[source or recipe.data.default].strategy, steps)
                for stage in recipe.curriculum
                if spec is not None and (stage.reward or recipe.reward) is spec
                for source, steps in stage.parts
            }
            if spec is not None and episodes and (idle := WeightedReward(spec).idle(episodes)):
                played = ", ".join(f"{strategy} of {counted(steps, 'step')}" for strategy, steps in sorted(episodes))
                raise UserError(
                    f"reward: {idle[0]} counts at no step of the curriculum ({played}): see its steps, mode, strategy"
                )

    def _check_stage(self, stage: Stage) -> None:
        """Play the stage's parts with their reward, as the rollouts will."""
        recipe = self.recipe
        supervised = recipe.control == "supervised"
        carry = stage.carry or recipe.rollout.carry
        for source, steps in stage.parts:
            if "reference" in carry.kinds:
                self._needs_references("carry", source)
            if supervised:
                self._needs_references("control = 'supervised'", source)
            setup = self.setup(stage, source, steps)
            states.check(setup.stateful, 0 if supervised else recipe.rollout.workers, ranks.size())
            rehearse(setup, f"curriculum.{recipe.curriculum.index(stage)}")
            if recipe.rollout.workers and not supervised:
                check_sendable(setup, recipe.rollout.workers)
            if stage.looks is not None and not supervised:
                self.validation(source, steps)

    def setup(self, stage: Stage, source: str | None, steps: int) -> StageSetup:
        """What a part of a stage plays; for the supervised control, what its gain is measured on."""
        recipe = self.recipe
        played = (
            self.held_out(recipe.evaluation_sources[0]) if recipe.control == "supervised" else self.mrl(source, steps)
        )
        some = torch.randn(self.tokenizer.vocab_size, 8, generator=torch_generator("rehearsal"))
        return make_setup(
            recipe.env,
            dialogues=played,
            tokenizer=self.tokenizer,
            reward=stage.reward or recipe.reward,
            sampling=recipe.rollout.sampling,
            steps=min(steps, played.steps),
            strategy=stage.strategy,
            embedding=some,  # rewards that look at one work with any
        )

    def make_tokenizer(self) -> DialogueTokenizer:
        """The tokenizer: of the checkpoint that the run starts from, of a folder, or trained on the recipe's data."""
        recipe = self.recipe
        if (given := initial_tokenizer(recipe)) is not None:
            return given
        count, texts = recipe.tokenizer.dialogues, list[str]()
        if recipe.reads_dialogues:
            # Of any length: only the stages say how many follow-ups they need.
            loaded = load_dialogues(
                recipe.source(), "train", steps=recipe.most_steps, episodes=count, seed=recipe.seed, any_length=True
            )
            turns = [turn for dialogue in loaded.dialogues for turn in dialogue.turns]
            texts += [text for turn in turns for text in (turn.query, turn.answer)]
        if recipe.data.text is not None:
            texts += load_texts(recipe.source(recipe.data.text), "train", limit=count)
        return DialogueTokenizer.train(texts, recipe.tokenizer.vocab_size)

    def dialogues(
        self,
        split: str,
        steps: int,
        episodes: int,
        *,
        source: str | None = None,
        part: str = "",
        seed: int | None = None,
    ) -> list[Dialogue]:
        """Dialogues of a split with at least ``steps`` follow-ups.

        Args:
            split: ``train`` or ``validation``.
            steps: follow-ups of each.
            episodes: at most so many.
            source: None: the default.
            part: keys, with the seed, what an endless source generates.
            seed: None: the recipe's.

        Raises:
            UserError: when the source has none, or too short ones.
        """
        seed = self.recipe.seed if seed is None else seed
        seed = key(seed, "data", part) % 2**31 if part else seed
        loaded = load_dialogues(self.recipe.source(source), split, steps=steps, episodes=episodes, seed=seed)
        if not loaded.dialogues:
            raise UserError(f"data.sources.{source or self.recipe.data.default}: no dialogues in split {split!r}")
        return loaded.dialogues

    def encode(self, dialogues: Sequence[Dialogue], steps: int, *, source: str | None = None) -> DialogueTensors:
        """Encode dialogues under the recipe's token limits."""
        limits = self.recipe.limits
        return encode_dialogues(
            dialogues,
            self.tokenizer,
            max_query=limits.query,
            max_answer=limits.answer,
            strategy=self.recipe.source(source).strategy,
            steps=steps,
            on_long=limits.on_long,
        )

    def supervised(self, name: StageName) -> Rows:
        """What a supervised stage trains on: texts (stage 1 with a ``data.text`` source) or dialogues."""
        if name not in self._supervised:
            self._supervised[name] = self._load_supervised(name)
        return self._supervised[name]

    def supervised_held_out(self, name: StageName) -> Rows:
        """What the looks of a supervised stage measure: the validation split of what it trains on."""
        if name not in self._looked_at:
            self._looked_at[name] = self._load_supervised(name, "validation")
        return self._looked_at[name]

    def _load_supervised(self, name: StageName, split: str = "train") -> Rows:
        recipe = self.recipe
        settings = getattr(recipe.supervised, name)
        held_out = split != "train"
        limit = settings.evaluate.rows if held_out else recipe.data.supervised_dialogues
        if name == "joint" and recipe.data.text is not None:
            return self.texts(split, limit) if held_out else self.texts(split)
        if getattr(settings, "row_tokens", None) is not None:
            raise UserError(
                f"supervised.{name}.row_tokens = {settings.row_tokens}: cuts texts (data.text), not dialogues"
            )
        if name == "interaction" and recipe.data.pairs is not None:
            pairs = load_pairs(recipe.source(recipe.data.pairs), split, limit=limit)
            return self.encode([Dialogue(*pair, interactions=()) for pair in pairs], 0)
        self._needs_references(f"stage {name}")
        aware = recipe.supervised.memory_aware
        if held_out:
            steps = aware.max_steps if aware else recipe.most_steps
            return self.encode(self.dialogues(split, steps, limit, part="looks"), steps)
        if name == "memory_aware" and aware is not None and recipe.source().has_windows:
            return DialoguesBySteps({steps: self._at(steps) for steps in aware.all_steps})
        return self._at(aware.max_steps if aware else recipe.most_steps)

    def _at(self, steps: int) -> DialogueTensors:
        """Training dialogues of the default source; most stages share them, and encoding takes seconds."""
        if steps not in self._at_steps:
            dialogues = self.dialogues("train", steps, self.recipe.data.supervised_dialogues)
            self._at_steps[steps] = self.encode(dialogues, steps)
        return self._at_steps[steps]

    def texts(self, split: str, limit: int = MAX_TEXTS) -> list[str]:
        """Texts of stage 1: of the train split as many as their source's ``limit`` says, and else ``limit``."""
        source = self.recipe.source(self.recipe.data.text)
        return load_texts(source, split, limit=None if source.limit and split == "train" else limit)

    def _needs_references(self, what: str, source: str | None = None) -> None:
        if not self.recipe.source(source).references:
            name = source or self.recipe.data.default
            raise UserError(f"data.sources.{name}: references is false, and {what} needs references")

    def control(self, stage: Stage) -> DialogueTensors:
        """What the supervised control trains on in place of an MRL stage: its mixture of sources, at its most steps."""
        dialogues: list[Dialogue] = []
        shares = {source: 0.0 for source, _ in stage.parts}
        for (source, _), share in stage.parts.items():
            shares[source] += share
        for source, share in shares.items():
            count = max(1, round(share * self.recipe.data.supervised_dialogues))
            dialogues += self.dialogues("train", stage.most_steps, count, source=source, part="control")
        return self.encode(dialogues, stage.most_steps)

    def mrl(self, source: str | None, steps: int) -> DialogueTensors:
        """Dialogues that MRL plays, of a source (None: the default) and with ``steps`` follow-ups."""
        if (source, steps) not in self._mrl:
            count = self.recipe.data.mrl_dialogues
            dialogues = self.dialogues("train", steps, count, source=source, part=f"mrl {steps}")
            self._mrl[source, steps] = self.encode(dialogues, steps, source=source)
        return self._mrl[source, steps]

    def validation(self, source: str | None, steps: int) -> DialogueTensors:
        """Held-out dialogues at which MRL looks while it trains; other ones than the evaluation's, where the source has
        more."""
        wanted = max(stage.looks.episodes for stage in self.recipe.curriculum if stage.looks is not None)
        dialogues = self.dialogues("validation", steps, wanted, source=source, part="promotion")
        return self.encode(dialogues, steps, source=source)

    def held_out(self, source: str) -> DialogueTensors:
        """Held-out dialogues of a source for the evaluation: the same ones for every stage and seed of training.

        Raises:
            UserError: when the source has none, too few or too short ones.
        """
        if source not in self._held_out:
            dialogues = self.held_out_dialogues(source)
            wanted = self.recipe.evaluation.episodes or 1
            if len(dialogues) < wanted:
                raise UserError(
                    f"evaluation.episodes = {wanted}: data.sources.{source} has {len(dialogues)} dialogues in split "
                    "'validation'"
                )
            self._held_out[source] = self.encode(dialogues, self.recipe.held_out_steps, source=source)
        return self._held_out[source]

    def held_out_dialogues(self, source: str) -> list[Dialogue]:
        """The dialogues of :meth:`held_out`, as texts."""
        episodes = self.recipe.evaluation.episodes or MAX_TEXTS
        return self.dialogues("validation", self.recipe.held_out_steps, episodes, source=source, seed=0)
