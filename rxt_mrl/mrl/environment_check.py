"""``env check``: whether an environment keeps the contract (:class:`~rxt_mrl.contracts.Environment`), on a live one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from ..contracts import RewardSpec, ScoresCandidates
from ..dialogues import DialogueTokenizer, encode_dialogues
from ..dialogues.storyworld import StoryworldConfig, dialogues
from ..display import table
from ..errors import UserError
from ..model.sampling import SamplingConfig
from ..settings import validate
from .config import EnvSpec
from .environment import StageSetup, make_setup
from .environment_bench import ROWS, Bench
from .environment_rules import BEHAVIOR, MEMBERS, PLAY, RULES, SHAPES, Rule, in_words

STEPS, DIALOGUES, VOCABULARY, ANSWER = 3, 8, 400, 12


@dataclass
class EnvironmentReport:
    """The outcome of a check.

    Attributes:
        spec: what was checked.
        found: for each rule that was looked at, what breaks it; None where it is kept.
        remarks: what is worth knowing, one line each.
    """

    spec: str
    found: dict[str, str | None] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def broken(self) -> list[str]:
        """Names of the broken rules."""
        return [name for name, found in self.found.items() if found is not None]

    def print(self, console: Console | None = None) -> None:
        """Print the rules as a table, then each broken one with what was found and what is allowed."""
        out = console or Console()
        made = table("rule", "", "what it allows", title=escape(self.spec), text=3)
        for rule in RULES:
            kept = "[green]kept[/]" if self.found.get(rule.name) is None else "[red]broken[/]"
            made.add_row(rule.name, kept if rule.name in self.found else "not checked", escape(rule.allowed))
        out.print(made)
        for rule in RULES:
            found = self.found.get(rule.name)
            if found is not None:
                line = f"[red]broken[/] {rule.name}: {escape(found)}; allowed: {escape(rule.allowed)}"
                out.print(line, highlight=False, soft_wrap=True)
        for remark in self.remarks:
            out.print(escape(remark), highlight=False, soft_wrap=True)

    def raise_if_broken(self) -> None:
        """Raise where a rule is broken.

        Raises:
            UserError: names the broken rules.
        """
        if self.broken:
            names = ", ".join(self.broken)
            raise UserError(f"environment {self.spec} breaks {len(self.broken)} of {len(RULES)} rules: {names}")


def check_environment(spec: str, options: Mapping[str, Any] | None = None) -> EnvironmentReport:
    """Make an environment as a stage would, play it, and compare it with the rules.

    It is offered a small set of storyworld dialogues, a tokenizer, fact recall as its reward, and takes what it names.

    Args:
        spec: a name, ``package.module:Name`` or ``file.py:Name``.
        options: of its constructor; they go before what is offered.

    Raises:
        UserError: for an unknown environment, and for one that cannot be made.
    """
    setup = _setup(spec, dict(options or {}))
    bench = Bench(setup)
    try:
        env: Any = bench.make()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's constructor raises
        raise UserError(f"environment {spec} cannot be made: {in_words(error)}") from error
    bench.steps = _expected(setup, env)
    report = EnvironmentReport(spec)

    def check(rule: Rule, *arguments: Any) -> None:
        report.found[rule.name] = _guarded(rule.broken, *arguments)

    for rule in MEMBERS:
        check(rule, env)
    if report.broken:
        return report
    bench.episodes = np.arange(ROWS) % len(env.dialogues)
    try:
        played = bench.first(env)
    except (Exception, SystemExit) as error:  # whatever a user's environment raises
        report.found[PLAY.name] = in_words(error)
        return report
    report.found[PLAY.name] = None
    for rule in SHAPES:
        check(rule, env, played, *([bench.steps] if rule.name == "termination" else []))
    if report.broken:
        return report
    for rule in BEHAVIOR:
        check(rule, bench)
    if not isinstance(env, ScoresCandidates):
        report.remarks = ("It has no score(actions, rows), so several answers from one memory cannot be compared.",)
    return report


def _setup(spec: str, options: dict[str, Any]) -> StageSetup:
    steps = options.get("steps", STEPS)
    length = steps if isinstance(steps, int) and steps > 0 else STEPS
    told = dialogues(validate(StoryworldConfig, {"steps": length}, "env check"), DIALOGUES)
    turns = [turn for dialogue in told for turn in dialogue.turns]
    tokenizer = DialogueTokenizer.train([text for turn in turns for text in (turn.query, turn.answer)], VOCABULARY)
    return make_setup(
        EnvSpec(use=spec, options=options),
        dialogues=encode_dialogues(told, tokenizer, max_query=512, max_answer=512, on_long="error"),
        tokenizer=tokenizer,
        reward=RewardSpec.model_validate("fact_recall"),
        sampling=SamplingConfig(max_new_tokens=ANSWER),
        steps=STEPS,
    )


def _expected(setup: StageSetup, env: Any) -> int | None:
    """Steps of an episode: as it was told, else as it says itself; None: it does not say."""
    own = getattr(env, "steps", None)
    told = "steps" in inspect.signature(setup.environment).parameters
    return setup.options.get("steps", STEPS) if told else own if isinstance(own, int) else None


def _guarded(broken: Callable[..., str | None], *arguments: Any) -> str | None:
    try:
        return broken(*arguments)
    except (Exception, SystemExit) as error:  # whatever a user's environment raises is what was found
        return in_words(error)
