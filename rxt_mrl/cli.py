"""The command line. Each command is a few lines over a function that a library user can call too.

Heavy imports happen inside the commands, so that ``--help`` and errors answer at once.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from . import plugins
from .display import busy
from .display.streams import any_character, complain, let_go
from .errors import Terminated, UserError, said, termination

EXAMPLES = """Examples:

rxt-mrl train demo --out runs/demo

rxt-mrl train demo --reward my_reward.py:Polite --set curriculum.0.updates=40

rxt-mrl train demo --out runs/demo --resume

rxt-mrl evaluate runs/demo --steps 12

rxt-mrl chat runs/demo

rxt-mrl data my_dialogues.jsonl --steps 4"""

app = typer.Typer(
    name="rxt-mrl",
    help="Memory Reinforcement Learning for Reactive Transformers.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
recipe_app = typer.Typer(help="Work with recipes.", no_args_is_help=True)
reward_app = typer.Typer(help="Work with rewards.", no_args_is_help=True)
env_app = typer.Typer(help="Work with environments.", no_args_is_help=True)
app.add_typer(recipe_app, name="recipe")
app.add_typer(reward_app, name="reward")
app.add_typer(env_app, name="env")
console = Console()
_LOADING = "loading torch"


def _recipes(beginning: str) -> list[str]:
    """Recipes that complete a word; files are completed by the shell."""
    return [name for name in plugins.names("curriculum") if name.startswith(beginning)]


RecipeName = Annotated[
    str,
    typer.Argument(metavar="RECIPE", help="A name (`rxt-mrl list recipes`) or a YAML file.", autocompletion=_recipes),
]
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a key; repeatable.")]
RewardOption = Annotated[
    list[str] | None,
    typer.Option("--reward", metavar="NAME|FILE.py:NAME", help="Score with this alone; repeatable: with their sum."),
]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Run the Python files that the run's stored recipe names.")
]


class Listing(StrEnum):
    """What ``rxt-mrl list`` can list."""

    recipes = "recipes"
    envs = "envs"
    rewards = "rewards"
    presets = "presets"


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        console.print(f"rxt-mrl {version('rxt-mrl')}", highlight=False)
        raise typer.Exit


@app.callback()
def _all_commands(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Memory Reinforcement Learning for Reactive Transformers."""


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
    with busy("reading the recipe"):
        from .pipeline.recipe import load_recipe

    assignments = [
        *(sets or []),
        *_assigned("reward", reward),
        *([f"seed={seed}"] if seed is not None else []),
    ]
    loaded = load_recipe(recipe, assignments)
    with busy(_LOADING, lines=True):  # takes seconds: a mistake in the recipe is told before
        from .pipeline import train as pipeline
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
    reward: RewardOption = None,
    sets: Assignments = None,
    trust_code: TrustCode = False,
) -> None:
    """Measure what a model remembers, with controls; the same command goes on after an interruption."""
    with busy(_LOADING):
        from .pipeline.evaluate import evaluate_target

    assignments = [*(sets or []), *_assigned("evaluation.reward", reward)]
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
        trust_code=trust_code,
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
    trust_code: TrustCode = False,
) -> None:
    """Train a stateless model of the same size on the same dialogues, with TRL; of a run: compare the two."""
    with busy(_LOADING, lines=True):
        from .pipeline.baseline import baseline_of
        from .pipeline.recipe_files import texts_of
        from .runs import RunDir

    # A run may be somebody else's: what its recipe names is not what the user named.
    stranger = RunDir.holds_run(Path(target)) and not trust_code
    with plugins.untrusted(f"the recipe of {target}", given=texts_of(sets or [])) if stranger else nullcontext():
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
    with busy(_LOADING):
        from .pipeline.compare import compare_command

    compare_command(targets, as_json=json_, console=console)


