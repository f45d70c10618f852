"""The house rules that a machine can check: which way imports run, how long files are, what gets installed."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
CATALOGUES = ("envs", "rewards", "curricula")
LONGEST = 500


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path, package: str) -> Iterator[str]:
    """Full names of what a file imports, relative imports resolved against its package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parent.parts
    return ".".join(parts if parts[0] == "rxt_mrl" else ("rxt_mrl", *parts))


def test_the_engine_imports_no_catalogue() -> None:
    """It finds them by name, through ``rxt_mrl.plugins``, as it finds a user's."""
    catalogues = tuple(f"rxt_mrl.{name}" for name in CATALOGUES)
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("rxt_mrl")
        for name in imported(path, package_of(path))
        if name.startswith(catalogues)
    ]
    assert found == []


def test_the_check_above_sees_every_way_to_import(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "import rxt_mrl.envs.a\nfrom rxt_mrl import envs\nfrom ..rewards.b import c\nfrom .. import curricula\n"
    )
    assert list(imported(path, "rxt_mrl.mrl")) == [
        "rxt_mrl.envs.a",
        "rxt_mrl.envs",
        "rxt_mrl.rewards.b.c",
        "rxt_mrl.curricula",
    ]


def test_catalogues_meet_their_own_by_relative_imports() -> None:
    """So that static tools follow them from the top-level folder too."""
    for path in sources("envs", "rewards"):
        own = package_of(path)
        absolute = [
            node.lineno
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith(own)
        ]
        assert not absolute, f"{path.relative_to(ROOT)}, lines {absolute}"


def test_no_file_is_longer_than_a_sitting() -> None:
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources("rxt_mrl", *CATALOGUES, "tests")
    }
    assert {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > LONGEST} == {}


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    present = {package_of(path) for path in sources("rxt_mrl", *CATALOGUES) if path.name == "__init__.py"}
    assert set(listed) == present
    folders = {package_of(path) for path in sources("rxt_mrl", *CATALOGUES)}
    assert folders == present, "a folder without __init__.py would not be installed"


def test_every_recipe_and_catalogue_entry_is_declared() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert set(groups["rxt_mrl.curricula"]) == {path.stem for path in (ROOT / "curricula").glob("*.yaml")}
