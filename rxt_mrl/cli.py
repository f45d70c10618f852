"""The command line. Each command is a few lines over a function that a library user can call too.

Heavy imports happen inside the commands, so that ``--help`` and errors answer at once.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .errors import Terminated, UserError, termination

app = typer.Typer(
    name="rxt-mrl",
    help="Memory Reinforcement Learning for Reactive Transformers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
recipe_app = typer.Typer(help="Work with recipes.", no_args_is_help=True)
reward_app = typer.Typer(help="Work with rewards.", no_args_is_help=True)
env_app = typer.Typer(help="Work with environments.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")
app.add_typer(reward_app, name="reward")
app.add_typer(env_app, name="env")
console = Console(width=None if sys.stdout.isatty() else 130)

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A name (`rxt-mrl list recipes`) or a YAML file.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a key; repeatable.")]
RewardOption = Annotated[
    str | None, typer.Option("--reward", metavar="NAME|FILE.py:NAME", help="Train with this reward alone.")
]


class Listing(StrEnum):
    """What ``rxt-mrl list`` can list."""

    recipes = "recipes"
    envs = "envs"
    rewards = "rewards"
    presets = "presets"


@app.command()
def train(
    recipe: RecipeName,
    out: Annotated[Path | None, typer.Option(help="Run directory (default: runs/NAME-seedN-TIME).")] = None,
    sets: Assignments = None,
    reward: RewardOption = None,
    seed: Annotated[int | None, typer.Option(help="Overrides the recipe's seed.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
) -> None:
    """Run a recipe: supervised stages, MRL curriculum, evaluation."""
    from .pipeline.recipe import load_recipe

    assignments = [
        *(sets or []),
        *([f"reward={reward}"] if reward else []),
        *([f"seed={seed}"] if seed is not None else []),
    ]
    loaded = load_recipe(recipe, assignments)
    from .pipeline import train as pipeline  # takes seconds to import: a mistake in the recipe is told before
    from .runs import ranks

    with ranks.joined(loaded.device):
        pipeline.train(loaded, out=out, resume=resume, overwrite=overwrite, console=console)


@app.command()
def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A run, a checkpoint folder, a published checkpoint, hf:NAME_OR_FOLDER, oracle, random or echo.",
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="A source of the run's recipe, or what `rxt-mrl data` reads; repeatable."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of sources outside of the recipe (default: validation; a single file: all).")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Follow-ups per dialogue.")] = None,
    episodes: Annotated[int | None, typer.Option(min=1, help="Held-out dialogues.")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder with the tokenizer of a checkpoint that brings none.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON in place of the table.")] = False,
    reward: Annotated[str | None, typer.Option(metavar="NAME|FILE.py:NAME", help="What the score is made of.")] = None,
    sets: Assignments = None,
) -> None:
    """Measure what a model remembers, with controls; the same command goes on after an interruption."""
    from .pipeline.evaluate import evaluate_target

    assignments = [*(sets or []), *([f"evaluation.reward={reward}"] if reward else [])]
    evaluate_target(
        target,
        data=data or (),
        split=split,
        steps=steps,
        episodes=episodes,
        tokenizer=tokenizer,
        out=out,
        as_json=json_,
        assignments=assignments,
        console=console,
    )


@app.command()
def baseline(
    target: Annotated[str, typer.Argument(metavar="RUN|RECIPE", help="Whose stateless peer.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the peer (default: runs/NAME-baseline-...).")] = None,
    peer: Annotated[Path | None, typer.Option(help="A peer that is trained already.")] = None,
    steps: Annotated[list[int] | None, typer.Option(min=1, help="Follow-ups to compare at; repeatable.")] = None,
    episodes: Annotated[int | None, typer.Option(min=2, help="Held-out dialogues of each length.")] = None,
    sets: Assignments = None,
) -> None:
    """Train a stateless model of the same size on the same dialogues, with TRL; of a run: compare the two."""
    from .pipeline.baseline import baseline_of

    baseline_of(target, out=out, peer=peer, steps=steps, episodes=episodes, assignments=sets or [], console=console)


@app.command()
def compare(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="A B...", help="Folders of `evaluate`, runs, or RUN/checkpoints/STAGE; two or more."),
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
) -> None:
    """Paired differences of evaluations on the questions that they share, against the first one."""
    from .pipeline.compare import compare_command

    compare_command(targets, as_json=json_, console=console)


@app.command()
def rescore(
    rollouts: Annotated[Path, typer.Argument(metavar="ROLLOUTS", help="A .jsonl file of a run's rollouts.")],
    reward: Annotated[str, typer.Option(metavar="NAME|FILE.py:NAME", help="The reward to score with.")],
    out: Annotated[Path | None, typer.Option(help="File to write (default: beside it, -rescored.jsonl).")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Folder with the tokenizer (default: the run's).")] = None,
) -> None:
    """Score stored rollouts with another reward."""
    from .pipeline.rescore import rescore_command

    rescore_command(rollouts, reward, out=out, tokenizer=tokenizer, console=console)


@app.command()
def chat(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint directory, or a run directory (its last stage).")],
    memory: Annotated[Path | None, typer.Option(help="File to restore the memory from and save it to.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the initial memory and of sampling.")] = 0,
) -> None:
    """Talk with a model; it sees one message at a time and remembers the rest."""
    from .conversation.terminal import run_chat

    run_chat(checkpoint, memory=memory, temperature=temperature, seed=seed, console=console)


@app.command()
def storyworld(
    steps: Annotated[int, typer.Option(min=1, help="Follow-ups per dialogue.")],
    episodes: Annotated[int, typer.Option(min=1, help="Training dialogues; a tenth more for validation.")],
    out: Annotated[Path, typer.Option(help="Folder for the parquet files.")],
    strategy: Annotated[str, typer.Option(help="multi_step or long_range.")] = "multi_step",
    level: Annotated[str, typer.Option(help="Difficulty.")] = "easy",
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Write generated dialogues as parquet, in the published schema."""
    from .dialogues import storyworld as world
    from .settings import validate

    content = {"steps": steps, "strategy": strategy, "level": level}
    config = validate(world.StoryworldConfig, content, "storyworld")
    for path in world.write(config, episodes, out, seed=seed).values():
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@app.command()
def data(
    source: Annotated[str, typer.Argument(help="storyworld, a file or folder, babi:FILE, tinystories:FILE, hub:NAME.")],
    split: Annotated[str, typer.Option(help="train, validation or supervised.")] = "train",
    show: Annotated[int, typer.Option(min=0, help="Rows to print.")] = 1,
    write: Annotated[Path | None, typer.Option(help="Write parquet in the published schema.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Follow-ups per dialogue.")] = None,
    on_bad_row: Annotated[str, typer.Option(help="stop or skip.")] = "stop",
    kind: Annotated[str | None, typer.Option(help="What reads a file: chat, jsonl, parquet, arrow, babi, ...")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(metavar="OURS=THEIRS,...", help="Names of columns; repeatable.")
    ] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Count tokens of this tokenizer, in place of words.")] = None,
) -> None:
    """Look at dialogues, pairs or texts before training: counts, first row, lengths, round trip."""
    from .dialogues import DialogueTokenizer
    from .dialogues.sources.inspect import inspect_source

    inspect_source(
        source,
        split=split,
        show=show,
        write=write,
        steps=steps,
        on_bad_row=on_bad_row,
        kind=kind,
        columns=_columns(columns or []),
        tokenizer=None if tokenizer is None else DialogueTokenizer.load(tokenizer),
        console=console,
    )


