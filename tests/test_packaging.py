"""What gets installed is what stands in the tree: the package list, the links, a wheel built and used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.source_tree import ROOMS, ROOT, product_modules, tracked_files


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_package_list_names_every_folder_with_modules(project: dict[str, Any]) -> None:
    folders = {module.path.rpartition("/")[0] for module in product_modules()}
    packages = {
        f.replace("/", ".") if f.startswith("posthouse") else f"posthouse.{f.replace('/', '.')}" for f in folders
    }
    setuptools = project["tool"]["setuptools"]

    assert sorted(setuptools["packages"]) == sorted(packages)
    assert sorted(setuptools["package-dir"]) == sorted(packages)
    assert sorted(setuptools["package-dir"].values()) == sorted(folders)


def test_every_package_has_its_map() -> None:
    assert [room for room in ROOMS if not (ROOT / room / "__init__.py").is_file()] == []


@pytest.mark.parametrize("room", ROOMS[1:])
def test_a_room_is_linked_into_the_package_by_a_relative_link(room: str) -> None:
    link = ROOT / "posthouse" / room

    assert link.is_symlink()
    assert os.readlink(link) == f"../{room}"
    assert link.resolve() == ROOT / room


def test_git_stores_the_links_as_links() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--stage", *(f"posthouse/{room}" for room in ROOMS[1:])],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    modes = {line.split(" ", 1)[0] for line in listed.stdout.splitlines()}
    assert modes <= {"120000"}


def test_the_short_names_of_the_rooms_are_not_installed(project: dict[str, Any]) -> None:
    # `supervisor` is supervisord's: pip would overwrite one with the other without a word.
    assert all(name.split(".", 1)[0] == "posthouse" for name in project["tool"]["setuptools"]["packages"])


def test_every_dependency_is_imported_and_every_import_is_a_dependency(project: dict[str, Any]) -> None:
    modules_of = {"pyzmq": "zmq", "opentelemetry-api": "opentelemetry", "prometheus-client": "prometheus_client"}
    extras = [
        line for name, lines in project["project"]["optional-dependencies"].items() if name != "dev" for line in lines
    ]
    lines = [*project["project"]["dependencies"], *extras]
    declared = {re.split(r"[<>=!~\[; ]", line, maxsplit=1)[0] for line in lines}
    imported = {name.split(".", 1)[0] for module in product_modules() for name, _ in module.imports}
    foreign = imported - set(sys.stdlib_module_names) - {"posthouse"}

    assert foreign <= {modules_of.get(name, name) for name in declared}


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What the command prints. A command that fails fails the test with everything it said."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _copy_of_the_sources(source: Path) -> Path:
    """setuptools writes into the tree it builds and reuses what it finds there: it gets one of its own."""
    source.mkdir()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, source / name)
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / room, source / room, symlinks=True, ignore=ignored)
    return source


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built straight from the tree, as `pip install .` does."""
    out = tmp_path_factory.mktemp("wheel")
    source = _copy_of_the_sources(out / "source")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, cwd=out)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_rooms_once_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    modules = [module.path for module in product_modules()]
    data = [path for path in tracked_files() if path.split("/", 1)[0] in ROOMS and not path.endswith(".py")]
    expected = [path if path.startswith("posthouse/") else f"posthouse/{path}" for path in modules + data]

    assert sorted(names) == sorted(expected)


def test_the_wheel_offers_the_command_and_carries_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        entries = {name.partition(".dist-info/")[2]: name for name in archive.namelist()}
        commands = archive.read(entries["entry_points.txt"]).decode()

    assert "posthouse = posthouse.cli:main" in commands
    assert any(entry.endswith("LICENSE") for entry in entries)


def test_everything_imports_from_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    _run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-cache-dir"),
        *("--disable-pip-version-check", "--root-user-action=ignore", "--target", site, wheel),
        cwd=tmp_path,
    )
    modules = sorted(module.dotted for module in product_modules() if not module.path.endswith("__main__.py"))
    script = "import importlib, sys\nfor name in sys.argv[1:]:\n    print(importlib.import_module(name).__file__)\n"

    files = _run(sys.executable, "-P", "-c", script, *modules, cwd=tmp_path, PYTHONPATH=str(site)).split()

    assert len(files) == len(modules)
    assert [file for file in files if not Path(file).is_relative_to(site)] == []


def test_the_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    source = _copy_of_the_sources(tmp_path / "source")

    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, source, cwd=tmp_path)

    (again,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(second.namelist()) == sorted(first.namelist())


def test_the_checks_of_a_change_run_by_one_executable_script() -> None:
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert "make lint test" in script.read_text(encoding="utf-8")
