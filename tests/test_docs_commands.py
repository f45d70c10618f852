"""The commands of docs/ run as they stand, page by page, on 80 columns: only models, data and updates are smaller.

What is not run here is in ``ELSEWHERE``, each with its reason; ``test_docs.py`` loads the recipes of its trainings.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from published_layout import write_babi, write_published
from test_docs import commands
from test_readme import CHAT

from rxt_mrl.pipeline.recipe_files import override, resolve

if sys.platform == "win32":
    pytest.skip("needs a pty", allow_module_level=True)

from screen import CUT, Shown, forked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted({name for name, _ in commands() if name.startswith("docs/")})

ELSEWHERE = {
    "docs/results.md": "hours of training; their recipes run in test_shipped_recipes.py",
    "docs/supervised.md": "test_shipped_recipes.py runs them in their order",
    "evaluate ReactiveAI/RxT-Alpha-Micro": "needs the published weights; test_cli_evaluate.py evaluates converted ones",
    "evaluate hf:HuggingFaceTB": "needs a download; tests/evaluation evaluates a folder made in the test",
}

WIDTHS = "{embed_dim: 16, num_layers: 1, slots: 4, max_tokens: 192}"
FEW = {
    "model.options": WIDTHS, "tokenizer.dialogues": 1000, "rollout.workers": 0, "rollout.episodes": 6,
    "rollout.sampling": "{max_new_tokens: 6}", "data.supervised_dialogues": 64, "data.mrl_dialogues": 24,
    "evaluation.episodes": 4, "evaluation.max_new_tokens": 6, "evaluation.steps": 4, "reward_samples": 1,
}  # fmt: skip
"""What trainings are tried with."""
PEER = ("baseline.sft.updates=2", "baseline.sft.batch_size=4", "baseline.grpo.updates=0", "baseline.dialogues=64")


def smaller(words: list[str]) -> list[str]:
    """``--set`` of narrow layers, stages 4 and 5 with an update each; two where the command itself says how many."""
    given = [value for word, value in pairwise(words) if word == "--set"]
    recipe = override(resolve(words[1]), given)
    stages: Mapping[str, Any] = recipe["supervised"]
    keys = [f"supervised.{stage}.updates" for stage, settings in stages.items() if settings and stage == "memory_aware"]
    keys += [f"curriculum.{number}.updates" for number in range(len(recipe.get("curriculum", ())))]
    named = {value.partition("=")[0] for value in given}
    few = {key: value for key, value in FEW.items() if key != "data.supervised_dialogues" or words[1] != "babi"}
    changes = [f"{key}={value}" for key, value in few.items() if key not in named]
    changes += [f"supervised.{stage}=null" for stage in stages if stage != "memory_aware"]
    changes += [f"{key}={2 if key in named else 1}" for key in keys]
    if recipe.get("control") == "supervised":
        changes.append("control_seconds=0.5")
    return [word for change in changes for word in ("--set", change)]


def block(page: str, language: str, holding: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    (found,) = [code for code in re.findall(rf"(?s)```{language}\n(.*?)```", text) if holding in code]
    return str(found)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages name: their files, a run ``RUN`` (also ``runs/demo``), data of all kinds."""
    folder = tmp_path_factory.mktemp("desk")
    write_published(folder)
    (folder / "my_recipe.yaml").write_text(block("curricula.md", "yaml", "name: my-recipe"))
    (folder / "my_reward.py").write_text(block("rewards.md", "python", "class Friendly:"))
    (folder / "my_env.py").write_text(block("environments.md", "python", "class HelpedStart("))
    turn = {"query": "What color is it?", "answer": "It is red.", "asks": [{"value": "red", "told_at": 0}]}
    row = {"query": "Tom has a red cat.", "answer": "I see.", "interactions": [turn] * 12}
    (folder / "my.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "my" / "dialogues").mkdir(parents=True)
    (folder / "my" / "dialogues" / "train.jsonl").write_text(3 * (json.dumps(row) + "\n"))
    (folder / "stories.txt").write_text("Once there was a cat.\n<|endoftext|>\nTom had a red ball. He was glad.\n")
    write_babi(folder / "babi")
    for name in ("tasks/en", "tasks_1-20_v1-2/en"):
        (folder / name).mkdir(parents=True)
    text = (folder / "babi" / "qa1_train.txt").read_text()
    (folder / "tasks_1-20_v1-2" / "en" / "qa1_single-supporting-fact_train.txt").write_text(text)
    for split in ("train", "valid"):
        (folder / "tasks" / "en" / f"qa6_{split}.txt").write_text((folder / "babi" / f"qa1_{split}.txt").read_text())
    (folder / "sharegpt.json").write_text(json.dumps(CHAT))
    pairs = [("I am Tom.", "Hello, Tom."), ("Who am I?", "You are Tom."), ("And you?", "I am a bot.")]
    history = [{"user": user, "bot": bot} for user, bot in pairs]
    (folder / "mtbench101.jsonl").write_text(json.dumps({"task": "CM", "history": history}) + "\n")
    log = [{"who": who, "what": what} for pair in pairs for who, what in zip(("user", "assistant"), pair, strict=True)]
    (folder / "chats.json").write_text(json.dumps({"export": {"chats": [{"log": log}]}}))
    far = {"source": "storyworld", "strategy": "long_range", "options": {"level": "easy"}}
    changes = {"data": {"sources": {"long": far}}, "limits": {"query": 56, "answer": 20}}
    (folder / "demo-run.yaml").write_text(yaml.safe_dump({"extends": "demo", **changes}))
    words = ["train", "demo-run.yaml", "--out", "runs/demo"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shown = forked([*words, *smaller(words)], cwd=folder)
        assert shown.code == 0, shown.text
        (folder / "printed.txt").write_text(shown.text)
        (folder / "RUN").symlink_to("runs/demo")
        (folder / "CHECKPOINT").symlink_to("runs/demo/checkpoints/mrl")
        for name in ("A", "B"):
            words = ["evaluate", "oracle", "--data", "storyworld", "--steps", "2", "--episodes", "4"]
            assert forked([*words, "--out", f"evaluations/{name}"], cwd=folder).code == 0
    return folder


def lines(page: str) -> Iterator[tuple[str, str]]:
    """The commands of a page, and why they are not run; empty where they are."""
    for name, line in commands():
        if name == page:
            line = line.partition(" #")[0].strip()
            yield line, ELSEWHERE.get(page, "") or next((why for say, why in ELSEWHERE.items() if say in line), "")


def run(line: str, desk: Path) -> Shown:
    """Run a command of the docs, smaller."""
    words = shlex.split(line)[1:]
    if words[:2] == ["recipe", "check"]:
        words += smaller(words[1:])
    if words[0] == "train":
        words += smaller(words)
    if words[0] == "baseline":
        words += [word for change in PEER for word in ("--set", change)]
        words = [str(int(word) % 7) if before == "--steps" else word for before, word in pairwise(["", *words])]
    if words[0] in ("evaluate", "baseline"):
        at = words.index("--episodes") if "--episodes" in words else len(words)
        words[at : at + 2] = ["--episodes", "4"]
    if words[0] == "storyworld":
        words[words.index("--episodes") + 1] = "40"
    return forked(words, cwd=desk)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_their_order(page: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    for line, why in lines(page):
        if why:
            continue
        shown = run(line, desk)
        assert shown.code == 0, (line, shown.text)
        assert not [said for said in shown.lines if CUT.search(said)], (line, shown.text)
        assert not [said for said in shown.lines if len(said) > 80 and "/" not in said], (line, shown.text)


# --- what the docs show of outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "first"), [("README.md", "greedy recall"), ("docs/pitfalls.md", "after stage")])
def test_tables_of_results_have_the_columns_that_a_run_prints(page: str, first: str, desk: Path) -> None:
    text = (DOCS.parent / page).read_text(encoding="utf-8")
    (heading,) = [line for line in text.splitlines() if line.startswith(f"| {first}")]
    shown = [cell.replace("(95 %)", "").strip() for cell in heading.strip("|").split("|")[1:]]
    printed = (desk / "printed.txt").read_text().splitlines()
    rule = max(number for number, line in enumerate(printed) if set(line) == {"─"})
    names = set(" ".join(printed[rule - 2 : rule]).split())
    assert {word for cell in shown for word in cell.split()} <= names


def test_the_layout_of_results_is_that_of_the_file(desk: Path) -> None:
    shown = block("evaluation.md", "text", "schema_version")
    keys = {line.split()[0] for line in shown.splitlines() if re.match(r"[a-z]", line)}
    assert keys <= json.loads((desk / "RUN" / "evaluation" / "retention.json").read_text()).keys()
    left = {line.split()[0] for line in block("evaluation.md", "text", "answers.parquet").splitlines()}
    assert left <= {path.name for path in (desk / "RUN" / "evaluation").iterdir()}


def test_counts_of_turns_are_written_as_shown(desk: Path) -> None:
    (shown,) = [line for line in block("data.md", "text", "turns:").splitlines() if "turns: " in line and "=" in line]
    printed = forked(["data", "sharegpt.json"], cwd=desk).text
    (real,) = [line for line in printed.splitlines() if "turns: " in line]
    assert re.sub(r"\d+", "N", shown).partition(" (")[0].strip() == re.sub(r"\d+", "N", real).strip()