def _columns(given: list[str]) -> dict[str, str]:
    """``query=prompt,answer=reply`` as a mapping."""
    found = {}
    for item in ",".join(given).split(",") if given else ():
        ours, equals, theirs = (part.strip() for part in item.partition("="))
        if not equals or not ours or not theirs:
            raise UserError(f"--columns {item}: give OURS=THEIRS, for example query=prompt")
        found[ours] = theirs
    return found


@app.command("annotations")
def check_annotations_(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Annotated dialogues; none: all storyworld levels.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Follow-ups per dialogue.")] = 8,
    episodes: Annotated[int, typer.Option(min=1, help="Dialogues of each source at most.")] = 400,
    split: Annotated[str, typer.Option(help="train, validation or supervised.")] = "train",
    seed: Annotated[int, typer.Option(help="Seed of generated dialogues.")] = 0,
) -> None:
    """Print how well `annotate: carried_words` finds the facts of annotated dialogues: precision and recall."""
    from .dialogues.sources.annotations import check_annotations

    check_annotations(sources or (), split=split, steps=steps, episodes=episodes, seed=seed, console=console)


@app.command()
def tokenizer(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="As for `rxt-mrl data`; one or several.")],
    vocab_size: Annotated[int, typer.Option(help="Tokens, the 7 of the template and 256 bytes among them.")],
    out: Annotated[Path, typer.Option(help="Folder for tokenizer.json; a recipe's tokenizer.path.")],
    split: Annotated[str, typer.Option(help="train, validation or supervised.")] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Texts of each source, at most.")] = None,
) -> None:
    """Train a tokenizer on the texts of data sources, whatever their length."""
    from .dialogues.train_tokenizer import train_tokenizer

    train_tokenizer(sources, vocab_size=vocab_size, out=out, split=split, limit=limit, console=console)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="Folder or Hub id of a published RxNN 0.2 / RxLM 0.3 checkpoint.")],
    out: Annotated[Path, typer.Option(help="Folder for our checkpoint.")],
    component: Annotated[str | None, typer.Option(help="decoder, encoder, memory_attention or mlm_head.")] = None,
    layout: Annotated[str | None, typer.Option(help="rxnn-0.2 or rxlm-0.3, where the checkpoint cannot tell.")] = None,
) -> None:
    """Convert a published checkpoint, with a report of what was mapped, unused or missing."""
    from .model.published import convert_command

    console.print(str(convert_command(source, out, component=component, layout=layout)), highlight=False)


