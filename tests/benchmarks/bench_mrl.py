"""RXT.md section 4: an MRL epoch of configuration (d), collect, reward and update apart; the memory of an update."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from harness import Bench, Row, Section, cpu_seconds, workload
from tokenizers import Tokenizer, models, pre_tokenizers

from rxt_mrl.contracts import Dialogue, Interaction, RewardContext, RewardSpec, RewardTerm
from rxt_mrl.dialogues import DialogueTensors, DialogueTokenizer, encode_dialogues
from rxt_mrl.dialogues.tokenizer import SPECIALS
from rxt_mrl.model import RxT, RxTConfig, preset, products
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.mrl.config import AlgorithmSettings, EnvSpec
from rxt_mrl.mrl.critic import CriticTrainer
from rxt_mrl.mrl.curriculum import fixed_plan, policy_optimizer
from rxt_mrl.mrl.environment import StageSetup, make_setup
from rxt_mrl.mrl.learner import Learner
from rxt_mrl.mrl.pool import LocalPool
from rxt_mrl.mrl.trajectories import Trajectories
from rxt_mrl.scoring import WeightedReward

DIALOGUES, STEPS, BATCH, EPOCHS = 64, 4, 16, 2
QUERY, ANSWER = 32, 32
BAR = 22.0
PUBLISHED = "RxNN 81 (collect 46, update 35), RxLM 57 (14, log-probs 6, update 37), ours in 0.1 41 (6, 35)"
ALGORITHMS = {"published work: 1 answer, critic": (1, "gae"), "4 answers from each memory": (4, "rloo")}
SAMPLING = SamplingConfig(max_new_tokens=ANSWER)
LONG = 16
"""Steps of the update whose memory is measured."""
LONG_UPDATES = (("nano", 24), ("alpha-micro", 4))
"""Models, and the episodes of a minibatch."""


class Timed(WeightedReward):
    """A reward that knows how long it took."""

    seconds = 0.0

    def __call__(self, context: RewardContext):
        results = []
        self.seconds += cpu_seconds(lambda: results.append(super(Timed, self).__call__(context)))
        return results[0]


@workload("mrl")
def epoch(bench: Bench) -> Section:
    """Rollout, rewards (BLEU, cosine, length) and update, from random weights: every answer has all of its tokens."""
    torch.manual_seed(0)
    config = preset("alpha-micro")
    way = products.choose(config)
    data, tokenizer = random_dialogues(config.vocab_size)
    terms = {"bleu": 0.4, "embedding_cosine": 0.5, "length": 0.1}
    reward = Timed(RewardSpec(terms=[RewardTerm(use=use, weight=weight) for use, weight in terms.items()]))
    rows: list[Row] = []
    figures: dict[str, dict[str, float]] = {}
    for number, (name, (answers, kind)) in enumerate(ALGORITHMS.items()):
        model = RxT(config).eval()
        setup = make_setup(
            EnvSpec(),
            dialogues=data,
            tokenizer=tokenizer,
            reward=reward.spec,
            sampling=SAMPLING,
            steps=STEPS,
            embedding=model.embedding.weight.detach().clone(),
            answers=answers,
        )
        setup = replace(setup, offered={**setup.offered, "reward": reward})
        algorithm = settings(kind, DIALOGUES)
        critic = CriticTrainer(config.embed_dim, algorithm.critic, 0, model.device) if kind == "gae" else None
        learner = Learner(model, policy_optimizer(model, algorithm.optimizer), critic, SAMPLING)
        if not number:
            collect(model, setup, reward, BATCH)  # compiles
        repeats = 1 if bench.quick or number else 3
        with products.using(way):
            times = [one_epoch(learner, setup, reward, algorithm, update) for update in range(repeats)]
        parts = dict(
            zip(("collect", "reward", "update"), map(statistics.median, zip(*times, strict=True)), strict=True)
        )
        total = statistics.median(map(sum, times))
        figures[name] = {**parts, "total": total}
        rows.append(Row(f"MRL epoch, {name}", total, "s", bar=None if number else BAR, lower_is_better=True))
        rows += [Row(f"  {part}", seconds, "s", lower_is_better=True) for part, seconds in parts.items()]
    memory = {f"{name}, {episodes} dialogues": peak_megabytes(name, episodes) for name, episodes in LONG_UPDATES}
    rows += [
        Row(f"memory of a {LONG}-step update, {name}", value, "MB", lower_is_better=True)
        for name, value in memory.items()
    ]
    work = f"{DIALOGUES} dialogues x {STEPS} steps, minibatches of {BATCH}, {QUERY} + {ANSWER} tokens, {EPOCHS} epochs"
    note = f"{work}; products by {way}; CPU seconds measured before, sgemm 82-107 GFLOP/s: {PUBLISHED}"
    return Section({"mrl_epoch_s": figures, "mrl_products": way, "mrl_update_peak_mb": memory}, rows, note)


def random_dialogues(vocabulary: int) -> tuple[DialogueTensors, DialogueTokenizer]:
    """Queries and answers of random words, as long as the work says, template included."""
    words = [*SPECIALS, *(f"w{number}" for number in range(len(SPECIALS), vocabulary))]
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = DialogueTokenizer(inner)

    def text(count: int) -> str:
        return " ".join(words[number] for number in torch.randint(len(SPECIALS), vocabulary, (count,)).tolist())

    def texts() -> tuple[str, str]:
        return text(QUERY - 3), text(ANSWER - 1)

    told = [Dialogue(*texts(), tuple(Interaction(*texts()) for _ in range(STEPS))) for _ in range(DIALOGUES)]
    data = encode_dialogues(told, tokenizer, max_query=QUERY, max_answer=ANSWER, on_long="error")
    assert data.query.mask.all()
    assert data.answer.mask.all()
    return data, tokenizer


def settings(kind: str, episodes: int) -> AlgorithmSettings:
    """All passes over minibatches of ``BATCH`` episodes."""
    return AlgorithmSettings(
        objective={"target_kl": None}, advantage={"kind": kind}, epochs=EPOCHS, minibatches=episodes // BATCH
    )


def one_epoch(
    learner: Learner, setup: StageSetup, reward: Timed, algorithm: AlgorithmSettings, number: int
) -> tuple[float, float, float]:
    """CPU seconds of collecting, of the rewards, and of the update."""
    batch, seconds, scoring = collect(learner.model, setup, reward, DIALOGUES)
    metrics: dict[str, float] = {}
    learning = cpu_seconds(lambda: metrics.update(learner.update(batch, algorithm, key=(0, number))))
    assert metrics["optimizer_steps"] == EPOCHS * DIALOGUES / BATCH
    return seconds - scoring, scoring, learning


def collect(model: RxT, setup: StageSetup, reward: Timed, episodes: int) -> tuple[Trajectories, float, float]:
    """Episodes, with the CPU seconds that they took and the share of the rewards in them."""
    reward.seconds = 0.0
    pool = LocalPool(model)
    pool.configure([setup])
    played: list[Trajectories] = []
    seconds = cpu_seconds(lambda: played.append(pool.rollout(fixed_plan(episodes, shard=BATCH, seed=0))))
    return played[0], seconds, reward.seconds


# --- memory ----------------------------------------------------------------------------------------------------------


def peak_megabytes(name: str, episodes: int) -> float:
    """What a minibatch of episodes of ``LONG`` steps adds to the memory of a fresh process, at its highest."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(_grow, name, episodes).result()


