"""A world of a dozen tokens in which reinforcement learning takes seconds: say the word told in the turn before."""

import pytest
import torch
from rxt_mrl.envs.repeat_previous import SYMBOLS, repeat_previous_dialogues
from tokenizers import Tokenizer, models, pre_tokenizers

from rxt_mrl.contracts import RewardSpec
from rxt_mrl.dialogues import DialogueTokenizer, encode_dialogues
from rxt_mrl.dialogues.tokenizer import SPECIALS
from rxt_mrl.model import RxT, preset
from rxt_mrl.model.sampling import SamplingConfig
from rxt_mrl.mrl.config import AlgorithmSettings, EnvSpec, RolloutSettings
from rxt_mrl.mrl.curriculum import fixed_plan
from rxt_mrl.mrl.environment import make_setup
from rxt_mrl.mrl.pool import LocalPool
from rxt_mrl.mrl.stages import Stage
from rxt_mrl.mrl.trainer import Training, train_mrl
from rxt_mrl.runs import RunDir

ENV = EnvSpec(use="rxt_mrl.envs.memory_retention:MemoryRetentionVectorEnv")
REWARD = RewardSpec(terms=[{"use": "rxt_mrl.rewards.fact_recall:FactRecall"}])
SAMPLING = SamplingConfig(max_new_tokens=3)


@pytest.fixture(scope="session")
def tokenizer():
    words = [*SPECIALS, *SYMBOLS[:3], "yes"]
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return DialogueTokenizer(inner)


@pytest.fixture(scope="session")
def dialogues(tokenizer):
    told = repeat_previous_dialogues(64, k=1, symbols=3, steps=3, seed=0)
    return encode_dialogues(told, tokenizer, max_query=5, max_answer=3)


@pytest.fixture
def make_model(tokenizer):
    def build(seed=0, **overrides):
        torch.manual_seed(seed)
        sizes = {"embed_dim": 32, "heads": 2, "slots": 4, "num_layers": 2, "max_tokens": 16}
        small = {"encoder": {"feed_forward": {"hidden": 32}}, "decoder": {"feed_forward": {"hidden": 32}}}
        return RxT(preset("nano", vocab_size=tokenizer.vocab_size, **{**sizes, **small, **overrides})).eval()

    return build


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def setup_of(tokenizer, dialogues):
    def build(**changes):
        given = {"dialogues": dialogues, "tokenizer": tokenizer, "reward": REWARD, "sampling": SAMPLING, "steps": 3}
        return make_setup(ENV, **{**given, **changes})

    return build


@pytest.fixture
def play(setup_of):
    """Play the first dialogues with a model; the answers are sampled from given seeds."""

    def run(model, count=6, seed=0, shard=4, **changes):
        pool = LocalPool(model)
        pool.configure([setup_of(**changes)])
        return pool.rollout(fixed_plan(count, shard=shard, seed=seed))

    return run


class Run(RunDir):
    """A run directory that keeps its numbers in memory."""

    def __init__(self, path):
        super().__init__(path)
        self.logged = []

    def metrics(self, values, step, section):
        self.logged.append({"step": step, **values})

    def rewind(self, section, step, *, again=None):
        def stays(line):
            return line["step"] < step or (line["step"] == step and (again is None or again not in line))

        self.logged = [line for line in self.logged if stays(line)]


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "run")


@pytest.fixture
def new_run(tmp_path):
    return lambda name: Run(tmp_path / name)


QUICK = {"advantage": {"kind": "gae"}, "critic": {"warmup": 1, "epochs": 2}, "optimizer": {"learning_rate": 3e-3}}


@pytest.fixture
def train(tokenizer, dialogues, run):
    """Train briefly; everything may be overridden."""

    def start(model, *, stages=None, algorithm=None, rollout=None, data=dialogues, run=run, resume=False, **options):
        on_stage_end = options.pop("on_stage_end", None)
        given = {"episodes": 8, "answers": 1, "shard": 8, "sampling": SAMPLING, **(rollout or {})}
        training = Training(
            data,
            [Stage(steps=3, updates=2)] if stages is None else stages,
            **{"reward": REWARD, "env": ENV, **options},
            algorithm=AlgorithmSettings(**{**QUICK, **(algorithm or {})}),
            rollout=RolloutSettings(**given),
        )
        return train_mrl(model, tokenizer, training, run, resume=resume, progress=False, on_stage_end=on_stage_end)

    return start