@app.command()
def rescore(
    rollouts: Annotated[Path, typer.Argument(metavar="ROLLOUTS", help="A .jsonl file of a run's rollouts.")],
    reward: Annotated[
        list[str], typer.Option(metavar="NAME|FILE.py:NAME", help="The reward to score with; repeatable: their sum.")
    ],
    out: Annotated[Path | None, typer.Option(help="File to write (default: beside it, -rescored.jsonl).")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Folder with the tokenizer (default: the run's).")] = None,
) -> None:
    """Score stored rollouts with another reward."""
    with busy(_LOADING):
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
    with busy(_LOADING):
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
    with busy(_LOADING):
        from .dialogues import storyworld as world
        from .settings import validate

    content = {"steps": steps, "strategy": strategy, "level": level}
    config = validate(world.StoryworldConfig, content, "storyworld")
    with busy(f"making {episodes} dialogues"):
        paths = world.write(config, episodes, out, seed=seed)
    for path in paths.values():
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


@app.command()
def data(
    source: Annotated[str, typer.Argument(help="storyworld, a file or folder, babi:FILE, tinystories:FILE, hub:NAME.")],
    split: Annotated[str, typer.Option(help="train, validation or supervised.")] = "train",
    show: Annotated[int, typer.Option(min=0, help="Rows to print.")] = 1,
    write: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write FOLDER/SPLIT.parquet, in the published schema.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Follow-ups per dialogue.")] = None,
    on_bad_row: Annotated[str, typer.Option(help="stop or skip.")] = "stop",
    kind: Annotated[str | None, typer.Option(help="What reads a file: chat, jsonl, parquet, arrow, babi, ...")] = None,
    columns: Annotated[
        list[str] | None, typer.Option(metavar="OURS=THEIRS,...", help="Names of columns; repeatable.")
    ] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Count tokens of this tokenizer, in place of words.")] = None,
) -> None:
    """Look at dialogues, pairs or texts before training: counts, first row, lengths, round trip."""
    with busy(_LOADING):
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
        if ours in found:
            raise UserError(f"--columns {item}: {ours} is given twice")
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
    with busy(_LOADING):
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
    with busy(_LOADING):
        from .dialogues.train_tokenizer import train_tokenizer

    train_tokenizer(sources, vocab_size=vocab_size, out=out, split=split, limit=limit, console=console)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="Folder or Hub id of a published RxNN 0.2 / RxLM 0.3 checkpoint.")],
    out: Annotated[Path, typer.Option(help="Folder for our checkpoint.")],
    component: Annotated[str | None, typer.Option(help="decoder, encoder, memory_attention or mlm_head.")] = None,
    layout: Annotated[str | None, typer.Option(help="rxnn-0.2 or rxlm-0.3, where the checkpoint cannot tell.")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Its tokenizer.json, or the folder with it (default: the checkpoint's).")
    ] = None,
) -> None:
    """Convert a published checkpoint and its tokenizer, with a report of what was mapped, unused or missing."""
    with busy(_LOADING):
        from .pipeline.convert import convert_command

    convert_command(source, out, component=component, layout=layout, tokenizer=tokenizer, console=console)


@app.command("list")
def list_(what: Annotated[Listing, typer.Argument(help="What to list.")]) -> None:
    """List what can be named: recipes, envs, rewards, presets."""
    with busy(f"looking for {what.value}"):
        from .pipeline.listing import listing

        found = listing(what.value)
    console.print(found)


@recipe_app.command("check")
def recipe_check(recipe: RecipeName, sets: Assignments = None) -> None:
    """Validate everything, the data included, and print the plan with estimated updates and tokens."""
    with busy("reading the recipe"):
        from .pipeline.recipe import load_recipe

    loaded = load_recipe(recipe, sets or [])
    with busy(_LOADING):
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
    with busy(_LOADING):
        from .pipeline.recipe_files import override
        from .scoring import check_reward

    report = check_reward(name, override({}, options or []), columns=override({}, columns or [], "--column"))
    if report.kinds or report.ok:
        report.print(console)
    report.raise_if_broken()


@env_app.command("check")
def env_check(
    name: Annotated[str, typer.Argument(metavar="NAME_OR_PATH", help="A name, dotted path or file.py:Name.")],
    options: Annotated[list[str] | None, typer.Option("--set", metavar="A=B", help="Constructor option.")] = None,
) -> None:
    """Play an environment and say which rules of the contract it breaks."""
    with busy(_LOADING):
        from .mrl.environment_check import check_environment
        from .pipeline.recipe_files import override

    report = check_environment(name, override({}, options or []))
    report.print(console)
    report.raise_if_broken()


def _assigned(key: str, rewards: list[str] | None) -> list[str]:
    """The assignment of what ``--reward`` names."""
    named = [_plain(reward) for reward in rewards or ()]
    return [f"{key}=" + (named[0] if len(named) == 1 else f"[{', '.join(named)}]")] if named else []


def _plain(text: str) -> str:
    """A text as YAML that means this text: a path may hold ``#``, ``: `` or brackets."""
    return text if re.fullmatch(r"[A-Za-z_./][\w./:+-]*\w", text) else json.dumps(text, ensure_ascii=False)


def main() -> NoReturn:
    """Entry point: runs the command and ends the process.

    ======  ==========================================================================================
    code    what happened
    ======  ==========================================================================================
    0       done
    1       whoever read the output closed it (``| head``); nothing is said
    2       a mistake of the user's or of the machine's (a wrong key, a full disk); one line says which
    130     Ctrl-C
    143     SIGTERM
    ======  ==========================================================================================

    Anything else is a defect of ours, and shows its traceback.
    """
    any_character()
    try:
        for option in ("--out", "--write"):  # it would be the working directory
            if f"{option}=" in sys.argv or (option, "") in itertools.pairwise(sys.argv):
                raise UserError(
                    f"{option} is empty: a variable that is not set? For the working directory say {option} ."
                )
        with termination():
            code = app(prog_name="rxt-mrl", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        code = 1
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        line = said(error)
        if line is None:
            raise
        code = 2
        complain(line)
    else:
        code = code if isinstance(code, int) else 0
    if code == 130:
        code = 143 if Terminated.happened else 130
        complain("terminated" if Terminated.happened else "interrupted")
    let_go(sys.stdout)
    sys.exit(code)


if __name__ == "__main__":
    main()
