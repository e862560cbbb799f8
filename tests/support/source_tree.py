"""The repository as text and as syntax trees: what the architecture, tidy and packaging tests read.

Nothing here imports the code it reads, so a module that does not even start is still checked. Names are
resolved through a module's own imports and no further: `from os import fork as f; f()` is seen as `os.fork`,
a function that was stored in a dictionary first is not.
"""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple, final

ROOT = Path(__file__).resolve().parents[2]

ROOMS = ("posthouse", "actors", "supervisor", "transport")
"""From the top down; a room imports itself and what stands after it."""

TOOL_FOLDERS = frozenset({"build", "dist", "htmlcov", "__pycache__"})


class Place(NamedTuple):
    """A name and the line where it is used."""

    name: str
    line: int


@final
@dataclass(frozen=True)
class Module:
    """One Python file, its path relative to the root of the repository."""

    path: str
    text: str

    @property
    def room(self) -> str:
        return self.path.split("/", 1)[0]

    @property
    def dotted(self) -> str:
        """The name it is imported by: `posthouse.actors.queue_state` for `actors/queue_state.py`."""
        name = self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        return f"posthouse.{name}" if self.room in ROOMS[1:] else name

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=self.path)

    @cached_property
    def imports(self) -> tuple[Place, ...]:
        """Every module named by an import, wherever it stands; `from a import b` names both `a` and `a.b`.

        A relative import keeps its leading dots.
        """
        return tuple(place for node in ast.walk(self.tree) for place in _imported_by(node))

    @cached_property
    def runtime_imports(self) -> tuple[Place, ...]:
        """The imports that are carried out, and not only there for a type checker."""
        for_types = {
            id(inner)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and self.resolve(node.test) == "typing.TYPE_CHECKING"
            for statement in node.body
            for inner in ast.walk(statement)
        }
        nodes = (node for node in ast.walk(self.tree) if id(node) not in for_types)
        return tuple(place for node in nodes for place in _imported_by(node))

    @cached_property
    def _aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    root = alias.name.split(".", 1)[0]
                    aliases[alias.asname or root] = alias.name if alias.asname else root
            elif isinstance(node, ast.ImportFrom) and not node.level:
                for alias in node.names:
                    aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return aliases

    def resolve(self, node: ast.expr) -> str | None:
        """The dotted name an expression stands for, as far as the imports tell; None unless it is a name."""
        if isinstance(node, ast.Name):
            return self._aliases.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            owner = self.resolve(node.value)
            return None if owner is None else f"{owner}.{node.attr}"
        return None

    @cached_property
    def names(self) -> tuple[Place, ...]:
        """Every dotted name the code reads, longest form and prefixes alike; imported names count as read."""
        found = list(self.imports)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute):
                name = self.resolve(node)
                if name is not None:
                    found.append(Place(name, node.lineno))
        return tuple(found)

    @cached_property
    def calls(self) -> tuple[Place, ...]:
        """Every call of something that has a name."""
        found: list[Place] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                name = self.resolve(node.func)
                if name is not None:
                    found.append(Place(name, node.lineno))
        return tuple(found)


def _imported_by(node: ast.AST) -> Iterator[Place]:
    if isinstance(node, ast.Import):
        yield from (Place(alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        source = "." * node.level + (node.module or "")
        joint = "" if source.endswith(".") else "."
        yield Place(source, node.lineno)
        yield from (Place(f"{source}{joint}{alias.name}", node.lineno) for alias in node.names)


def room_of(dotted: str) -> str | None:
    """The room an imported name belongs to; None when it is not ours."""
    head, _, rest = dotted.partition(".")
    if head != "posthouse":
        return None
    inner = rest.split(".", 1)[0]
    return inner if inner in ROOMS[1:] else "posthouse"


def _python_files(folder: str) -> Iterator[Path]:
    # os.walk does not follow links, so a room is read once, by its real path.
    for where, folders, files in os.walk(ROOT / folder):
        folders[:] = sorted(name for name in folders if name not in TOOL_FOLDERS)
        yield from (Path(where, name) for name in sorted(files) if name.endswith(".py"))


@cache
def modules_under(folder: str) -> tuple[Module, ...]:
    """All modules of a top-level folder, sorted; none when the folder is missing."""
    return tuple(
        Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in _python_files(folder)
    )


def product_modules() -> tuple[Module, ...]:
    """What gets installed."""
    return tuple(module for room in ROOMS for module in modules_under(room))


def all_modules() -> tuple[Module, ...]:
    """What gets installed, its tests, its benchmarks and its examples."""
    others = ("tests", "benchmarks", "examples")
    return product_modules() + tuple(module for folder in others for module in modules_under(folder))


def listing(violations: list[str]) -> str:
    """One violation a line, under their number, for an assertion's message."""
    return "\n  ".join([f"{len(violations)} found:", *violations])


@cache
def tracked_files() -> tuple[str, ...]:
    """Every file, links left out, that is tracked by git or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    is_listed = listed.returncode == 0
    names = [name for name in listed.stdout.split("\0") if name] if is_listed else _files_without_git()
    return tuple(name for name in names if (ROOT / name).is_file() and not (ROOT / name).is_symlink())


@cache
def text_files() -> dict[str, str]:
    """Path and text of every tracked file; binary files are left out."""
    contents = {name: (ROOT / name).read_bytes() for name in tracked_files()}
    return {
        name: content.decode("utf-8", errors="replace")
        for name, content in contents.items()
        if b"\0" not in content[:8192]
    }


def _files_without_git() -> list[str]:
    """The same from an unpacked source archive, where whatever is no tool's folder belongs to the project."""
    paths: list[str] = []
    for where, folders, files in os.walk(ROOT):
        folders[:] = sorted(
            name
            for name in folders
            if name not in TOOL_FOLDERS and not name.endswith(".egg-info") and name in {".ci", name.lstrip(".")}
        )
        paths += [Path(where, name).relative_to(ROOT).as_posix() for name in sorted(files)]
    return paths
