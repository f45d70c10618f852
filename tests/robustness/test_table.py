"""Bad inputs of every kind: each is one line on standard error and exit code 2, and nothing that was there has changed.

A case is the command, as in a shell, and a piece of the line that it must give. The files that the commands name are
made in ``conftest.py``.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

LONG = "n" * 300

# ruff: noqa: E501 - a case is a line
# fmt: off
RECIPES = [
    ("train nosuch --out out", "unknown curriculum 'nosuch'; allowed: "),
    ("train gone.yaml --out out", "no curriculum file 'gone.yaml'"),
    ("train folder.yaml --out out", "no curriculum file 'folder.yaml'"),
    (f"train {LONG} --out out", "File name too long"),
    ("train '' --out out", "unknown curriculum ''"),
    ("train . --out out", "unknown curriculum '.'"),
    ("train bytes.yaml --out out", "bytes.yaml: cannot be read, it is not UTF-8 (byte 1)"),
    ("train list.yaml --out out", "list.yaml: a recipe is a mapping of sections, this is list"),
    ("train empty.yaml --out out", "empty.yaml: a recipe is a mapping of sections, this is NoneType"),
    ("train twice.yaml --out out", "twice.yaml: line 2: key 'name' is given twice"),
    ("train circle.yaml --out out", "'extends' goes in a circle"),
    ("train half.yaml --out out", "half.yaml: line 1: a text holds half a character (\\ud83d)"),
    ("train nul.yaml --out out", "nul.yaml: line 2: a text holds a NUL character"),
    ("train endless.yaml --out out", "endless.yaml: line 1: an alias stands inside of what it names"),
    ("train laughs.yaml --out out", "laughs.yaml: line 6: more than 100,000 values"),
    ("train deep.yaml --out out", "deep.yaml: line 1: nested more than 100 levels deep"),
    ("train code.yaml --out out", "code.yaml: not YAML, line 1, column 7: could not determine a constructor"),
    ("train tab.yaml --out out", "tab.yaml: not YAML, line 2, column 1"),
    ("train lean.yaml --out out --set seed", "--set seed: give section.key=value"),
    ("train lean.yaml --out out --set =1", "--set =1: give section.key=value"),
    ("train lean.yaml --out out --set 'seed=[1'", "--set seed=[1: not YAML, line 1"),
    ("train lean.yaml --out out --set 'curriculum[7].steps=2'", "'7' is not an index from 0 to 0"),
    ("train lean.yaml --out out --set 'curriculum[0].steps=0'", "curriculum.0: steps = 0: allowed: a number of at"),
    ("train lean.yaml --out out --set 'curriculum[0].stepps=2'", "unknown key 'curriculum.0.stepps' (did you mean"),
    ("train lean.yaml --out out --set 'a[0]=2'", "unknown key 'a'; allowed: "),
    ("train lean.yaml --out out --set int=2", "unknown key 'int'; allowed: "),
    ("train lean.yaml --out out --set 1=2", "unknown key '1'; allowed: "),
    ("train lean.yaml --out out --set seed.a=2", "seed: input should be a valid integer"),
    ("train lean.yaml --out out --set seed=-1", "seed = -1: input should be greater than or equal to 0"),
    ("train lean.yaml --out out --set seed=1.5", "seed = 1.5: input should be a valid integer"),
    ("train lean.yaml --out out --set curriculum=null", "curriculum = None"),
    ("train lean.yaml --out out --set 'curriculum=[]'", "the recipe trains nothing"),
    ("train lean.yaml --out out --set name=a/b", "name = 'a/b'"),
    ("train lean.yaml --out out --set algorithm.optimizer.learning_rate=.nan", "learning_rate = nan: input should be"),
    ("train lean.yaml --out out --set algorithm.optimizer.learning_rate=.inf", "learning_rate = inf: input should be a"),
    ("train lean.yaml --out out --set algorithm.optimizer.learning_rate=0", "learning_rate = 0: input should be greater"),
    ("train lean.yaml --out out --set algorithm.critic.warmup=2", "warmup = 2: the first updates train the critic alone"),
    ("train lean.yaml --out out --set 'curriculum.0.promotion={rule: threshold}'", "rule 'threshold' needs value"),
    ("train lean.yaml --out out --set 'curriculum.0.promotion={rule: threshold, value: 7}'", "value = 7: input should"),
    ("train lean.yaml --out out --set control=frozen", "control = 'frozen': input should be 'none', "),
    ("train lean.yaml --out out --set device=tpu", "device = 'tpu': torch cannot use it"),
    ("recipe check lean.yaml --set device=tpu", "device = 'tpu': torch cannot use it"),
    ("recipe check lean.yaml --set device=meta", "device = 'meta': holds no values"),
    ("recipe check lean.yaml --set rollout.workers=1000", "rollout.workers = 1000: each is a process"),
    ("recipe check lean.yaml --set model.options.slots=10000000", "the model does not fit: "),
    ("train lean.yaml --out out --set model.options.slots=10000000", "the model does not fit: "),
    ("recipe check lean.yaml --set tokenizer.vocab_size=400 --set model.init_from=run/checkpoints/mrl --set limits.query=90", "exceed the 96 of model."),
    ("recipe check lean.yaml --set model.options.heads=3", "heads 3 does not divide embed_dim 16"),
    ("recipe check lean.yaml --set tokenizer.path=gone", "gone: no such directory"),
    ("recipe check lean.yaml --set tokenizer.path=untold", "is not a tokenizer file"),
    ("train", "Missing argument 'RECIPE'; see rxt-mrl train --help"),
    ("trian lean.yaml", "No such command 'trian'. Did you mean 'train'?"),
    ("train lean.yaml --ou x", "No such option: --ou"),
    ("train lean.yaml --out out --seed one", "Invalid value for '--seed'"),
]

DATA = [
    ("data gone.jsonl", "data: 'gone.jsonl' does not exist"),
    ("data nosuch", "unknown source 'nosuch'"),
    (f"data {LONG}", "File name too long"),
    ("data https://example.org/a.jsonl", "'https://example.org/a.jsonl' is an address: download the file"),
    ("data s3://bucket/a.parquet", "'s3://bucket/a.parquet' is an address"),
    ("data empty.jsonl", "is empty: it has no rows"),
    ("data blank.jsonl", "is empty: it has no rows"),
    ("data cut.jsonl", "cut.jsonl line 2: not valid JSON at column"),
    ("data half.jsonl", "half.jsonl line 2: answer holds half a character (\\ud83d at position 3)"),
    ("data half.jsonl --on-bad-row odd", "on_bad_row = 'odd'"),
    ("data types.jsonl", "types.jsonl line 1: query is int, text is needed"),
    ("data emptied.jsonl", "emptied.jsonl line 1: answer is empty"),
    ("data alone.jsonl", "alone.jsonl line 1: 'interactions' is empty: no follow-ups"),
    ("data later.jsonl", "later.jsonl line 1: interaction 1: told_at 3 is not an earlier interaction (0 to 0)"),
    ("data digits.jsonl", "digits.jsonl line 1: not valid JSON"),
    ("data deep.jsonl", "deep.jsonl line 1: not valid JSON (nested too deeply)"),
    ("data latin.jsonl", "latin.jsonl line 1: not UTF-8"),
    ("data wide.jsonl", "wide.jsonl line 1: the file is UTF-16: save it as UTF-8"),
    ("data pickled.jsonl", "pickled.jsonl line 1: the file is a pickle, which is never loaded"),
    ("data page.jsonl", "page.jsonl line 1: the file is a web page"),
    ("data pointer.parquet", "pointer.parquet row 1: the file is a Git LFS pointer"),
    ("data text.parquet", "text.parquet row 1: truncated or not parquet"),
    ("data empty.parquet", "empty.parquet row 1: the file is empty"),
    ("data text.arrow", "text.arrow row 1: truncated or not Arrow"),
    ("data none", "no data in 'none'; files may be: "),
    ("data mixed", "'mixed' has files of several kinds: "),
    ("data memory", "no data in 'memory'"),
    ("data hub:script", "data: no .parquet file in 'script'"),
    ("data 'hub:a[1]'", "data: "),
    ("data hub:", "source"),
    ("data source.yaml", "unknown key 'pth' (did you mean 'path'?)"),
    ("data list.yaml", "a source is a mapping with the key source, this is list"),
    ("data good.jsonl --steps 5", "good.jsonl line 1: the dialogue has 2 follow-ups, steps: 5 needs more"),
    ("data good.jsonl --split odd", "unknown split 'odd'; allowed: train, validation, supervised"),
    ("data good.jsonl --split validation", "is a single file, so it has no split 'validation'"),
    ("data good.jsonl --write file", "'file'"),
    ("data sources.py:fails", "'sources.py:fails'"),
    ("data sources.py:leaves", "SystemExit: 0"),
    ("data sources.py:wrong", "TypeError"),
    ("data sources.py:texts", "item 1: the row is int"),
    ("data sources.py:gone", "sources.py has no 'gone'; it defines "),
    ("data os:listdir", "source 'os:listdir': os is a part of Python, which has no plug-ins"),
    ("data numpy:fromfile", "source 'numpy:fromfile' is not declared to be one"),
    ("recipe check lean.yaml --set 'data.sources.main={source: jsonl, path: good.jsonl}'", "has no split 'validation'"),
    ("recipe check lean.yaml --set 'data.sources.main={source: jsonl, path: data, holdout: .nan}'", "holdout = nan"),
    ("recipe check lean.yaml --set 'data.sources.main={source: jsonl}'", "source 'jsonl' needs path"),
    ("recipe check lean.yaml --set data.sources.main.path=x", "source 'storyworld' does not use path"),
    ("data storyworld:easy", "source 'storyworld' does not use path"),
    ("recipe check lean.yaml --set 'data.sources.main={source: jsonl, path: data, revision: main}'", "does not use revision"),
    ("recipe check lean.yaml --set data.default=other", "default = 'other' is not one of the sources: main"),
    ("recipe check lean.yaml --set limits.query=5", "tokens"),
    ("storyworld --steps 2 --episodes 2 --out world --level odd", "level = 'odd'"),
    ("storyworld --steps 2 --episodes 2 --out file", "file"),
    ("storyworld --steps 0 --episodes 2 --out world", "Invalid value for '--steps'"),
]

REWARDS = [
    ("reward check nosuch", "unknown reward 'nosuch'"),
    ("reward check blue", "unknown reward 'blue' (did you mean 'bleu'?)"),
    ("reward check ''", "a reward is named by a string, got ''"),
    ("reward check gone.py:X", "no file 'gone.py'"),
    ("reward check broken.py:f", "broken.py:1 cannot be loaded: SyntaxError"),
    ("reward check ends.py:f", "ends.py:2 cannot be loaded: SystemExit: 0"),
    ("reward check raises.py:f", "raises.py:2 cannot be loaded: RuntimeError: no"),
    ("reward check nothing.py", "say which one, nothing.py:Name; the file defines nothing"),
    ("reward check rewards.py", "say which one, rewards.py:Name; the file defines "),
    ("reward check rewards.py:gone", "rewards.py has no 'gone'; it defines "),
    ("reward check rewards.py:number", "is not callable, it is a int"),
    ("reward check rewards.py:two", "has the signature (context, reference)"),
    ("reward check rewards.py:Needs", "needs option(s) size"),
    ("reward check rewards.py:Fails", "cannot be made with options {}: KeyError: 'no such key' at "),
    ("reward check rewards.py:Leaves", "cannot be made with options {}: SystemExit: 0 at "),
    ("reward check rewards.py:raises", "ZeroDivisionError: division by zero at "),
    ("reward check rewards.py:leaves", "SystemExit: 0 at "),
    ("reward check rewards.py:nan", "returned nan, expected a float in [0, 1]"),
    ("reward check rewards.py:high", "returned 1.5, expected a float in [0, 1]"),
    ("reward check rewards.py:short", "expected (1,): one float per episode"),
    ("reward check rewards.py:text", "expected numbers, got <U4"),
    ("reward check rewards.py:nothing", "returned a NoneType"),
    ("reward check subprocess:Popen --set args=ls", "reward 'subprocess:Popen': subprocess is a part of Python"),
    ("reward check torch:load", "reward 'torch:load' is not declared to be one, so it is not called"),
    ("reward check no.such.module:X", "module 'no.such.module' cannot be imported: ModuleNotFoundError"),
    ("reward check bleu --set nn=3", "bleu: unknown option 'nn'"),
    ("reward check bleu --set nn", "--set nn: give section.key=value"),
    ("train lean.yaml --out out --reward ''", "a reward is named by a string, got ''"),
    ("train lean.yaml --out out --reward nosuch", "unknown reward 'nosuch'"),
    ("train lean.yaml --out out --reward 'os:system'", "os is a part of Python, which has no plug-ins"),
    ("train lean.yaml --out out --set 'reward={terms: []}'", "reward.terms = []"),
    ("train lean.yaml --out out --set 'reward={terms: [{use: bleu, weight: .inf}]}'", "weight = inf"),
    ("train lean.yaml --out out --set 'reward={terms: [{use: bleu, weight: -1}]}'", "weight = -1"),
    ("train lean.yaml --out out --set 'reward={terms: [{use: bleu, weight: 0}]}'", "the weights sum to 0"),
    ("train lean.yaml --out out --set 'reward={terms: [{use: bleu}], on_eror: skip}'", "unknown key 'reward.on_eror'"),
]

ENVIRONMENTS = [
    ("env check nosuch", "unknown env 'nosuch'"),
    ("env check envs.py:number", "is a int; allowed: a class or a function"),
    ("env check envs.py:Fails", "KeyError: 'no such key'"),
    ("env check envs.py:Leaves", "SystemExit: 0"),
    ("env check envs.py:Raises", "breaks 1 of 15 rules: play"),
    ("env check envs.py:High", "breaks 1 of 15 rules: reward"),
    ("env check subprocess:Popen", "env 'subprocess:Popen': subprocess is a part of Python"),
    ("env check rxt_mrl.cli:main", "env 'rxt_mrl.cli:main' is not declared to be one"),
    ("env check memory-retention --set colour=red", "unknown option 'colour'"),
    ("env check memory-retention --set steps=0", "steps"),
    ("env check memory-retention --set steps=two", "steps"),
    ("recipe check lean.yaml --set env.use=subprocess:Popen --set 'env.options={args: touch ran, shell: true}'",
     "subprocess is a part of Python, which has no plug-ins"),
    ("train lean.yaml --out out --set env.use=nosuch", "unknown env 'nosuch'"),
    ("train lean.yaml --out out --set env.use=envs.py:Leaves", "SystemExit: 0"),
    ("train lean.yaml --out out --set env.options.strategy=odd", "strategy"),
]

CHECKPOINTS = [
    ("chat gone", "gone: no such directory"),
    ("chat file", "file: no such directory"),
    (f"chat {LONG}", "File name too long"),
    ("chat emptied", "emptied: not a checkpoint of ours (no config.json)"),
    ("chat cut", "cut/model.safetensors"),
    ("chat hollow", "hollow/model.safetensors"),
    ("chat pickled", "pickled/model.safetensors"),
    ("chat words", "words/config.json"),
    ("chat list", "list/config.json"),
    ("chat alien", "alien: not a checkpoint of rxt-mrl"),
    ("chat wider", "wider: "),
    ("chat fewer", "fewer: 1 tensors are missing"),
    ("chat untold", "tokenizer"),
    ("chat torn", "torn/tokenizer.json is not a tokenizer file"),
    ("chat bare", "bare: not a checkpoint of ours (no config.json)"),
    ("chat mute", "no tokenizer at mute"),
    ("chat permuted", "permuted: tokenizer.json is not the one that the model was trained with"),
    ("recipe check lean.yaml --set tokenizer.vocab_size=400 --set model.init_from=cut", "cut/model.safetensors"),
    ("train lean.yaml --out out --set tokenizer.vocab_size=400 --set model.init_from=permuted", "permuted: tokenizer.json is not the one"),
    ("convert gone --out out", "no such folder"),
    ("convert emptied --out out", "no config.json"),
    ("convert words --out out", "config.json"),
]

FOLDERS = [
    ("train lean.yaml --out file", "--out file: is a file, give a directory"),
    ("train lean.yaml --out full", "--out full: holds files that are not a run"),
    ("train lean.yaml --out full --overwrite", "--out full: holds files that are not a run"),
    ("train lean.yaml --out run", "--out run: already holds a run; --resume goes on with it, --overwrite replaces it"),
    (f"train lean.yaml --out {LONG}", "File name too long"),
    ("train lean.yaml --out file/out", "file"),
    ("train lean.yaml --out run --resume --overwrite", "--resume and --overwrite exclude each other"),
    ("train lean.yaml --resume", "--resume: give the run directory with --out"),
    ("train lean.yaml --out gone --resume", "--resume: no run in gone"),
    ("train lean.yaml --out full --resume", "--resume: no run in full"),
    ("train lean.yaml --out run --resume", "--resume: the run was started with "),
    ("train lean.yaml --out no-recipe --resume", "no-recipe/recipe.yaml: not YAML"),
    ("train lean.yaml --out other-recipe --resume", "other-recipe/recipe.yaml"),
    ("train run/recipe.yaml --out torn-progress --resume", "torn-progress/progress.json"),
    ("train run/recipe.yaml --out run --overwrite --set reward.terms.0.use=nosuch", "unknown reward 'nosuch'"),
    ("train run/recipe.yaml --out run --overwrite --set 'reward=rewards.py:Leaves'", "SystemExit: 0"),
]

CHAT = [
    ("chat run --memory memory", "memory is not a memory file"),
    ("chat run --memory gone/memory", "gone"),
    ("chat run --memory full", "full"),
    ("chat run --temperature -1", "Invalid value for '--temperature'"),
    ("chat run --temperature nan", "temperature"),
    ("chat run --seed x", "Invalid value for '--seed'"),
    ("chat", "Missing argument"),
]

EVALUATION = [
    ("evaluate gone", "gone: no such directory"),
    (f"evaluate {LONG}", "File name too long"),
    ("evaluate full", "full: neither a run nor a checkpoint"),
    ("evaluate permuted", "permuted: tokenizer.json is not the one"),
    ("evaluate no-progress", "no-progress: the run has no complete stage yet"),
    ("evaluate torn-progress", "torn-progress/progress.json"),
    ("evaluate no-recipe", "no-recipe/recipe.yaml: not YAML"),
    ("evaluate other-recipe", "other-recipe/recipe.yaml"),
    ("evaluate theirs", "the recipe of theirs names reward 'theirs/theirs.py:mine', which would run "),
    ("evaluate their-data", "the recipe of their-data names source 'theirs/theirs.py:mine', which would run "),
    ("evaluate run --steps 0", "Invalid value for '--steps'"),
    ("evaluate run --episodes 0", "Invalid value for '--episodes'"),
    ("evaluate run --data other", "unknown source 'other'"),
    ("evaluate run --reward nosuch", "unknown reward 'nosuch'"),
    ("evaluate run --reward ''", "a reward is named by a string, got ''"),
    ("evaluate run --reward rewards.py:leaves --set evaluation.score=true", "SystemExit"),
    ("evaluate run --set evaluation.colour=1", "unknown key 'evaluation.colour'"),
    ("evaluate run --set seed", "--set seed: give section.key=value"),
]
# fmt: on

AREAS = {
    "recipes": RECIPES, "data": DATA, "rewards": REWARDS, "environments": ENVIRONMENTS, "checkpoints": CHECKPOINTS,
    "folders": FOLDERS, "chat": CHAT, "evaluation": EVALUATION,
}  # fmt: skip
CASES = [(area, command, line) for area, cases in AREAS.items() for command, line in cases]


@pytest.mark.parametrize(("area", "command", "line"), CASES, ids=[f"{a}-{c[:60]}" for a, c, _ in CASES])
def test_refused_in_one_line(refused: Callable[..., str], area: str, command: str, line: str) -> None:
    assert line in refused(*shlex.split(command))


def test_the_table_is_large_enough() -> None:
    assert len({command for _, command, _ in CASES}) == len(CASES) >= 120
    assert all(len(cases) >= 5 for cases in AREAS.values())
