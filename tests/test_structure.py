"""The house rules that a machine can check: which way imports run, how long files are, what the pages say of them.

Each rule is a function of a root folder that returns the offences, one line each; each is seen to find a planted one.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from architecture import CATALOGUES, ENGINE, circles, diagram, imported, imports, redrawn, room, rooms, sources

ROOT = Path(__file__).parent.parent
LONGEST = 500
MOST_AT_THE_TOP = 10
CONTRACTS = "rxt_mrl.contracts"

Rule = Callable[[Path], list[str]]


# --- the rules -------------------------------------------------------------------------------------------------------


def circles_of_modules(root: Path) -> list[str]:
    return [" <-> ".join(group) for group in circles(imports(root))]


def circles_of_rooms(root: Path) -> list[str]:
    return [" <-> ".join(group) for group in circles(rooms(imports(root)))]


def catalogues_in_the_engine(root: Path) -> list[str]:
    """The engine finds them by name, through ``rxt_mrl.plugins``, as it finds a user's."""
    return [
        f"{module} imports {target}"
        for module, targets in imports(root).items()
        for target in sorted(targets)
        if not in_catalogue(module) and in_catalogue(target)
    ]


def catalogues_below_their_contract(root: Path) -> list[str]:
    """What else than the contracts a catalogue may import, their docstring names: ``rxt_mrl.errors``, ..."""
    files = sources(root)
    said = ast.get_docstring(ast.parse(files[CONTRACTS].read_text(encoding="utf-8"))) or ""
    allowed = {CONTRACTS, *re.findall(r"``(rxt_mrl\.[a-z_.]+)``", said)}
    return [
        f"{module} imports {target}"
        for module, targets in imports(root).items()
        for target in sorted(targets - allowed)
        if in_catalogue(module) and room(module) != room(target)
    ]


