"""Draws the rooms of the engine into ``docs/architecture.md``, from the imports as they stand in the files.

``python docs/architecture.py`` redraws the picture. ``tests/test_structure.py`` fails when it is not that of the code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENGINE = "rxt_mrl"
CATALOGUES = ("envs", "rewards", "curricula")

Graph = Mapping[str, set[str]]
"""From a module or room to those that it imports."""


def sources(root: Path) -> dict[str, Path]:
    """The file of each module of engine and catalogues, by the module's full name (``rxt_mrl.envs.text``)."""
    found = {}
    for folder in (ENGINE, *CATALOGUES):
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            full = parts if folder == ENGINE else (ENGINE, *parts)
            found[".".join(full).removesuffix(".__init__")] = path
    return found


def imported(path: Path, package: str) -> Iterator[str]:
    """Full names of what a file imports, anywhere in it; relative imports are resolved against its package."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports(root: Path) -> dict[str, set[str]]:
    """Which module imports which, inside engine and catalogues: at the top, in functions and for types only."""
    files = sources(root)
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        graph[module] = {_module(name, files) for name in imported(path, package)} - {"", module}
    return graph


def _module(name: str, files: Mapping[str, Path]) -> str:
    """The module that ``name`` is or lies in; empty for one of another package."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name


def room(module: str) -> str:
    """``rxt_mrl.model.published.config`` -> ``rxt_mrl.model``."""
    return ".".join(module.split(".")[:2])


def rooms(graph: Graph) -> dict[str, set[str]]:
    """Which room imports which; a module at the top of the engine is a room of its own."""
    found: dict[str, set[str]] = {room(module): set() for module in graph}
    for module, targets in graph.items():
        found[room(module)] |= {room(target) for target in targets} - {room(module)}
    return found


def reach(graph: Graph, start: str) -> set[str]:
    """All that can be come to from ``start`` by at least one arrow."""
    found: set[str] = set()
    left = list(graph[start])
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left += graph[node]
    return found


def circles(graph: Graph) -> list[list[str]]:
    """Groups of nodes that can come back to themselves through each other, sorted."""
    reached = {node: reach(graph, node) for node in graph}
    groups = {frozenset(other for other in reached[node] if node in reached[other]) for node in graph}
    return sorted(sorted(group) for group in groups if group)


def diagram(root: Path) -> str:
    """The rooms as a Mermaid flowchart. An arrow is left out where a longer way leads to the same room."""
    graph = {node: targets - {ENGINE} for node, targets in rooms(imports(root)).items() if node != ENGINE}
    lines = ["flowchart TD"]
    for node in sorted(graph):
        name = node.removeprefix(f"{ENGINE}.")
        folder = (root / name if name in CATALOGUES else root / ENGINE / name).is_dir()
        lines.append(f"    {name}[{name}/]" if folder else f"    {name}({name}.py)")
    for node in sorted(graph):
        for target in sorted(graph[node]):
            if not any(target in reach(graph, other) for other in graph[node] - {target}):
                lines.append(f"    {node.removeprefix(f'{ENGINE}.')} --> {target.removeprefix(f'{ENGINE}.')}")
    catalogues = [name for name in CATALOGUES if f"{ENGINE}.{name}" in graph]
    if catalogues:
        lines += ["    classDef catalogue stroke-dasharray: 4 3", f"    class {','.join(catalogues)} catalogue"]
    return "\n".join(lines) + "\n"


def redrawn(page: str, picture: str) -> str:
    """The page with ``picture`` in its Mermaid block."""
    before, opening, rest = page.partition("```mermaid\n")
    return before + opening + picture + rest[rest.index("```") :]


if __name__ == "__main__":
    PAGE = ROOT / "docs" / "architecture.md"
    PAGE.write_text(redrawn(PAGE.read_text(encoding="utf-8"), diagram(ROOT)), encoding="utf-8")
