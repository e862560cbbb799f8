"""The rules of size, names, words and links that the files of the project keep.

Like the architecture's, each rule is a function from modules to violations and is tried on a planted fault
as well.
"""

from __future__ import annotations

import ast
import builtins
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final

import pytest

from tests.support.source_tree import (
    ROOMS,
    ROOT,
    Module,
    all_modules,
    listing,
    product_modules,
    text_files,
)

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 70
LINE_COLUMNS_MAX: Final = 120

FORBIDDEN_NAMES = ("util*", "helper*", "common*", "misc*", "base*", "manager*")

# In brackets, so that a search for the words does not end here.
LEFT_OPEN = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b|NotImplemented[E]rror")
LEFT_OUT = frozenset({"skip", "skipif", "skipTest", "skipUnless", "xfail", "importorskip", "expectedFailure"})
ONE_MACHINE = re.compile(r"(?<![\w.$}-])/(wor[k]|hom[e]|roo[t])/|\.\./share[d]\b")

BROAD_EXCEPTS = ("actors/loop.py", "supervisor/process.py", "posthouse/cli.py")
"""The actor's loop, the child's boundary and the command line: where whatever went wrong ends."""

SLEEPERS = ("tests/soak/*",)
"""Where a test may let time pass; anywhere else it waits for an event with a deadline."""

LEAVERS_OUT = ("tests/browser/conftest.py", "tests/support/programs.py")
"""Where tests may be left out, with a reason: a program of somebody else that they need may not be installed."""

