"""Updates per minute with two workers, each update played when it is due against one update ahead.

By the clock on the wall, so run it on a machine that has two cores for it. The two take turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch
from harness import Bench, Row, Section, workload

from rxt_mrl.contracts import RewardSpec, RewardTerm
from rxt_mrl.dialogues import DialogueTokenizer, encode_dialogues
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.model import RxT, preset
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.mrl.config import AlgorithmSettings, RolloutSettings
from rxt_mrl.mrl.stages import Stage
from rxt_mrl.mrl.trainer import Training, train_mrl
from rxt_mrl.runs import RunDir

STEPS, EPISODES, UPDATES, FIRST = 4, 96, 14, 4
"""The first updates are not counted: workers start and compile."""
BAR = 1.4


@workload("ahead")
def ahead(bench: Bench) -> Section:
    """Nano on storyworld dialogues from random weights: four answers from each memory, all of their tokens sampled."""
    told = dialogues(StoryworldConfig(steps=STEPS), 4 * EPISODES)
    texts = [text for dialogue in told for turn in dialogue.turns for text in (turn.query, turn.answer)]
    tokenizer = DialogueTokenizer.train(texts, 512)
    data = encode_dialogues(told, tokenizer, max_query=64, max_answer=24)
    speeds: dict[int, list[float]] = {0: [], 1: []}
    waits: list[float] = []
    for _ in range(1 if bench.quick else 5):
        for behind in (0, 1):
            torch.manual_seed(0)
            training = Training(
                data,
                [Stage(steps=STEPS, updates=UPDATES)],
                reward=RewardSpec(terms=[RewardTerm(use="fact_recall", weight=0.5), RewardTerm(use="bleu")]),
                algorithm=AlgorithmSettings(epochs=1, minibatches=2),
                rollout=RolloutSettings(
                    episodes=EPISODES,
                    shard=EPISODES // 4,
                    workers=2,
                    ahead=behind,
                    sampling=SamplingConfig(max_new_tokens=24),
                ),
            )
            model = RxT(preset("nano", vocab_size=tokenizer.vocab_size, max_tokens=96))
            with tempfile.TemporaryDirectory() as folder:
                run = Stopwatch(Path(folder) / "run")
                train_mrl(model, tokenizer, training, run, progress=False)
                run.close()
            speeds[behind].append(60 * (UPDATES - FIRST) / (run.times[-1] - run.times[FIRST - 1]))
            waits += run.waits[FIRST:]
    ratios = [fast / slow for slow, fast in zip(speeds[0], speeds[1], strict=True)]
    rows = [
        Row("updates per minute, 2 workers, as due", statistics.median(speeds[0]), "1/min"),
        Row("updates per minute, 2 workers, one ahead", statistics.median(speeds[1]), "1/min"),
        Row("  of pairs, median", statistics.median(ratios), "x", bar=BAR),
    ]
    note = (
        f"{EPISODES} dialogues x {STEPS} steps x 4 answers; the learner waited {statistics.mean(waits):.2f} s an update"
    )
    return Section({"updates_per_minute": speeds, "ahead_ratios": ratios}, rows, note)


class Stopwatch(RunDir):
    """A run directory that notes when each update was done."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.times: list[float] = []
        self.waits: list[float] = []

    def metrics(self, values: dict[str, float], step: int, section: str) -> None:
        """Take the time; nothing is written."""
        self.times.append(time.perf_counter())
        if "waiting_seconds" in values:
            self.waits.append(values["waiting_seconds"])
