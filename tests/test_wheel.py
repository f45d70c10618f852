"""The wheel, built and installed outside of the checkout: everything is there, under our name alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
BUILT_FROM = ("rxt_mrl", "envs", "rewards", "curricula", "pyproject.toml", "README.md", "LICENSE")

IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys
import rxt_mrl
home = pathlib.Path(sys.argv[1])
assert pathlib.Path(rxt_mrl.__file__).is_relative_to(home), rxt_mrl.__file__
names = [module.name for module in pkgutil.walk_packages(rxt_mrl.__path__, "rxt_mrl.")]
for name in names:
    assert pathlib.Path(importlib.import_module(name).__file__).is_relative_to(home), name
from rxt_mrl import plugins
from rxt_mrl.pipeline.recipe import load_recipe
for recipe in plugins.names("curriculum"):
    assert plugins.recipe_file(recipe).is_relative_to(home)
    load_recipe(recipe)
print(len(names), *(name for kind in ("curriculum", "env", "reward") for name in plugins.names(kind)))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build folder is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / "source" / name)
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, folder / "source"]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_our_package_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"rxt_mrl", "rxt_mrl-0.2.0.dist-info"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "rxt_mrl/py.typed" in names
    in_checkout = {
        *(f"rxt_mrl/{path.relative_to(ROOT / 'rxt_mrl')}" for path in (ROOT / "rxt_mrl").rglob("*.py")),
        *(f"rxt_mrl/{path.relative_to(ROOT)}" for folder in ("envs", "rewards", "curricula")
          for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yaml")),
    }  # fmt: skip
    assert in_checkout - set(names) == set()


def test_everything_imports_outside_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "site"
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", home, wheel]
    subprocess.run([sys.executable, *install], check=True)
    # The path comes before site-packages, and with it before the finder of an editable installation.
    environment = {**os.environ, "PYTHONPATH": str(home)}

    def run(*arguments: object) -> str:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    printed = run("-c", IMPORT_ALL, home)
    for name in ("demo", "nano-16", "memory_retention", "fact_recall"):
        assert name in printed.split()
    assert int(printed.split()[0]) > 100
    assert "demo" in run("-m", "rxt_mrl.cli", "list", "recipes")
    assert (home / "bin" / "rxt-mrl").is_file()