def long_files(root: Path) -> list[str]:
    paths = [*sources(root).values(), *(root / "tests").rglob("*.py"), *(root / "docs").glob("*.py")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return [f"{path.relative_to(root)} has {lines} lines" for path, lines in lengths.items() if lines > LONGEST]


def rooms_that_the_readme_hides(root: Path) -> list[str]:
    """The layout has a row for each room, with the line that its ``__init__`` opens with."""
    layout = (root / "README.md").read_text(encoding="utf-8")
    found = []
    for path in sources(root).values():
        if path.name == "__init__.py":
            said = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
            row = f"| `{path.parent.relative_to(root).as_posix()}/` | {said.replace('``', '`')} |"
            if not said or row not in layout.splitlines():
                found.append(f"README has no row {row}")
    return found


def loose_modules(root: Path) -> list[str]:
    # `__main__` says where to begin, and nothing else
    names = sorted(path.name for path in (root / ENGINE).glob("*.py") if path.name != "__main__.py")
    return [f"{ENGINE}/ has {len(names)} modules: {', '.join(names)}"] if len(names) > MOST_AT_THE_TOP else []


def in_catalogue(module: str) -> bool:
    return room(module).removeprefix(f"{ENGINE}.") in CATALOGUES


RULES: list[Rule] = [
    circles_of_modules,
    circles_of_rooms,
    catalogues_in_the_engine,
    catalogues_below_their_contract,
    long_files,
    rooms_that_the_readme_hides,
    loose_modules,
]


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps_the_rule(rule: Rule) -> None:
    assert rule(ROOT) == []


# --- each rule on a planted offence ----------------------------------------------------------------------------------


def house(root: Path, changed: Mapping[str, str]) -> Path:
    """A small house that keeps all rules, with some files changed or added."""
    files = {
        "README.md": "| `rxt_mrl/` | Engine. |\n| `rxt_mrl/a/` | A room. |\n| `envs/` | Envs of `rxt_mrl.a`. |\n",
        "rxt_mrl/__init__.py": '"""Engine."""\n',
        "rxt_mrl/contracts.py": '"""Contracts. A catalogue imports them and ``rxt_mrl.errors``."""\n',
        "rxt_mrl/errors.py": "",
        "rxt_mrl/a/__init__.py": '"""A room.\n\nMore about it.\n"""\nfrom .one import x\n',
        "rxt_mrl/a/one.py": "from ..errors import UserError\n",
        "rxt_mrl/a/two.py": "from .one import x\nfrom . import one\n",
        "envs/__init__.py": '"""Envs of ``rxt_mrl.a``."""\n',
        "envs/entry.py": "from rxt_mrl.contracts import Env\nfrom rxt_mrl.errors import E\nfrom . import other\n",
        "envs/other.py": "import numpy as np\n",
    }
    for name, text in {**files, **changed}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("rule", RULES)
def test_a_house_in_order_offends_no_rule(rule: Rule, tmp_path: Path) -> None:
    assert rule(house(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("rule", "planted", "offence"),
    [
        (circles_of_modules, {"rxt_mrl/a/one.py": "from . import two\n"}, "rxt_mrl.a.one <-> rxt_mrl.a.two"),
        (
            circles_of_modules,
            {"rxt_mrl/a/one.py": "def late():\n    import rxt_mrl.a.two\n"},
            "rxt_mrl.a.one <-> rxt_mrl.a.two",
        ),
        (
            circles_of_modules,
            {"rxt_mrl/a/one.py": "if TYPE_CHECKING:\n    from rxt_mrl.a.two import Two\n"},
            "rxt_mrl.a.one <-> rxt_mrl.a.two",
        ),
        (
            circles_of_rooms,
            {
                "rxt_mrl/b/low.py": "",
                "rxt_mrl/b/high.py": "from ..a.two import x\n",
                "rxt_mrl/a/one.py": "from ..b.low import y\n",
            },
            "rxt_mrl.a <-> rxt_mrl.b",
        ),
        (
            catalogues_in_the_engine,
            {"rxt_mrl/a/one.py": "def late():\n    from ..envs.entry import Env\n"},
            "rxt_mrl.a.one imports rxt_mrl.envs.entry",
        ),
        (
            catalogues_below_their_contract,
            {"envs/entry.py": "from rxt_mrl.a.one import x\n"},
            "rxt_mrl.envs.entry imports rxt_mrl.a.one",
        ),
        (
            catalogues_below_their_contract,
            {"rewards/entry.py": "from rxt_mrl import envs\n"},
            "rxt_mrl.rewards.entry imports rxt_mrl.envs",
        ),
        (long_files, {"tests/test_long.py": "\n" * 501}, "tests/test_long.py has 501 lines"),
        (
            rooms_that_the_readme_hides,
            {"rxt_mrl/b/__init__.py": '"""Hidden."""\n'},
            "README has no row | `rxt_mrl/b/` | Hidden. |",
        ),
        (
            rooms_that_the_readme_hides,
            {"rxt_mrl/a/__init__.py": '"""Another line."""\n'},
            "README has no row | `rxt_mrl/a/` | Another line. |",
        ),
        (
            loose_modules,
            {f"rxt_mrl/loose{n}.py": "" for n in range(8)},
            "rxt_mrl/ has 11 modules: __init__.py, contracts.py, errors.py, "
            + ", ".join(f"loose{n}.py" for n in range(8)),
        ),
    ],
)
def test_the_rule_sees_an_offence(rule: Rule, planted: dict[str, str], offence: str, tmp_path: Path) -> None:
    assert rule(house(tmp_path, planted)) == [offence]


def test_every_way_to_import_is_seen(tmp_path: Path) -> None:
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


# --- the page of the rooms -------------------------------------------------------------------------------------------


def test_the_picture_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert redrawn(page, diagram(ROOT)) == page, "run: python docs/architecture.py"


def test_an_arrow_that_a_longer_way_replaces_is_not_drawn(tmp_path: Path) -> None:
    root = house(tmp_path, {"envs/entry.py": "from rxt_mrl.errors import E\nfrom rxt_mrl.a import x\n"})
    arrows = [line.strip() for line in diagram(root).splitlines() if "-->" in line]
    assert arrows == ["a --> errors", "envs --> a"]


def named_places() -> list[str]:
    """``path/to/file.py:Name`` and ``path/to/file.py:Class.method`` on the page."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return re.findall(r"`([\w/]+\.py:[\w.]+)`", page)


@pytest.mark.parametrize("place", named_places())
def test_the_walks_name_what_is_there(place: str) -> None:
    file, _, name = place.partition(":")
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    for part in name.split("."):
        found = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part]
        assert found, f"{file} has no {name}"
        body = found[0].body


def test_there_are_three_walks() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    walks = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert [len(re.findall(r"`[\w/]+\.py:[\w.]+`", walk)) >= 5 for walk in walks] == [True] * 3


# --- what is installed -----------------------------------------------------------------------------------------------


def test_catalogues_meet_their_own_by_relative_imports() -> None:
    """So that static tools follow them from the top-level folder too."""
    absolute = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for module, path in sources(ROOT).items()
        if in_catalogue(module)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith(room(module))
    ]
    assert absolute == []


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    present = {module for module, path in sources(ROOT).items() if path.name == "__init__.py"}
    assert set(listed) == present
    folders = {
        module if path.name == "__init__.py" else module.rpartition(".")[0] for module, path in sources(ROOT).items()
    }
    assert folders == present, "a folder without __init__.py would not be installed"


def test_every_recipe_and_catalogue_entry_is_declared() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert set(groups["rxt_mrl.curricula"]) == {path.stem for path in (ROOT / "curricula").glob("*.yaml")}
