"""Stage 5: roll out, learn, log, save - through the stages of a curriculum.

The loop is :meth:`Trainer.run`; one reads it in a sitting. Where the algorithm departs from the paper, the module that
does so says it: :mod:`.replay` (gradient through all writes), :mod:`.advantages`, :mod:`.objectives`, :mod:`.critic`.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from rxt_mrl import seeding
from rxt_mrl.contracts import RewardSpec
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer
from rxt_mrl.display import Bars, busy
from rxt_mrl.errors import UserError
from rxt_mrl.files import WriteError
from rxt_mrl.model import RxT
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.runs import RunDir, checkpoints, ranks
from rxt_mrl.runs.guards import NotFiniteError, interrupts_wait
from rxt_mrl.scoring import load_reward, states

from .ahead import Rollouts
from .config import AlgorithmSettings, EnvSpec, RolloutSettings, check, for_stage
from .critic import CriticTrainer
from .curriculum import Counters, plan, policy_optimizer, promoted, set_rates
from .environment import StageSetup, make_setup
from .journal import Journal
from .learner import Learner
from .metrics import rollout_metrics
from .pool import Pool
from .ray_workers import make_pool
from .recall import JUDGE, recall
from .rollout import Shard
from .sharing import check_shards, shared
from .stages import Stage
from .state import FILE, TrainerState
from .trajectories import Trajectories
from .validation import Best, fallen, look

log = logging.getLogger(__name__)

Data = Callable[[str | None, int], DialogueTensors | None] | Mapping[str, DialogueTensors] | DialogueTensors | None
"""Dialogues by source (None: the default) and number of follow-ups: a function of both, by the name of the source
(``"default"`` for None), or one set for all."""


@dataclass(frozen=True)
class Training:
    """What is trained on, by which reward and algorithm.

    Attributes:
        data: dialogues to train on; None for an environment that brings its own.
        stages: the curriculum.
        reward: what answers are scored by; a stage may override it. None: the environment's default.
        env: the environment.
        algorithm: objective, advantages, critic, optimizer; a stage may override it.
        rollout: episodes, answers, sampling, workers.
        validation: held-out dialogues; needed when a stage looks at them.
        embedding: frozen token embedding for rewards; None: the model's own at the start.
        seed: of everything drawn.
        name: of checkpoints, rollouts and the section of the metrics.
    """

    data: Data
    stages: Sequence[Stage]
    reward: RewardSpec | None = None
    env: EnvSpec = field(default_factory=EnvSpec)
    algorithm: AlgorithmSettings = field(default_factory=AlgorithmSettings)
    rollout: RolloutSettings = field(default_factory=RolloutSettings)
    validation: Data = None
    embedding: Tensor | None = None
    seed: int = 0
    name: str = "mrl"


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
    training: Training,
    run: RunDir,
    *,
    resume: bool = False,
    progress: bool = True,
    on_stage_end: Callable[[int, Stage, RxT], None] | None = None,
) -> MRLResult:
    """Train a model by memory reinforcement learning; it is changed in place.

    Args:
        model: after stage 4.
        tokenizer: of the dialogues.
        training: what is trained on, and how.
        run: where metrics, checkpoints and rollouts go. The state is in ``checkpoints/<name>/``, the model after each
            stage in ``checkpoints/<name>-<number>/``, rollouts in ``rollouts/<name>-<number>.jsonl``.
        resume: go on from the state of ``run``, if there is one.
        progress: show a bar.
        on_stage_end: called with the stage's index, the stage and the model.

    Raises:
        UserError: for settings, data or plug-ins that do not fit, before anything is trained; and during training
            for a reward that fails, workers that keep dying, or values that are not finite.
        KeyboardInterrupt: after Ctrl-C, with the state saved and the workers ended.
    """
    return Trainer(model, tokenizer, training, run).run(resume=resume, progress=progress, on_stage_end=on_stage_end)


class Trainer:
    """The training of :func:`train_mrl`, which explains the arguments."""

    def __init__(self, model: RxT, tokenizer: DialogueTokenizer, training: Training, run: RunDir) -> None:
        if not training.stages:
            raise UserError("the curriculum has no stages")
        self.model, self.tokenizer, self.training, self.run_dir = model, tokenizer, training, run
        self.stages, self.rollout = tuple(training.stages), training.rollout
        self.seed, self.name = training.seed, training.name
        self.algorithms = [for_stage(training.algorithm, stage) for stage in self.stages]
        for settings in self.algorithms:
            check(settings, self.rollout)
            if settings.max_seconds is not None:
                ranks.alone(f"algorithm.max_seconds = {settings.max_seconds:g}")
        check_shards(self.rollout.episodes, self.rollout.shard)
        critic = None
        if any(settings.advantage.uses_critic for settings in self.algorithms):
            critic = CriticTrainer(model.config.embed_dim, training.algorithm.critic, self.seed, model.device)
        frozen = model.embedding.weight if training.embedding is None else training.embedding
        self.state = TrainerState(
            model,
            policy_optimizer(model, training.algorithm.optimizer),
            critic,
            Counters(),
            frozen.detach().clone().cpu(),
            {
                "seed": self.seed,
                "episodes": self.rollout.episodes,
                "answers": self.rollout.answers,
                **({"ahead": 1} if self.rollout.ahead else {}),
            },
            planned=tuple(stage.updates for stage in self.stages),
        )
        for index, stage in enumerate(self.stages):
            if stage.looks is not None and training.validation is None and training.data is not None:
                what = "a validation" if stage.validation else f"promotion {stage.promotion.rule!r}"
                raise UserError(f"stage {index + 1}: {what} needs validation dialogues")
            for setup in self._setups(stage):
                states.check(setup.stateful, self.rollout.workers, ranks.size())
                self.state.rewards = {**states.capture(setup.stateful), **self.state.rewards}
        self._tokens = 0
        self._whole = True
        self._judge = load_reward(JUDGE)

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
                self.state.load(folder)  # rewards go on with the embedding that they began with
            place = self.state.counters
            again = None if place.judged == place.update else "validation_reward"
            self.run_dir.rewind(self.name, place.total, again=again)
        counters = self.state.counters
        rewards: list[list[float]] = [[] for _ in self.stages]
        pool: Pool | None = None
        try:
            if counters.stage < len(self.stages):
                with busy(f"starting {self.rollout.workers} workers") if self.rollout.workers else nullcontext():
                    pool = shared(make_pool(self.model, self.rollout))
            with Bars(show=progress and ranks.is_main()) as bars:
                while counters.stage < len(self.stages):
                    index = counters.stage
                    assert pool is not None
                    self._stage(pool, rewards[index], bars)
                    with interrupts_wait():  # a stage that has ended has its checkpoint
                        self.state.end_stage()
                        checkpoints.save(
                            self.run_dir.checkpoint_dir(f"{self.name}-{index + 1}"), self.model, self.tokenizer
                        )
                        self.state.save(folder, self.tokenizer)
                    if on_stage_end is not None:
                        on_stage_end(index, self.stages[index], self.model)
        except WriteError:  # the state that was written last stays: another would not find room either
            raise
        except BaseException:  # Ctrl-C, a reward that fails, workers that die: nothing is lost
            if self._whole:  # otherwise the last checkpoint stays: half an update is none
                self.state.save(folder, self.tokenizer)
            raise
        finally:
            if pool is not None:
                pool.close()
            self.model.requires_grad_(True)
        return MRLResult(counters.done, tuple(map(tuple, rewards)), time.perf_counter() - started, self._tokens, folder)

    def _stage(self, pool: Pool, rewards: list[float], bars: Bars) -> None:
        counters, index = self.state.counters, self.state.counters.stage
        stage, settings = self.stages[index], self.algorithms[index]
        label = f"{self.name}-{index + 1}"
        journal = Journal(self.run_dir.rollout_path(label), self.tokenizer, self.rollout.log, position=counters.journal)
        learner = Learner(self.model, self.state.optimizer, self.state.critic, self.rollout.sampling)
        reference = self._reference(settings)
        setups = self._setups(stage)
        sizes = [setup.dialogues() for setup in setups]
        pool.configure(setups)
        rollouts = Rollouts(pool, self.model, ahead=self.rollout.ahead > 0, played_by=self.state.played_by)

        def planned(update: int, known: states.States) -> list[Shard]:
            shards = plan(self.rollout, stage, seed=self.seed, index=index, update=update, dialogues=sizes)
            return [replace(shard, states=known) for shard in shards] if known else shards

        steps = " ".join(map(str, stage.lengths))
        alike = False
        bar = bars.add(f"{label}: {steps} steps", stage.updates, counters.update)
        while counters.update < stage.updates:
            if settings.max_seconds is not None and counters.seconds >= settings.max_seconds:
                break
            # 1. Look how far the stage has come; it may end here. First the workers have to be free.
            started = time.perf_counter()
            ready = rollouts.wait()
            waited = time.perf_counter() - started
            pool.sync()
            if self._ends(pool, stage, sizes):
                break
            # 2. Plan and play: this update, and perhaps the next one while this one learns.
            started = time.perf_counter() - waited
            shards = planned(counters.update, self.state.rewards)
            behind = float(ready is not None or self.state.played_by is not None)
            played = rollouts.play(shards) if ready is None else ready
            batch, following = played.batch, None
            _refuse_unknown(batch, stage.reward or self.training.reward, label)
            known = self.state.rewards
            if batch.states:
                known = states.merged(setups[shards[0].setup].stateful, known, batch.states)
            if counters.update + 1 < stage.updates:
                following = rollouts.start(partial(planned, counters.update + 1, known))
            with interrupts_wait():
                self._whole = False
                # 3. Learn.
                metrics = self._update(learner, batch, reference) | rollout_metrics(batch, played.seconds)
                if not math.isnan(recalled := self._recall(batch)):
                    metrics["recall"] = recalled
                if self.rollout.ahead:
                    metrics |= {"updates_behind": behind, "waiting_seconds": waited}
                # 4. Write down.
                strategy = setups[shards[0].setup].offered.get("strategy", "multi_step")
                journal.write(batch, stage=label, update=counters.update, strategy=strategy)
                counters.update += 1
                counters.total += 1
                counters.seconds += time.perf_counter() - started
                counters.journal = journal.position
                self.state.played_by, self.state.rewards = following, known
                self._whole = True
                self._tokens += batch.tokens
                self.run_dir.metrics(metrics, counters.total, self.name)
                rewards.append(metrics["reward_mean"])
                if metrics.get("dead_groups") == 1 and not alike:
                    alike = True
                    log.warning(
                        "%s, update %d: the answers from one memory all earned the same reward (dead groups 100 %%): "
                        "nothing was learnt, a reward has to tell answers apart",
                        label,
                        counters.update,
                    )
                if counters.update % settings.checkpoint_every == 0:
                    self.state.save(self.run_dir.checkpoint_dir(self.name), self.tokenizer)
            shown = {"reward": "reward_mean", "recall": "recall"}
            bar.move(counters.update, {name: metrics[key] for name, key in shown.items() if key in metrics})
        rollouts.wait()
        # 5. End with the best weights, where the stage keeps them.
        if stage.looks is not None and stage.looks.keep == "best":
            if counters.judged != counters.update:
                pool.sync()
                self._look(pool, stage, sizes)
            if self.state.best is not None:
                self.model.load_state_dict(self.state.best.weights)

    def _update(self, learner: Learner, batch: Trajectories, reference: RxT | None) -> dict[str, float]:
        counters = self.state.counters
        stage, settings = self.stages[counters.stage], self.algorithms[counters.stage]
        set_rates(self.state.optimizer, settings, stage, counters.update)
        warming = settings.advantage.uses_critic and counters.total < settings.critic.warmup
        try:
            metrics = learner.update(
                batch,
                settings,
                key=(self.seed, "update", counters.stage, counters.update),
                critic_only=warming,
                reference=reference,
            )
        except NotFiniteError as error:
            path = self.run_dir.dump_path(f"{self.name}-{counters.stage + 1}-update-{counters.update}")
            trajectories = {name: getattr(batch, name) for name in batch.__dataclass_fields__ if name != "asks"}
            place = {"stage": counters.stage, "update": counters.update}
            raise error.dumped(path, {"trajectories": trajectories, **place}) from None
        metrics["stage"] = counters.stage + 1
        rates = {group["component"]: group["lr"] for group in self.state.optimizer.param_groups}
        return metrics | {f"lr/{component}": value for component, value in rates.items()}

    # --- validation ----------------------------------------------------------------------------------------------

    def _ends(self, pool: Pool, stage: Stage, sizes: Sequence[int]) -> bool:
        """Validate when it is due; whether the stage ends: promoted, or fallen from its best."""
        how, counters = stage.looks, self.state.counters
        if how is None or counters.update % how.every or counters.judged == counters.update:
            return False
        rewards, fell = self._look(pool, stage, sizes)
        counters.judged = counters.update
        counters.fallen = counters.fallen + 1 if fell else 0
        mean = float(rewards.nanmean())
        return counters.fallen >= how.patience or (counters.update > 0 and promoted(stage.promotion, mean, counters))

    def _look(self, pool: Pool, stage: Stage, sizes: Sequence[int]) -> tuple[Tensor, bool]:
        """Reward of each held-out dialogue; and whether it fell from the best, which is kept where the stage asks."""
        how, count = stage.looks, len(stage.parts)
        assert how is not None
        seed = seeding.key(self.seed, "validation")
        looked = look(pool, range(count, 2 * count), sizes[count:], how, seed, self._recall, self.state.rewards or None)
        parts = [part.rewards for part in looked]
        rewards = torch.cat(parts)
        values = {"validation_reward": float(rewards.nanmean())}
        if known := [part.recall for part in looked if not math.isnan(part.recall)]:
            values["validation_recall"] = sum(known) / len(known)
        if count > 1:
            named = zip(stage.parts, parts, strict=True)
            values |= {
                f"validation_reward/{source or 'default'}-{steps}": float(r.nanmean()) for (source, steps), r in named
            }
        self.run_dir.metrics(values, self.state.counters.total, self.name)
        if how.keep != "best" or bool(rewards.isnan().all()):  # of which nothing is known, it is no best one
            return rewards, False
        best = self.state.best
        if best is None or rewards.nanmean() > best.rewards.nanmean():
            self.state.best = Best.of(rewards, self.model)
            return rewards, False
        return rewards, fallen(best.rewards, rewards)

    def _recall(self, batch: Trajectories) -> float:
        return recall(batch, self.tokenizer, self._judge)

    # --- parts ---------------------------------------------------------------------------------------------------

    def _setups(self, stage: Stage) -> list[StageSetup]:
        """What is played: each part of the stage, and behind them, where the stage is validated, each held out."""
        setups = [self._setup(stage, self.training.data, *part) for part in stage.parts]
        if stage.looks is not None:
            held_out = self.training.data if self.training.validation is None else self.training.validation
            greedy = SamplingConfig(temperature=0.0, max_new_tokens=self.rollout.sampling.max_new_tokens)
            for part in stage.parts:
                setup = self._setup(stage, held_out, *part)
                setups.append(replace(setup, sampling=greedy, answers=1, continues=False))
        return setups

    def _setup(self, stage: Stage, data: Data, source: str | None, steps: int) -> StageSetup:
        return make_setup(
            self.training.env,
            dialogues=dialogues_of(data, source, steps),
            tokenizer=self.tokenizer,
            reward=stage.reward or self.training.reward,
            sampling=self.rollout.sampling,
            steps=steps,
            strategy=stage.strategy,
            embedding=self.state.embedding,
            answers=self.rollout.answers,
            warmup=stage.memory_warmup,
            continues=stage.random_resets < 1,
            precision=self.rollout.precision,
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


def dialogues_of(data: Data, source: str | None, steps: int) -> DialogueTensors | None:
    """The dialogues of a part of a stage.

    Raises:
        UserError: for a name that is not there, or dialogues with too few follow-ups.
    """
    if isinstance(data, Mapping):
        key = source or "default"
        if key not in data:
            raise UserError(f"stage data {key!r} is not there; there are: {', '.join(sorted(data))}")
        found: DialogueTensors | None = data[key]
    else:
        found = data(source, steps) if callable(data) else data
    if found is not None and found.steps < steps:
        where = "" if source is None else f" of {source}"
        raise UserError(f"stage.steps = {steps}: its dialogues{where} have {found.steps} follow-ups")
    return found


def _refuse_unknown(batch: Trajectories, reward: RewardSpec | None, label: str) -> None:
    """Stop where more answers than ``max_unknown`` allows have no score."""
    if reward is None or reward.max_unknown is None or batch.failed is None:
        return
    unknown = int(batch.failed.sum())
    if unknown > reward.max_unknown * batch.failed.numel():
        raise UserError(
            f"{label}: {unknown} of {batch.failed.numel()} answers have no score, more than reward.max_unknown = "
            f"{reward.max_unknown:g} allows; what was learnt is saved, --resume goes on"
        )