def _grow(name: str, episodes: int) -> float:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = preset(name, max_tokens=QUERY + ANSWER)
    model = RxT(config).eval()
    algorithm = AlgorithmSettings(epochs=1, minibatches=1)
    learner = Learner(model, policy_optimizer(model, algorithm.optimizer), None, SAMPLING)
    learner.update(random_trajectories(config, 1, 1), algorithm, key=(0,))
    before = _highest_megabytes()
    learner.update(random_trajectories(config, episodes, LONG), algorithm, key=(1,))
    return _highest_megabytes() - before


def _highest_megabytes() -> float:
    """The most memory that this process has had. On Linux getrusage counts what its parent had before, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def random_trajectories(config: RxTConfig, episodes: int, steps: int) -> Trajectories:
    """Episodes as a rollout gives them, of random tokens, with 4 answers from each memory."""

    def ids(width: int, *shape: int) -> torch.Tensor:
        return torch.randint(len(SPECIALS), config.vocab_size, (episodes, steps, *shape, width))

    written, query, action = ids(QUERY + ANSWER), ids(QUERY), ids(ANSWER, 4)
    rewards = torch.rand(episodes, steps, 4)

    def all_of(tokens: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(tokens, dtype=torch.bool)

    return Trajectories(
        written_ids=written,
        written_mask=all_of(written),
        query_ids=query,
        query_mask=all_of(query),
        action_ids=action,
        action_mask=all_of(action),
        log_probs=torch.full(action.shape, -8.0),
        rewards=rewards,
        valid=torch.ones_like(rewards, dtype=torch.bool),
        terms={},
        metrics={},
        carried=torch.zeros(episodes, steps, dtype=torch.long),
        dialogues=torch.arange(episodes),
        seeds=tuple(range(episodes)),
        start=None,
        warmup=False,
        reference_ids=ids(ANSWER),
        reference_mask=all_of(action[:, :, 0]),
    )