Rule = Callable[[Iterable[Module]], Iterator[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files_are_short(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        lines = module.text.count("\n")
        if lines > FILE_LINES_MAX:
            yield f"{module.path} has {lines} lines, the limit is {FILE_LINES_MAX}; split it by noun"


def functions_fit_one_screen(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, Function):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    place = f"{module.path}:{node.lineno} {node.name}"
                    yield f"{place} has {lines} lines, the limit is {FUNCTION_LINES_MAX}"


def lines_are_short(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        for number, line in enumerate(module.text.splitlines(), start=1):
            if len(line) > LINE_COLUMNS_MAX:
                yield f"{module.path}:{number} has {len(line)} columns, the limit is {LINE_COLUMNS_MAX}"


def files_are_named_after_a_noun(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        parts = PurePosixPath(module.path).with_suffix("").parts
        if any(fnmatchcase(part, pattern) for part in parts for pattern in FORBIDDEN_NAMES):
            yield f"{module.path} is a drawer, not a noun; put the code with the thing it serves"


def nothing_is_left_open(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        for number, line in enumerate(module.text.splitlines(), start=1):
            if found := LEFT_OPEN.search(line):
                yield f"{module.path}:{number} says {found.group()}"


def no_test_is_left_out(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        if module.path in LEAVERS_OUT:
            continue
        for name, line in module.names:
            root, _, last = name.partition(".")[0], *name.rpartition(".")[1:]
            if root in ("pytest", "unittest") and last in LEFT_OUT:
                yield f"{module.path}:{line} leaves a test out with {name}"


def nobody_sleeps(modules: Iterable[Module]) -> Iterator[str]:
    """`time.sleep` may be handed over as a named seam, but is never called where it cannot be replaced."""
    for module in modules:
        if any(fnmatchcase(module.path, pattern) for pattern in SLEEPERS):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                name = module.resolve(node.func)
                yields_only = bool(node.args) and isinstance(node.args[0], ast.Constant) and not node.args[0].value
                if name in ("time.sleep", "asyncio.sleep") and not yields_only:
                    yield f"{module.path}:{node.lineno} calls {name}; wait for an event with a deadline"


def modules_say_what_they_hold(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        first = (ast.get_docstring(module.tree) or "").split("\n\n", 1)[0]
        if not first.rstrip().endswith((".", ":", "?")):
            yield f"{module.path} does not say in a first sentence what it holds"


def everything_is_caught_in_three_places_only(modules: Iterable[Module]) -> Iterator[str]:
    """A handler that ends by raising the same error again hides nothing and may stand anywhere."""
    for module in modules:
        if module.path in BROAD_EXCEPTS:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and _is_broad(module, node.type):
                last = node.body[-1]
                if not (isinstance(last, ast.Raise) and last.exc is None):
                    yield f"{module.path}:{node.lineno} catches everything"
            elif (
                isinstance(node, ast.Call)
                and module.resolve(node.func) == "contextlib.suppress"
                and any(_is_broad(module, argument) for argument in node.args)
            ):
                yield f"{module.path}:{node.lineno} suppresses everything"


def _is_broad(module: Module, caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(module, member) for member in caught.elts)
    return module.resolve(caught) in ("Exception", "BaseException")


OPEN_ROOTS: dict[str, str] = {
    "typing.Protocol": "protocol",
    "typing.NamedTuple": "tuple",
    "typing.TypedDict": "tuple",
    "enum.Enum": "enum",
    "enum.IntEnum": "enum",
    "enum.StrEnum": "enum",
    "enum.Flag": "enum",
    "enum.IntFlag": "enum",
    "msgspec.Struct": "struct",
}
"""What a class is, by the root it descends from. Enums with members and named tuples need no mark."""


def classes_are_final(modules: Iterable[Module]) -> Iterator[str]:
    """Only exceptions and records have descendants of ours; protocols are there to be satisfied."""
    classes = [(module, node) for module in modules for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    parents = {
        f"{module.dotted}.{node.name}": [_base_name(module, base) for base in node.bases] for module, node in classes
    }
    has_descendants = {base for bases in parents.values() for base in bases}
    for module, node in classes:
        name = f"{module.dotted}.{node.name}"
        kind = _kind_of(name, parents)
        plain_bases = [base for base in parents[name] if base in parents and _kind_of(base, parents) == "plain"]
        if plain_bases:
            yield f"{module.path}:{node.lineno} {node.name} inherits from {plain_bases[0]}; compose instead"
        is_final = any(module.resolve(decorator) == "typing.final" for decorator in node.decorator_list)
        if kind in ("plain", "exception", "struct") and not is_final and name not in has_descendants:
            yield f"{module.path}:{node.lineno} {node.name} is not @final"


def _base_name(module: Module, base: ast.expr) -> str:
    """The full name of a base class; a bare name is a builtin's or of the same module."""
    while isinstance(base, ast.Subscript):
        base = base.value
    name = module.resolve(base) or ""
    return name if "." in name or hasattr(builtins, name) else f"{module.dotted}.{name}"


def _kind_of(name: str, parents: dict[str, list[str]]) -> str:
    if name in OPEN_ROOTS:
        return OPEN_ROOTS[name]
    if name not in parents:
        return "exception" if name.endswith(("Error", "Exception", "Warning")) else "plain"
    kinds = [_kind_of(base, parents) for base in parents[name]]
    if "protocol" in kinds:
        # Who extends a protocol says Protocol once more; who names one as its base implements it.
        return "protocol" if "typing.Protocol" in parents[name] else "plain"
    return next((kind for kind in kinds if kind != "plain"), "plain")


EVERYWHERE: tuple[Rule, ...] = (
    files_are_short,
    functions_fit_one_screen,
    lines_are_short,
    files_are_named_after_a_noun,
    nothing_is_left_open,
    no_test_is_left_out,
    nobody_sleeps,
)
IN_THE_PRODUCT: tuple[Rule, ...] = (
    modules_say_what_they_hold,
    everything_is_caught_in_three_places_only,
    classes_are_final,
)

PLANTED: tuple[tuple[Rule, str, str], ...] = (
    (files_are_short, "actors/a.py", "x = 1\n" * 401),
    (functions_fit_one_screen, "actors/a.py", "async def f():\n" + "    x = 1\n" * 70),
    (lines_are_short, "actors/a.py", "x = '" + "y" * LINE_COLUMNS_MAX + "'"),
    (files_are_named_after_a_noun, "actors/utils.py", ""),
    (files_are_named_after_a_noun, "actors/helpers/queue.py", ""),
    (nothing_is_left_open, "actors/a.py", "x = 1  # TO" + "DO: y"),
    (nothing_is_left_open, "actors/a.py", "raise NotImplemented" + "Error"),
    (no_test_is_left_out, "tests/test_a.py", "import pytest\n@pytest.mark.skip\ndef test_a(): ..."),
    (no_test_is_left_out, "tests/test_a.py", "from pytest import importorskip\nimportorskip('x')"),
    (nobody_sleeps, "tests/test_a.py", "from time import sleep\nsleep(1)"),
    (nobody_sleeps, "posthouse/aio.py", "import asyncio\nasync def f():\n    await asyncio.sleep(0.1)"),
    (modules_say_what_they_hold, "actors/a.py", "x = 1"),
    (modules_say_what_they_hold, "actors/a.py", '"""Queue"""'),
    (everything_is_caught_in_three_places_only, "actors/a.py", "try:\n    x\nexcept Exception:\n    pass"),
    (everything_is_caught_in_three_places_only, "actors/a.py", "try:\n    x\nexcept:\n    pass"),
    (
        everything_is_caught_in_three_places_only,
        "actors/a.py",
        "try:\n    x\nexcept (A, BaseException):\n    y",
    ),
    (
        everything_is_caught_in_three_places_only,
        "actors/a.py",
        "from contextlib import suppress\nwith suppress(Exception):\n    x",
    ),
    (classes_are_final, "actors/a.py", "class A: ..."),
    (
        classes_are_final,
        "actors/a.py",
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass A: ...",
    ),
    (classes_are_final, "actors/a.py", "from typing import final\nclass A: ...\n@final\nclass B(A): ..."),
    (classes_are_final, "actors/a.py", "class A(ValueError): ..."),
    (classes_are_final, "actors/a.py", "import msgspec\nclass A(msgspec.Struct, frozen=True): ..."),
    (
        classes_are_final,
        "actors/a.py",
        "from typing import Protocol\nclass Sends(Protocol): ...\nclass A(Sends): ...",
    ),
)

INNOCENT: tuple[tuple[Rule, str], ...] = (
    (nobody_sleeps, "import time\ndef wait(sleep=time.sleep):\n    sleep(1)"),
    (nobody_sleeps, "import asyncio\nasync def f():\n    await asyncio.sleep(0)"),
    (everything_is_caught_in_three_places_only, "try:\n    x\nexcept BaseException:\n    y()\n    raise"),
    (everything_is_caught_in_three_places_only, "try:\n    x\nexcept OSError:\n    pass"),
    (classes_are_final, "from typing import Protocol\nclass Sends(Protocol): ..."),
    (classes_are_final, "from typing import final\nclass A(Exception): ...\n@final\nclass B(A): ..."),
    (classes_are_final, "import enum\nclass Kind(enum.Enum): ..."),
    (classes_are_final, "from typing import NamedTuple\nclass Pair(NamedTuple): ..."),
)


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    found = list(rule(all_modules()))
    assert not found, listing(found)


@pytest.mark.parametrize("rule", IN_THE_PRODUCT, ids=lambda rule: rule.__name__)
def test_the_product_keeps_the_rule(rule: Rule) -> None:
    found = list(rule(product_modules()))
    assert not found, listing(found)


@pytest.mark.parametrize(
    ("rule", "path", "text"), PLANTED, ids=[f"{rule.__name__}-{n}" for n, (rule, _, _) in enumerate(PLANTED)]
)
def test_the_rule_notices_a_planted_fault(rule: Rule, path: str, text: str) -> None:
    assert list(rule([Module(path, text)])) != []


@pytest.mark.parametrize(
    ("rule", "text"), INNOCENT, ids=[f"{rule.__name__}-{n}" for n, (rule, _) in enumerate(INNOCENT)]
)
def test_the_rule_leaves_the_innocent_alone(rule: Rule, text: str) -> None:
    assert list(rule([Module("actors/a.py", text)])) == []


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule for rule, _, _ in PLANTED} == {*EVERYWHERE, *IN_THE_PRODUCT}


def test_no_file_names_a_folder_of_one_machine() -> None:
    wrong = [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in text_files().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if ONE_MACHINE.search(line)
    ]
    assert not wrong, listing(wrong)


def test_the_search_for_folders_of_one_machine_finds_them() -> None:
    assert ONE_MACHINE.search("see /hom" + "e/ada/notes")
    assert ONE_MACHINE.search("cd /wor" + "k/main")
    assert ONE_MACHINE.search("see ../share" + "d/notes.md")
    assert not ONE_MACHINE.search("docs/work/page.md and $HOME/.config and example.org/home/")


@pytest.mark.parametrize("room", ROOMS[1:])
def test_the_map_of_a_room_is_complete_and_holds_no_code(room: str) -> None:
    modules = {module.path: module for module in product_modules() if module.room == room}
    assert f"{room}/__init__.py" in modules, "the room has no map"
    tree = modules[f"{room}/__init__.py"].tree
    assert len(tree.body) == 1, "a room's __init__.py is its map and nothing else"
    described = set(re.findall(r"\w+", ast.get_docstring(tree) or ""))
    names = {PurePosixPath(path).stem for path in modules} - {"__init__"}
    missing = sorted(names - described)
    assert not missing, listing(missing)


MARKDOWN_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\s*\[[^\]]+\]:\s+(\S+)", re.M)
FENCED = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.M)


def _links(text: str) -> list[str]:
    prose = re.sub(r"`[^`\n]*`", "", FENCED.sub("", text))
    return [target or named for target, named in MARKDOWN_LINK.findall(prose)]


def _anchors(text: str) -> set[str]:
    """The anchors of a document's headings as the usual renderers spell them."""
    anchors: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        repeats = 0
        while (candidate := f"{anchor}-{repeats}" if repeats else anchor) in anchors:
            repeats += 1
        anchors.add(candidate)
    return anchors


def broken_links(documents: dict[str, str]) -> Iterator[str]:
    for path, text in documents.items():
        for target in _links(text):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            name, _, anchor = target.partition("#")
            place = posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) if name else path
            if place not in documents and not (ROOT / place).exists():
                yield f"{path} links to {target}, which is not there"
            elif anchor and place in documents and anchor not in _anchors(documents[place]):
                yield f"{path} links to {target}; no heading has that name"


def test_every_link_of_a_document_leads_somewhere() -> None:
    documents = {path: text for path, text in text_files().items() if path.endswith(".md")}
    found = list(broken_links(documents))
    assert not found, listing(found)


def test_a_link_that_leads_nowhere_is_noticed() -> None:
    assert list(broken_links({"a.md": "see [this](docs/no-such-page.md)"})) != []
    assert list(broken_links({"a.md": "# One heading\n\n[here](#another-heading)"})) != []
    assert list(broken_links({"a.md": "# One `heading`\n\n[here](#one-heading) `[x](y)` <https://example.org>"})) == []