@app.command("list")
def list_(what: Annotated[Listing, typer.Argument(help="What to list.")]) -> None:
    """List what can be named: recipes, envs, rewards, presets."""
    from .pipeline.listing import listing

    console.print(listing(what.value))


@recipe_app.command("check")
def recipe_check(recipe: RecipeName, sets: Assignments = None) -> None:
    """Validate everything, the data included, and print the plan with estimated updates and tokens."""
    from .pipeline.recipe import load_recipe

    loaded = load_recipe(recipe, sets or [])
    from .pipeline.plan import check_recipe

    check_recipe(loaded, console)


@reward_app.command("check")
def reward_check(
    name: Annotated[str, typer.Argument(metavar="NAME_OR_PATH", help="A reward's name, dotted path or file.py:Name.")],
    options: Annotated[list[str] | None, typer.Option("--set", metavar="A=B", help="Constructor option.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", metavar="NAME=VALUE", help="Column of the data; repeatable.")
    ] = None,
) -> None:
    """Run a reward on typical and adversarial answers and say what it cannot tell apart."""
    from .pipeline.recipe_files import override
    from .scoring import check_reward

    report = check_reward(name, override({}, options or []), columns=override({}, columns or []))
    report.print(console)
    if not report.ok:
        raise typer.Exit(1)


@env_app.command("check")
def env_check(
    name: Annotated[str, typer.Argument(metavar="NAME_OR_PATH", help="A name, dotted path or file.py:Name.")],
    options: Annotated[list[str] | None, typer.Option("--set", metavar="A=B", help="Constructor option.")] = None,
) -> None:
    """Play an environment and say which rules of the contract it breaks."""
    from .mrl.environment_check import check_environment
    from .pipeline.recipe_files import override

    report = check_environment(name, override({}, options or []))
    report.print(console)
    report.raise_if_broken()


def main() -> None:
    """Entry point: mistakes of the user are one line and exit code 2, Ctrl-C is 130, SIGTERM is 143."""
    try:
        with termination():
            app()
    except UserError as error:
        print(f"rxt-mrl: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as leaving:  # typer makes a SystemExit of Ctrl-C
        if not _comes_of(leaving, KeyboardInterrupt):
            raise
        terminated = _comes_of(leaving, Terminated)
        print("rxt-mrl: terminated" if terminated else "rxt-mrl: interrupted", file=sys.stderr)
        sys.exit(143 if terminated else 130)


def _comes_of(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


if __name__ == "__main__":
    main()
