"""Stage 5: roll out, learn, log, save - through the stages of a curriculum.

The loop is :meth:`Trainer.run`; one reads it in a sitting. Where the algorithm departs from the paper, the module that
does so says it: :mod:`.replay` (gradient through all writes), :mod:`.advantages`, :mod:`.objectives`, :mod:`.critic`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

from rxt_mrl import seeding
from rxt_mrl.contracts import RewardSpec, Stage
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer
from rxt_mrl.errors import UserError
from rxt_mrl.model import RxT
from rxt_mrl.runs import RunDir, checkpoints
from rxt_mrl.runs.guards import NotFiniteError, interrupts_wait

from .config import AlgorithmSettings, EnvSpec, RolloutSettings, check, for_stage
from .critic import CriticTrainer
from .curriculum import Counters, plan, policy_optimizer, promoted, set_rates
from .journal import Journal
from .learner import Learner
from .metrics import note, rollout_metrics
from .ray_workers import make_pool
from .rollout import Pool, StageSetup, make_setup
from .sampled_reward import number_of_dialogues, play_fixed
from .state import FILE, TrainerState
from .trajectories import Trajectories

Data = Callable[[Stage], DialogueTensors | None] | Mapping[str, DialogueTensors] | DialogueTensors | None
"""Dialogues of a stage: a function, by the name in ``Stage.data`` (``"default"`` for None), or one set for all."""

VALIDATION_EPISODES = 128
"""Dialogues of the validation that a promotion rule looks at."""


@dataclass(frozen=True)
class MRLResult:
    """What a training did.

    Attributes:
        updates: updates of each stage, those before a resumption included.
        rewards: mean reward of each update's rollouts in this call, stage by stage.
        seconds: wall-clock time of this call.
        tokens: answer tokens sampled in this call.
        checkpoint: folder of the final checkpoint.
    """

    updates: tuple[int, ...]
    rewards: tuple[tuple[float, ...], ...]
    seconds: float
    tokens: int
    checkpoint: Path


def train_mrl(
    model: RxT,
    tokenizer: DialogueTokenizer,
    data: Data,
    stages: Sequence[Stage],
    *,
    run: RunDir,
    reward: RewardSpec | None = None,
    env: EnvSpec | None = None,
    algorithm: AlgorithmSettings | None = None,
    rollout: RolloutSettings | None = None,
    validation: Data = None,
    embedding: Tensor | None = None,
    seed: int = 0,
    resume: bool = False,
    name: str = "mrl",
    progress: bool = True,
    on_stage_end: Callable[[int, Stage, RxT], None] | None = None,
) -> MRLResult:
    """Train a model by memory reinforcement learning; it is changed in place.

    Args:
        model: after stage 4.
        tokenizer: of the dialogues.
        data: dialogues to train on; None for an environment that brings its own.
        stages: the curriculum.
        run: where metrics, checkpoints and rollouts go. The state is in ``checkpoints/<name>/``, the model after each
            stage in ``checkpoints/<name>-<number>/``, rollouts in ``rollouts/<name>-<number>.jsonl``.
        reward: what answers are scored by; a stage may override it. None: the environment's default.
        env: the environment; None: memory retention.
        algorithm: objective, advantages, critic, optimizer; a stage may override it.
        rollout: episodes, sampling, workers.
        validation: dialogues for promotion rules; needed when a stage has one.
        embedding: frozen token embedding for rewards; None: the model's own at the start.
        seed: of everything drawn.
        resume: go on from the state of ``run``, if there is one.
        name: of checkpoints, rollouts and the section of the metrics.
        progress: show a bar.
        on_stage_end: called with the stage's index, the stage and the model.

    Raises:
        UserError: for settings, data or plug-ins that do not fit, before anything is trained; and during training
            for a reward that fails, workers that keep dying, or values that are not finite.
        KeyboardInterrupt: after Ctrl-C, with the state saved and the workers ended.
    """
    trainer = Trainer(
        model,
        tokenizer,
        stages,
        run=run,
        data=data,
        validation=validation,
        reward=reward,
        env=env or EnvSpec(),
        algorithm=algorithm or AlgorithmSettings(),
        rollout=rollout or RolloutSettings(),
        embedding=embedding,
        seed=seed,
        name=name,
    )
    return trainer.run(resume=resume, progress=progress, on_stage_end=on_stage_end)


class Trainer:
    """The training of :func:`train_mrl`, which explains the arguments."""

    def __init__(
        self,
        model: RxT,
        tokenizer: DialogueTokenizer,
        stages: Sequence[Stage],
        *,
        run: RunDir,
        data: Data,
        validation: Data,
        reward: RewardSpec | None,
        env: EnvSpec,
        algorithm: AlgorithmSettings,
        rollout: RolloutSettings,
        embedding: Tensor | None,
        seed: int,
        name: str,
    ) -> None:
        if not stages:
            raise UserError("the curriculum has no stages")
        self.model, self.tokenizer, self.stages = model, tokenizer, tuple(stages)
        self.run_dir, self.data, self.validation = run, data, validation
        self.reward, self.env, self.rollout = reward, env, rollout
        self.seed, self.name = seed, name
        self.algorithms = [for_stage(algorithm, stage) for stage in self.stages]
        for settings in self.algorithms:
            check(settings, rollout)
        critic = None
        if any(settings.advantage.kind == "gae" for settings in self.algorithms):
            critic = CriticTrainer(model.config.embed_dim, algorithm.critic, seed, model.device)
        frozen = model.embedding.weight if embedding is None else embedding
        self.state = TrainerState(
            model,
            policy_optimizer(model, algorithm.optimizer),
            critic,
            Counters(),
            frozen.detach().clone().cpu(),
            {"seed": seed, "stages": len(self.stages), "episodes": rollout.episodes, "group": rollout.group},
        )
        self.setups = [self._setup(stage, data) for stage in self.stages]
        self.sizes = [number_of_dialogues(setup) for setup in self.setups]
        for index, stage in enumerate(self.stages):
            if stage.promotion.rule != "fixed" and validation is None and data is not None:
                raise UserError(f"stage {index + 1}: promotion {stage.promotion.rule!r} needs validation dialogues")
        self._tokens = 0
        self._whole = True

    # --- the loop ------------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        resume: bool = False,
        progress: bool = True,
        on_stage_end: Callable[[int, Stage, RxT], None] | None = None,
    ) -> MRLResult:
        """Train all stages that are not done yet; see :func:`train_mrl`."""
        started = time.perf_counter()
        folder = self.run_dir.checkpoint_dir(self.name)
        if resume:
            if (folder / FILE).is_file():
                self.state.load(folder)
                # Rewards go on with the embedding that they began with.
                self.setups = [self._setup(stage, self.data) for stage in self.stages]
            self.run_dir.rewind(self.name, self.state.counters.total)
        counters = self.state.counters
        rewards: list[list[float]] = [[] for _ in self.stages]
        said = TextColumn("{task.fields[note]}")
        columns = (TextColumn("{task.description}"), BarColumn(), said, TimeElapsedColumn())
        pool: Pool | None = None
        try:
            with Progress(*columns, disable=not progress) as bars:
                if counters.stage < len(self.stages):
                    pool = make_pool(self.model, self.rollout)
                while counters.stage < len(self.stages):
                    index = counters.stage
                    assert pool is not None
                    self._stage(pool, rewards[index], bars)
                    counters.next_stage()
                    checkpoints.save(
                        self.run_dir.checkpoint_dir(f"{self.name}-{index + 1}"), self.model, self.tokenizer
                    )
                    self.state.reference = None
                    self.state.save(folder, self.tokenizer)
                    if on_stage_end is not None:
                        on_stage_end(index, self.stages[index], self.model)
        except BaseException:  # Ctrl-C, a reward that fails, workers that die: nothing is lost
            if self._whole:  # otherwise the last checkpoint stays: half an update is none
                self.state.save(folder, self.tokenizer)
            raise
        finally:
            if pool is not None:
                pool.close()
            self.model.requires_grad_(True)
        return MRLResult(counters.done, tuple(map(tuple, rewards)), time.perf_counter() - started, self._tokens, folder)

    def _stage(self, pool: Pool, rewards: list[float], bars: Progress) -> None:
        counters, index = self.state.counters, self.state.counters.stage
        stage, settings, setup = self.stages[index], self.algorithms[index], self.setups[index]
        label = f"{self.name}-{index + 1}"
        journal = Journal(self.run_dir.rollout_path(label), self.tokenizer, self.rollout.log, position=counters.journal)
        learner = Learner(self.model, self.state.optimizer, self.state.critic, self.rollout.sampling)
        reference = self._reference(settings)
        pool.configure(setup)
        task = bars.add_task(f"{label}: {stage.steps} steps", total=stage.updates, completed=counters.update, note="")
        while counters.update < stage.updates and not self._promoted(pool, stage, setup):
            if settings.max_seconds is not None and counters.seconds >= settings.max_seconds:
                break
            started = time.perf_counter()
            pool.sync()
            batch = pool.rollout(
                plan(
                    self.rollout,
                    stage,
                    seed=self.seed,
                    index=index,
                    update=counters.update,
                    dialogues=self.sizes[index],
                )
            )
            rolled = time.perf_counter() - started
            with interrupts_wait():
                self._whole = False
                metrics = self._update(learner, batch, reference)
                journal.write(batch, stage=label, update=counters.update, strategy=stage.strategy)
                counters.update += 1
                counters.total += 1
                counters.seconds += time.perf_counter() - started
                counters.journal = journal.position
                self._whole = True
                self._tokens += batch.tokens
                metrics |= rollout_metrics(batch, rolled)
                self.run_dir.metrics(metrics, counters.total, self.name)
                rewards.append(metrics["reward_mean"])
                if counters.update % settings.checkpoint_every == 0:
                    self.state.save(self.run_dir.checkpoint_dir(self.name), self.tokenizer)
            bars.update(task, completed=counters.update, note=note(metrics))

    def _update(self, learner: Learner, batch: Trajectories, reference: RxT | None) -> dict[str, float]:
        counters = self.state.counters
        stage, settings = self.stages[counters.stage], self.algorithms[counters.stage]
        set_rates(self.state.optimizer, settings, stage, counters.update)
        warming = settings.advantage.kind == "gae" and counters.total < settings.critic.warmup
        try:
            metrics = learner.update(
                batch,
                settings,
                group=self.rollout.group,
                key=(self.seed, "update", counters.stage, counters.update),
                critic_only=warming,
                reference=reference,
            )
        except NotFiniteError as error:
            path = self.run_dir.dump_path(f"{self.name}-{counters.stage + 1}-update-{counters.update}")
            trajectories = {field: getattr(batch, field) for field in batch.__dataclass_fields__ if field != "asks"}
            place = {"stage": counters.stage, "update": counters.update}
            raise error.dumped(path, {"trajectories": trajectories, **place}) from None
        rates = {group["component"]: group["lr"] for group in self.state.optimizer.param_groups}
        return metrics | {f"lr/{component}": value for component, value in rates.items()}

    # --- parts ---------------------------------------------------------------------------------------------------

    def _setup(self, stage: Stage, data: Data) -> StageSetup:
        return make_setup(
            self.env,
            dialogues=dialogues_of(data, stage),
            tokenizer=self.tokenizer,
            reward=stage.reward or self.reward,
            sampling=self.rollout.sampling,
            steps=stage.steps,
            strategy=stage.strategy,
            teacher_forcing=stage.teacher_forcing,
            embedding=self.state.embedding,
            warmup=stage.memory_warmup,
            carry=stage.random_resets < 1,
        )

    def _reference(self, settings: AlgorithmSettings) -> RxT | None:
        """The model as it was at the start of the stage, where a penalty asks for it."""
        if not settings.objective.reference_kl:
            return None
        reference = copy.deepcopy(self.model).requires_grad_(False).eval()
        if self.state.reference is None:
            self.state.reference = {name: value.clone() for name, value in reference.state_dict().items()}
        else:
            reference.load_state_dict(self.state.reference)
        return reference

    def _promoted(self, pool: Pool, stage: Stage, setup: StageSetup) -> bool:
        rule, counters = stage.promotion, self.state.counters
        due = counters.update > 0 and counters.update % rule.every == 0 and counters.update != counters.judged
        if rule.rule == "fixed" or not due:
            return False
        held_out = setup if self.validation is None else self._setup(stage, self.validation)
        pool.configure(held_out)
        pool.sync()
        count = min(VALIDATION_EPISODES, number_of_dialogues(held_out))
        batch = play_fixed(pool, held_out, seed=seeding.key(self.seed, "validation"), count=count)
        pool.configure(setup)
        reward = float(batch.rewards[batch.valid].mean())
        self.run_dir.metrics({"validation_reward": reward}, counters.total, self.name)
        ends = promoted(rule, reward, counters)
        if not ends:
            counters.judged = counters.update
        return ends


def dialogues_of(data: Data, stage: Stage) -> DialogueTensors | None:
    """The dialogues of a stage.

    Raises:
        UserError: for a name that is not there, or dialogues with too few follow-ups.
    """
    if isinstance(data, Mapping):
        key = stage.data or "default"
        if key not in data:
            raise UserError(f"stage data {key!r} is not there; there are: {', '.join(sorted(data))}")
        found: DialogueTensors | None = data[key]
    else:
        found = data(stage) if callable(data) else data
    if found is not None and found.steps < stage.steps:
        raise UserError(f"stage.steps = {stage.steps}: its dialogues have {found.steps} follow-ups")
    return found
