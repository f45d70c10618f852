"""``rxt-mrl evaluate`` of anything on anything, ``compare`` and ``rescore``, and what they say of bad input."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from rxt_mrl.dialogues import to_row
from rxt_mrl.dialogues.storyworld import StoryworldConfig, dialogues
from rxt_mrl.dialogues.tokenizer import SPECIALS, DialogueTokenizer
from rxt_mrl.evaluation.questions import Examiner
from rxt_mrl.pipeline.recipe import load_recipe
from rxt_mrl.pipeline.start import initial_model, initial_tokenizer

Command = Callable[..., Any]
REFERENCE = Path(os.environ.get("RXT_MRL_REFERENCE", Path(__file__).parents[2] / "shared" / "reference"))


@pytest.fixture
def alone(finished: Path, tmp_path: Path) -> Path:
    """A checkpoint that lies in no run."""
    folder = tmp_path / "alone"
    folder.mkdir()
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        shutil.copy(finished / "checkpoints" / "mrl" / file, folder)
    return folder


def rows(path: Path, count: int, *, steps: int = 3, asks: bool = True) -> Path:
    told = dialogues(StoryworldConfig(steps=steps), count, "validation", 0)
    path.write_text("".join(json.dumps(to_row(dialogue, asks=asks)) + "\n" for dialogue in told))
    return path


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "retention.json").read_text())
    return found


# --- targets ---------------------------------------------------------------------------------------------------------


def test_an_oracle_on_two_sources(cli: Command, tmp_path: Path) -> None:
    file = rows(tmp_path / "mine.jsonl", 4, asks=False)
    out = tmp_path / "out"
    done = cli(
        "evaluate", "oracle", "--data", "storyworld", "--data", file, "--steps", 3, "--episodes", 6, "--out", out
    )
    assert done.code == 0, done.err
    found = result(out)
    assert found["target"] == {"name": "oracle", "kind": "oracle", "parameters": 0}
    assert found["partial"] is None
    sources = found["stages"]["oracle"]["sources"]
    assert {name: source["episodes"] for name, source in sources.items()} == {"storyworld": 6, "mine": 4}
    assert (sources["storyworld"]["recall"], sources["storyworld"]["bits"]["agreement"]) == (1.0, 1.0)
    assert (sources["mine"]["recall"], sources["mine"]["questions"]) == (None, 0)
    assert "mine: no annotated facts" in done.out
    answers = pd.read_parquet(out / "answers.parquet")
    assert answers.groupby("source").size().to_dict() == {"mine": 12, "storyworld": 18}
    assert not (out / "parts").exists()


def test_a_single_dialogue_has_no_interval(cli: Command, tmp_path: Path) -> None:
    done = cli("evaluate", "oracle", "--data", rows(tmp_path / "mine.jsonl", 1), "--out", tmp_path / "out")
    assert "mine: memory gain 10.00 bits per answer (95 % -)" in done.out
    found = result(tmp_path / "out")
    assert found["memory_gain"]["wiped"] == {"mean": 10.0, "ci95": None}
    assert {place["ci95"] for place in found["bits"]["by_distance"].values()} == {None}
    assert found["memory"]["interference"]["per_interaction"]["ci95"] is None
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_checkpoint_outside_of_a_run(cli: Command, alone: Path, tmp_path: Path) -> None:
    file = rows(tmp_path / "mine.jsonl", 4)
    assert cli("evaluate", alone, "--data", file, "--out", tmp_path / "annotated").code == 0
    plain = rows(tmp_path / "plain.jsonl", 4, asks=False)
    assert cli("evaluate", alone, "--data", plain, "--out", tmp_path / "plain").code == 0
    annotated, bare = result(tmp_path / "annotated"), result(tmp_path / "plain")
    assert annotated["target"]["kind"] == "rxt"
    assert list(annotated["stages"]) == ["alone"]
    assert annotated["bits"]["questions"] == 12
    assert annotated["bits"]["told_by_asked"] == bare["bits"]["told_by_asked"]
    assert (annotated["ppl"], annotated["memory_gain"]) == (bare["ppl"], bare["memory_gain"])


def test_a_checkpoint_of_a_run_on_data_that_its_recipe_does_not_know(
    cli: Command, finished: Path, tmp_path: Path
) -> None:
    file = rows(tmp_path / "mine.jsonl", 3, steps=4)
    done = cli("evaluate", finished, "--data", file, "--steps", 4, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert (result(tmp_path / "out")["source"], result(tmp_path / "out")["episodes"]) == ("mine", 3)


def test_a_published_checkpoint_is_converted_on_the_way(cli: Command, tmp_path: Path) -> None:
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference data in {REFERENCE} (set RXT_MRL_REFERENCE)")
    folder = tmp_path / "published"
    folder.mkdir()
    for name in ("config.json", "weights.safetensors"):
        shutil.copy(REFERENCE / "A_interlayer_sqa_moe" / name, folder)
    words = [*SPECIALS, *(f"w{number}" for number in range(64 - len(SPECIALS)))]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    (tmp_path / "words").mkdir()
    tokenizer.save(str(tmp_path / "words" / "tokenizer.json"))
    turns = [{"query": "w3", "answer": "w1"}, {"query": "w4", "answer": "w2"}]
    row = json.dumps({"query": "w1 w2", "answer": "w5", "interactions": turns})
    (tmp_path / "mine.jsonl").write_text(f"{row}\n{row}\n")
    command = ("evaluate", folder, "--data", tmp_path / "mine.jsonl", "--out", tmp_path / "out")
    assert "name the folder of its tokenizer with --tokenizer" in cli(*command).line
    done = cli(*command, "--tokenizer", tmp_path / "words")
    assert done.code == 0, done.err
    found = result(tmp_path / "out")
    assert (found["target"]["kind"], found["episodes"], found["steps"]) == ("rxt", 2, 2)
    assert found["ppl"] > 1


def published(folder: Path, source: str, tokens: int) -> Path:
    """A checkpoint as it lies on the Hub: with a byte-level tokenizer that adds specials and has no decoder."""
    folder.mkdir()
    for name in ("config.json", "weights.safetensors"):
        shutil.copy(REFERENCE / source / name, folder)
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(vocab_size=tokens, special_tokens=list(SPECIALS), show_progress=False)
    tokenizer.train_from_iterator(["My cat is called Tom.", "What is the name of my cat?", "A dog likes red."], trainer)
    specials = [("[BOS]", 2), ("[EOS]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[BOS] $A [EOS]", special_tokens=specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize(
    ("source", "tokens"), [("A_interlayer_sqa_moe", 50), pytest.param("F_extra_rxlm093", 64, marks=pytest.mark.slow)]
)
def test_a_converted_checkpoint_is_talked_to_measured_and_trained_on(
    cli: Command, tiny: Path, tmp_path: Path, source: str, tokens: int
) -> None:
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference data in {REFERENCE} (set RXT_MRL_REFERENCE)")
    folder, out = published(tmp_path / "published", source, tokens), tmp_path / "ours"
    done = cli("convert", folder, "--out", out)
    assert done.code == 0, done.err
    assert done.out.endswith(f"tokenizer  {folder}: 64 tokens\ntalk to it rxt-mrl chat {out}\n")
    talk = cli("chat", out, stdin="My cat is called Tom.\nWhat is the name of my cat?\n/quit\n")
    assert talk.code == 0, talk.err
    assert talk.out.count("rxt: ") == 2
    assert "Ġ" not in talk.out
    done = cli("evaluate", out, "--data", "storyworld", "--steps", 2, "--episodes", 2, "--out", tmp_path / "result")
    assert done.code == 0, done.err
    assert result(tmp_path / "result")["ppl"] > 1
    start = [f"model.init_from={out}", "model.options={}", "limits.query=20", "limits.answer=12"]
    recipe = load_recipe(str(tiny), start)
    tokenizer_ = initial_tokenizer(recipe)
    assert tokenizer_ is not None
    assert tokenizer_.decode(tokenizer_.encode_text("My cat is called Tom.")) == "My cat is called Tom."
    assert initial_model(recipe, tokenizer_).config.vocab_size == tokenizer_.vocab_size == 64
    larger = published(tmp_path / "other", source, 70)
    line = cli("convert", folder, "--out", tmp_path / "gone", "--tokenizer", larger).line
    assert line == f"{larger}: the tokenizer has 70 tokens and the model 64: it is that of another model"
    assert not (tmp_path / "gone").exists()


# --- interrupted -----------------------------------------------------------------------------------------------------


def test_an_interrupted_evaluation_goes_on(cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("evaluate", "oracle", "--steps", 2, "--episodes", 8, "--set", "evaluation.batch_size=2")
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert cli(*command, "--out", whole).code == 0
    asked = []
    examine = Examiner.examine

    def until(limit: int) -> None:
        def watched(self: Examiner, cohort: Any) -> Any:
            if len(asked) == limit:
                raise KeyboardInterrupt
            asked.append(cohort.rows)
            return examine(self, cohort)

        monkeypatch.setattr(Examiner, "examine", watched)

    until(2)
    stopped = cli(*command, "--out", out)
    assert stopped.code == 130
    assert "interrupted after 4 of 8 dialogues; the same command goes on" in stopped.err
    found = result(out)
    assert (found["partial"], found["episodes"], found["recall"]) == ({"answered": 4, "of": 8}, 4, 1.0)
    until(100)
    assert cli(*command, "--out", out).code == 0
    assert sorted(row for part in asked for row in part) == list(range(8)), "nothing is answered twice"
    assert result(out) == result(whole)
    assert (out / "answers.parquet").read_bytes() == (whole / "answers.parquet").read_bytes()
    until(len(asked))
    assert cli(*command, "--out", whole).code == 130
    assert result(whole)["partial"] is None, "complete results are not replaced by partial ones"


def test_no_result_replaces_another(cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        files.append(rows(tmp_path / name / "mine.jsonl", 3 if name == "a" else 4))
    for file in (*files, files[1]):  # the second time it is the same evaluation
        assert cli("evaluate", "oracle", "--data", file, *(["--out", "out"] if file == files[0] else [])).code == 0
    assert cli("evaluate", "oracle", "--data", files[0]).code == 0
    found = sorted((tmp_path / "evaluations").iterdir())
    assert [result(folder)["episodes"] for folder in found] == [4, 3]
    assert found[1].name.startswith(f"{found[0].name}-")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "table.tex").write_text("mine")
    for folder in ("out", "paper"):
        line = cli("evaluate", "oracle", "--data", files[1], "--out", folder).line
        assert f"{folder}: holds other files than those of this evaluation; give a new or empty directory" in line
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert (tmp_path / "paper" / "table.tex").read_text() == "mine"


def test_other_facts_and_another_reward_are_another_evaluation(
    cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine, reward = tmp_path / "mine.jsonl", tmp_path / "reward.py"
    for asks, score in ((True, 0.5), (False, 0.5), (False, 0.25)):
        rows(mine, 2, asks=asks)
        reward.write_text(f"def score(context):\n    return [{score}] * len(context)\n")
        assert cli("evaluate", "oracle", "--data", mine, "--reward", reward).code == 0
    found = [result(folder) for folder in (tmp_path / "evaluations").iterdir()]
    assert sorted((one["recall"] is None, one["score_mean"]) for one in found) == [(0, 5.0), (1, 2.5), (1, 5.0)]
    unused = cli("evaluate", "oracle", "--reward", "bleu", "--set", "evaluation.score=false").line
    assert "--reward scores nothing, since evaluation.score is false; add --set evaluation.score=true" in unused


# --- bad input -------------------------------------------------------------------------------------------------------


def test_evaluate_names_what_is_wrong(cli: Command, alone: Path, tmp_path: Path) -> None:
    short = rows(tmp_path / "short.jsonl", 3, steps=2)
    assert "2 follow-ups, steps: 5 needs more" in cli("evaluate", "oracle", "--data", short, "--steps", 5).line
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(short.read_text() + rows(tmp_path / "long.jsonl", 3, steps=3).read_text())
    assert "2 to 3 follow-ups: say how many to keep (steps)" in cli("evaluate", "oracle", "--data", mixed).line
    (tmp_path / "empty.jsonl").write_text("")
    assert "is empty" in cli("evaluate", "oracle", "--data", tmp_path / "empty.jsonl").line
    assert "unknown key 'data'" in cli("evaluate", "oracle", "--set", "data.default=x").line
    assert "a target is a run" in cli("evaluate", "nosuch").line
    assert "neither a run nor a checkpoint" in cli("evaluate", tmp_path).line
    assert "no such file or folder" in cli("evaluate", f"hf:{tmp_path / 'gone'}").line
    assert "cannot be loaded as a causal language model" in cli("evaluate", f"hf:{tmp_path}").line
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}')
    assert f"name it hf:{foreign}" in cli("evaluate", foreign).line
    other = tmp_path / "other"
    DialogueTokenizer.train(["a"], 263).save(other)
    assert "its ids mean other words" in cli("evaluate", alone, "--tokenizer", other).line
    DialogueTokenizer.train(["a"], 263).save(alone)
    assert "tokens and the tokenizer 263" in cli("evaluate", alone).line


# --- compare ---------------------------------------------------------------------------------------------------------


def test_a_run_against_itself_and_its_stages(cli: Command, finished: Path) -> None:
    [same] = json.loads(cli("compare", finished, finished, "--json").out)
    assert same["differences"]["recall"]["difference"] == 0.0
    assert {tuple(found["ci95"]) for found in same["differences"].values()} == {(0.0, 0.0)}
    [stages] = json.loads(cli("compare", finished / "checkpoints" / "memory_aware", finished, "--json").out)
    report = result(finished / "evaluation")
    gain, found = report["sampled_reward"], stages["differences"]["sampled_reward"]
    assert found["difference"] == pytest.approx(gain["gain"], abs=1e-6)
    assert found["ci95"] == pytest.approx([gain["gain_low"], gain["gain_high"]], abs=1e-6)
    recalls = [report["stages"][stage]["sources"]["main"]["by_dialogue"]["recall"] for stage in ("memory_aware", "mrl")]
    paired = pd.Series(recalls[1]) - pd.Series(recalls[0])
    assert stages["differences"]["recall"]["difference"] == pytest.approx(paired.mean(), abs=1e-4)
    assert "B - A" in cli("compare", finished / "checkpoints" / "memory_aware", finished).out


def test_compare_says_when_the_questions_are_not_the_same(cli: Command, tmp_path: Path) -> None:
    for name, episodes, seed in (("a", 4, 0), ("b", 6, 0)):
        assert cli("evaluate", "oracle", "--steps", 2, "--episodes", episodes, "--out", tmp_path / name).code == 0, seed
    done = cli("compare", tmp_path / "a", tmp_path / "b")
    assert "8 are shared and compared, 4 that only one of the two has are left out" in done.out
    other = rows(tmp_path / "other.jsonl", 5, steps=2)
    other.write_text(other.read_text().replace("What", "Which"))
    assert cli("evaluate", "oracle", "--data", other, "--out", tmp_path / "c").code == 0
    assert "at least two dialogues have to be the same" in cli("compare", tmp_path / "a", tmp_path / "c").line
    assert "at least two evaluations" in cli("compare", tmp_path / "a").line
    assert "nothing was evaluated in" in cli("compare", tmp_path / "a", tmp_path).line
    (tmp_path / "a" / "answers.parquet").write_text("no parquet")
    assert "cannot be read as the answers" in cli("compare", tmp_path / "a", tmp_path / "b").line


# --- rescore ---------------------------------------------------------------------------------------------------------


def test_rescore(cli: Command, finished: Path, tmp_path: Path) -> None:
    [rollouts, *_] = sorted((finished / "rollouts").glob("*.jsonl"))
    out = tmp_path / "again.jsonl"
    done = cli("rescore", rollouts, "--reward", "bleu", "--out", out)
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == len(rollouts.read_text().splitlines())
    assert all(set(line["terms"]) == {"bleu"} and "reward_before" in line for line in lines)
    assert "Mean reward" in done.out


def test_rescore_leaves_out_what_is_broken_and_says_so(cli: Command, finished: Path, tmp_path: Path) -> None:
    [rollouts, *_] = sorted((finished / "rollouts").glob("*.jsonl"))
    lines = rollouts.read_text().splitlines()
    copy = tmp_path / "copy.jsonl"
    options = ("--reward", "length", "--tokenizer", finished / "checkpoints" / "tokenizer", "--out", tmp_path / "out")
    first = next(place for place, line in enumerate(lines) if json.loads(line)["step"] == 1)
    copy.write_text("\n".join(["{", "[]", '{"step": 1}', *lines[:first], *lines[first + 1 :], lines[-1][:50]]))
    done = cli("rescore", copy, *options)
    assert done.code == 0, done.err
    for said in ("line 1: not a JSON object", "line 2: not a JSON object (list)", "'stage' is missing", "is not there"):
        assert said in done.out
    assert "partial: 5 lines left out" in done.out
    assert len((tmp_path / "out").read_text().splitlines()) == len(lines) - 2
    copy.write_text("")
    assert "no rollouts in it" in cli("rescore", copy, *options).line
    copy.write_text("nonsense\n")
    assert "1 lines left out; the first" in cli("rescore", copy, *options).line
    assert "lies in no run" in cli("rescore", copy, "--reward", "bleu").line
    assert "gone is not there; give a .jsonl file" in cli("rescore", tmp_path / "gone", *options).line
    assert "unknown reward 'nosuch'" in cli("rescore", rollouts, "--reward", "nosuch").line
