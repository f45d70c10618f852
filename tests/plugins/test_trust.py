"""What a name may run: what is not declared is not called, and a stranger's run executes nothing unasked."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gymnasium.vector import VectorEnv

from rxt_mrl import plugins
from rxt_mrl.contracts import Reward, RewardContext, plugin, reward
from rxt_mrl.errors import UserError
from rxt_mrl.mrl.config import EnvSpec
from rxt_mrl.scoring import load_reward

CALLED: list[str] = []


def plain(*arguments: Any, **options: Any) -> Any:
    CALLED.append("plain")


class Plain:
    def __init__(self, **options: Any) -> None:
        CALLED.append("Plain")

    def __call__(self, context: RewardContext) -> list[float]:
        return [1.0]


@reward()
def declared(context: RewardContext) -> list[float]:
    return [1.0] * len(context)


class Subclassed(Reward):
    def __call__(self, context: RewardContext) -> list[float]:
        return [0.5] * len(context)


class Env(VectorEnv):
    pass


@plugin("env")
def factory(num_envs: int) -> Any:
    return None


@plugin("source")
class Source:
    pass


def like_trl(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    return [1.0] * len(completions)


an_object = Subclassed()
no_object = Plain.__new__(Plain)


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """This file as a module of an installed package."""
    module = types.ModuleType("somebody_elses")
    vars(module).update({name: value for name, value in globals().items() if not name.startswith("_")})
    monkeypatch.setitem(sys.modules, "somebody_elses", module)
    CALLED.clear()
    yield "somebody_elses"
    assert CALLED == []


@pytest.mark.parametrize("kind", ["reward", "env", "source"])
@pytest.mark.parametrize(
    "spec", ["subprocess:Popen", "os:system", "builtins:exec", "antigravity:geohash", "shutil:rmtree", "this:s"]
)
def test_modules_of_python_are_not_even_imported(kind: Any, spec: str) -> None:
    before = set(sys.modules)
    with pytest.raises(UserError, match=r"is a part of Python, which has no plug-ins"):
        plugins.find(kind, spec)
    assert not {"antigravity", "this"} & (set(sys.modules) - before)


@pytest.mark.parametrize("kind", ["reward", "env", "source"])
@pytest.mark.parametrize(
    "name", ["plain", "Plain", "no_object", "sys.exit", "RewardContext", "pytest.main", "Any", "CALLED", "__doc__"]
)
def test_what_is_not_declared_is_not_called(kind: Any, name: str, module: str) -> None:
    with pytest.raises(UserError, match=rf"{kind} 'somebody_elses:{name}' is not declared to be one"):
        plugins.find(kind, f"{module}:{name}")
    for spec in ("rxt_mrl.cli:main", "numpy:fromfile", "torch:load", "yaml:unsafe_load"):
        with pytest.raises(UserError, match="is not declared"):
            plugins.find(kind, spec)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("reward", name) for name in ("declared", "Subclassed", "an_object", "like_trl")),
        *(("env", name) for name in ("Env", "factory")),
        ("source", "Source"),
    ],
)
def test_what_is_declared_is_found(kind: Any, name: str, module: str) -> None:
    assert plugins.find(kind, f"{module}:{name}") is globals()[name]
    for other in {"reward", "env", "source"} - {kind}:
        with pytest.raises(UserError, match="is not declared"):
            plugins.find(other, f"{module}:{name}")  # type: ignore[arg-type]


def test_what_a_package_offers_is_found_by_its_path_too() -> None:
    for kind, spec in (("reward", "rxt_mrl.rewards.length:Length"), ("env", "rxt_mrl.envs:MemoryRetentionVectorEnv")):
        assert plugins.find(kind, spec) is not None  # type: ignore[arg-type]


def test_a_strangers_names_run_nothing(tmp_path: Path, module: str) -> None:
    ran = tmp_path / "ran"
    file = tmp_path / "theirs.py"
    file.write_text(f"open({str(ran)!r}, 'w')\ndef mine(context):\n    return [1.0] * len(context)\n")
    with plugins.untrusted("their/recipe.yaml"):
        for kind in ("reward", "env", "source"):
            with pytest.raises(
                UserError, match=rf"^their/recipe.yaml names {kind} .*would run .*theirs.py; --trust-code"
            ):
                plugins.find(kind, f"{file}:mine")  # type: ignore[arg-type]
            with pytest.raises(UserError, match="would run the module somebody_elses; --trust-code runs it"):
                plugins.find(kind, f"{module}:declared")  # type: ignore[arg-type]
        assert plugins.find("reward", "length") is plugins.find("reward", "rxt_mrl.rewards.length:Length")
    assert not ran.exists()
    with plugins.untrusted("their/recipe.yaml", given={f"{file}:mine"}):
        load_reward(f"{file}:mine")
    assert ran.exists()


@pytest.mark.parametrize("body", ["import sys\nsys.exit(0)", "raise SystemExit", "exit()"])
def test_a_file_that_ends_the_program_is_an_error(body: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(body)
    with pytest.raises(UserError, match=r"bad\.py:\d+ cannot be loaded: SystemExit"):
        plugins.find("reward", str(file))
    file.write_text("class R:\n    def __init__(self):\n        raise SystemExit(0)\n    def __call__(self, c): ...\n")
    with pytest.raises(UserError, match=r"cannot be made with options \{\}: SystemExit: 0 at .*bad\.py"):
        load_reward(f"{file}:R")


def test_a_recipe_that_would_start_a_shell(tmp_path: Path) -> None:
    spec = EnvSpec(use="subprocess:Popen", options={"args": f"touch {tmp_path / 'ran'}", "shell": True})
    with pytest.raises(UserError, match="is a part of Python"):
        plugins.find("env", spec.use)
    assert not list(tmp_path.iterdir())
