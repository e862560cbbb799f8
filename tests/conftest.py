"""What holds for every test: Hypothesis writes outside the tree, and no process outlives its test module."""

from __future__ import annotations

import contextlib
import getpass
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

# Failing examples are kept between runs, but never in the checkout, and never in another user's directory.
_HYPOTHESIS_HOME = Path(tempfile.gettempdir(), f"posthouse-hypothesis-{getpass.getuser()}")
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(_HYPOTHESIS_HOME))

# A thousand programs are started here. Where bytecode must not be written, each compiles everything anew: a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_DATABASE = DirectoryBasedExampleDatabase(_HYPOTHESIS_HOME / "examples")

settings.register_profile("posthouse", deadline=None, derandomize=False, print_blob=True, database=_DATABASE)
settings.register_profile("thorough", settings.get_profile("posthouse"), max_examples=2_000)
settings.load_profile("posthouse")


@pytest.fixture(scope="module", autouse=True)
def _no_process_outlives_its_module() -> Iterator[None]:
    """End what a test module left running, so that it disturbs nothing that follows, and fail for it."""
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [child for child in psutil.Process().children(recursive=True) if child not in before]
    _, alive = psutil.wait_procs(left, timeout=1)
    names = [f"{child.pid} {_command_of(child)}" for child in alive]
    for child in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(alive, timeout=5)
    assert names == [], f"processes outlived their tests: {names}"


def _command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) or process.status()
    except psutil.Error:
        return "ended meanwhile"
