"""Recipes: every mistake is one line that names the key, its value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rxt_mrl import plugins, yaml12
from rxt_mrl.errors import UserError
from rxt_mrl.pipeline.recipe import Recipe, TokenLimits, load_recipe
from rxt_mrl.pipeline.recipe_files import override


@pytest.mark.parametrize("name", plugins.names("curriculum"))
def test_shipped_recipes_are_valid_and_explained(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe, "a run goes on from what it stored"
    text = plugins.recipe_file(name).read_text(encoding="utf-8")
    assert text.startswith("# "), "its first line is what `rxt-mrl list recipes` says about it"


def test_a_resolved_recipe_says_nothing_that_was_left_open(tiny: Path) -> None:
    """A weight that a reward declares counts after a run has stored its recipe, too; a metric has none."""
    recipe = load_recipe(str(tiny), ["reward={terms: [fact_recall, {use: bleu, weight: 0.2}], metrics: [length]}"])
    stored = Recipe.model_validate(recipe.model_dump(mode="json"))
    assert stored == recipe
    assert stored.reward is not None
    assert [term.weight for term in (*stored.reward.terms, *stored.reward.metrics)] == [None, 0.2, None]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "algoritm.epochs=1",
            r"unknown key 'algoritm' \(did you mean 'algorithm'\?\); allowed: algorithm, baseline, beside, compile",
        ),
        (
            "algorithm.objective.clipp=0.1",
            r"unknown key 'algorithm.objective.clipp' \(did you mean 'clip'\?\); allowed",
        ),
        ("supervised.joint.colour=1", r"unknown key 'supervised.joint.colour'; allowed: accumulate, ar_weight"),
        ("algorithm.optimiser={}", r"unknown key 'algorithm.optimiser': it is called 'optimizer' since 0.2$"),
        ("algorithm.critic.lr=1", r"unknown key 'algorithm.critic.lr': it is called 'learning_rate' since 0.2$"),
        ("algorithm.advantage.normalise=step", r"unknown key .*normalise': it is called 'normalize' since 0.2$"),
        (
            "rollout.group=1",
            r"unknown key 'rollout.group': it is replaced by 'answers' .from one memory. since 0.2$",
        ),
        ("curriculum.0.teacher_forcing=true", r"it is replaced by 'carry: reference' since 0.2$"),
        ("curriculum.0.promotion={every: 2}", r"promotion.every': it is replaced by 'validation.every' of the stage"),
        ("evaluation.lr=1", r"unknown key 'evaluation.lr'.*; allowed: batch_size"),
        ("data.sources.main.pth=x", r"unknown key 'data.sources.main.pth' \(did you mean 'path'\?\); allowed"),
        ("curriculum.0.step=2", r"unknown key 'curriculum.0.step' \(did you mean 'steps'\?\); allowed"),
        (
            "curriculum.1.algorithm={objectve: 1}",
            r"unknown key 'curriculum.1.algorithm.objectve' \(did you mean 'objec",
        ),
        ("model.options.slotz=3", r"unknown key 'options.slotz' \(did you mean 'slots'\?\); allowed: decoder"),
        (
            "data.sources.main.options.levl=1",
            r"unknown key 'options.levl' \(did you mean 'level'\?\); allowed: ",
        ),
        ("algorithm.objective.clip=3", r"algorithm.objective.clip = 3: input should be less than 1"),
        ("curriculum.1.algorithm={objective: {clip: 7}}", r"curriculum.1.algorithm.objective.clip = 7: .* less than 1"),
        ("curriculum.0.steps=0", r"curriculum.0: steps = 0: allowed: a number of at least 1, or several"),
        ("curriculum=3", r"curriculum = 3: "),
        ("seed=abc", r"seed = 'abc': input should be a valid integer"),
        ("control=frozen", r"control = 'frozen': input should be 'none', 'frozen_memory' or 'supervised'"),
        ("name=a/b", r"name = 'a/b': .*pattern"),
        ("model.preset=huge", r"preset: 'huge'; allowed: nano, tiny"),
        ("model.options.heads=3", r"heads 3 does not divide embed_dim 16"),
        ("model.options.vocab_size=3", r"vocab_size comes from the tokenizer; set tokenizer.vocab_size"),
        ("tokenizer.vocab_size=10", r"tokenizer.vocab_size = 10: .* 263"),
        ("limits.query=200", r"limits.query \+ limits.answer = 224 tokens exceed the model's max_tokens = 96"),
        ("data.default=other", r"default = 'other' is not one of the sources: main"),
        ("data.sources.main.source=nosuch", r"data.sources.main.source = 'nosuch': .*allowed: storyworld, hub"),
        ("data.sources.main={source: jsonl}", r"source 'jsonl' needs path, a file or folder"),
        ("data={}", r"key 'data.sources' is missing"),
        ("curriculum.0.data=other", r"curriculum.0.data = 'other' is not one of data.sources: main"),
        ("evaluation.data=other", r"evaluation.data = 'other' is not one of data.sources: main"),
        ("evaluation.data=[main, main]", r"evaluation.data = \['main', 'main'\]: a source is named twice"),
        ("evaluation.data=[]", r"evaluation.data = \[\]: .* at least 1 item"),
        ("data.sources={a/b: {source: storyworld}}", r"data.sources.a/b = 'a/b': .*pattern"),
        ("rollout.sampling.temperature=0", r"rollout.sampling.temperature = 0: .*above 0"),
        ("algorithm.advantage.kind=rloo", r"rollout.answers = 1: .*give at least 2"),
        ("supervised.memory_aware.epochs=2", r"supervised.memory_aware: give either updates or epochs, and not both"),
        ("seed", r"--set seed: give section.key=value"),
        ("=3", r"--set =3: give section.key=value"),
        ("seed=[1", r"--set seed=\[1: not YAML, line 1, column 3: "),
        ("curriculum.7.steps=1", r"--set curriculum.7.steps=1: '7' is not an index from 0 to 1"),
        ("curriculum.x.steps=1", r"'x' is not an index from 0 to 1"),
        ("curriculum.\u00b2.steps=1", r"'\u00b2' is not an index from 0 to 1"),
        ("seed.a=3", r"seed"),
        ("name.a.b=3", r"name"),
    ],
)
def test_mistakes_are_one_line(tiny: Path, assignment: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_recipe(str(tiny), [assignment])
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_counted(tiny: Path) -> None:
    with pytest.raises(UserError, match=r"\(and 1 more\)$"):
        load_recipe(str(tiny), ["seed=-1", "threads=0"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: a\nseed: 1\nseed: 2\n", r"bad\.yaml: line 3: key 'seed' is given twice"),
        ("a: [1\nb: }", r"bad\.yaml: not YAML, line 2, column 2: "),
        ("a:\n\tb: 1\n", r"not YAML, line 2, column 1: "),
        ("a: !python/object:os.system 1\n", r"not YAML, line 1, column 4: "),
        ("a: \x07\n", r"not YAML, character 0x07 is not allowed"),
        (b"\xff\xfe\x00", r"bad\.yaml: cannot be read, it is not UTF-8 \(byte 1\)"),
        ("? [a]\n: 1\n", r"line 1: \['a'\] cannot be a key"),
        ("1: 2\n", r"1 = 1: keys should be strings"),
        ("naem: x\n", r"unknown key 'naem' \(did you mean 'name'\?\); allowed: .* \(and 3 more\)"),
        ("- 1\n", r"a recipe is a mapping of sections, this is list"),
        ("", r"a recipe is a mapping of sections, this is empty"),
        ("extends: bad.yaml\n", r"'extends' goes in a circle \(bad\.yaml -> bad\.yaml\)"),
        ("extends: other.yaml\n", r"'extends' goes in a circle \(bad\.yaml -> other\.yaml -> bad\.yaml\)"),
        ("extends: [demo]\n", r"extends = \['demo'\]: allowed: the name or the file of one recipe"),
        ("extends: gone.yaml\n", r"no curriculum file 'gone\.yaml'"),
        ("extends: dmo\n", r"unknown curriculum 'dmo' \(did you mean 'demo'\?\)"),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "other.yaml").write_text("extends: bad.yaml\n")
    with pytest.raises(UserError, match=message) as caught:
        load_recipe(str(path))
    assert "\n" not in str(caught.value)


def test_unknown_recipes_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown curriculum 'demoo' \(did you mean 'demo'\?\); allowed: .*demo.*YAML"):
        load_recipe("demoo")
    with pytest.raises(UserError, match=r"no curriculum file 'gone\.yaml'; known names: .*demo"):
        load_recipe("gone.yaml")


def test_extends_changes_key_by_key_and_replaces_lists(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"extends: {tiny}\nname: mine\nalgorithm: {{optimizer: {{learning_rate: 0.5}}}}\n"
        "curriculum: [{steps: 1, updates: 2}]\n"
    )
    again = tmp_path / "again.yaml"
    again.write_text("extends: mine.yaml\nseed: 7\n")
    recipe = load_recipe(str(again))
    assert (recipe.name, recipe.seed, recipe.algorithm.optimizer.learning_rate) == ("mine", 7, 0.5)
    assert recipe.algorithm.epochs == load_recipe(str(tiny)).algorithm.epochs
    assert [stage.steps for stage in recipe.curriculum] == [1]


def test_assignments_are_yaml_reach_into_lists_and_leave_the_recipe_alone(tiny: Path) -> None:
    content = yaml12.read(tiny)
    changed = override(content, ["curriculum.1.updates=9", "supervised.joint=null", "evaluation.controls=[wiped]"])
    assert [stage["updates"] for stage in changed["curriculum"]] == [2, 9]
    assert changed["supervised"]["joint"] is None
    assert changed["evaluation"]["controls"] == ["wiped"]
    assert content == yaml12.read(tiny)
    assert load_recipe(str(tiny), ["reward=bleu"]).reward.terms[0].use == "bleu"
    assert override({}, ["a.b.c=1"]) == {"a": {"b": {"c": 1}}}


def test_null_removes_what_the_base_has_at_every_depth(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        """
name: base
limits: {query: 50, answer: 20}
model: {options: {slots: 4, max_tokens: 80, decoder: {moe: {experts: 4, top_k: 2}}}}
data:
  sources:
    main: {source: storyworld, limit: 5, options: {level: hard}}
    far: {source: storyworld, options: {level: easy}}
supervised: {memory_aware: {updates: 3}, joint: {updates: 1}}
reward: {terms: [{use: length, options: {a: 1}}]}
algorithm: {objective: {target_kl: 0.1}}
"""
    )
    (tmp_path / "child.yaml").write_text(
        """
extends: base.yaml
limits: null
model: {options: {slots: null, decoder: {moe: null}}}
data: {sources: {main: {limit: null, options: {level: null}}, far: null}}
supervised: {joint: null}
algorithm: {objective: {target_kl: null}}
"""
    )
    recipe = load_recipe(str(tmp_path / "child.yaml"), ["reward.terms.0.options.a=null"])
    assert recipe.limits == TokenLimits()
    assert recipe.model.options == {"max_tokens": 80, "decoder": {"moe": None}}
    assert list(recipe.data.sources) == ["main"]
    assert (recipe.data.sources["main"].limit, recipe.data.sources["main"].options) == (None, {})
    assert recipe.supervised.joint is None
    assert recipe.supervised.memory_aware is not None
    assert recipe.algorithm.objective.target_kl is None
    assert recipe.reward.terms[0].options == {}
