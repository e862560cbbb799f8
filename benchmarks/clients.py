"""Client processes of a benchmark: started, held at the line until all are ready, let go together.

A role is a function of `roles.py`; it runs in a process of its own, so that no two clients share an interpreter, and
its start-up is over before anything is measured.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, final

import psutil

from posthouse.demo_broker import read_line

READY_TIMEOUT_S: Final = 60.0
ROOT: Final = Path(__file__).resolve().parents[1]
LAST_WORDS_CHARACTERS: Final = 600


@final
class Client:
    """One client process in one role."""

    def __init__(self, role: str, **settings: object) -> None:
        self.role = role
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.roles", role, json.dumps(settings)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.watched = psutil.Process(self._process.pid)

    def wait_ready(self) -> None:
        """Raises RuntimeError with what the process said when it ended instead."""
        assert self._process.stdout is not None
        if not read_line(self._process.stdout, READY_TIMEOUT_S).startswith("ready"):
            self._process.kill()
            _, said = self._process.communicate()
            raise RuntimeError(f"the client {self.role} did not start: {_last_words(said)}")

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()

    def result(self, timeout_s: float) -> dict[str, Any]:
        """What it found. Raises RuntimeError when it failed or took too long."""
        try:
            told, said = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the client {self.role} did not finish within {timeout_s:.0f} s") from None
        if self._process.returncode:
            raise RuntimeError(f"the client {self.role} failed: {_last_words(said)}")
        found: dict[str, Any] = json.loads(told)
        return found

    def end(self) -> None:
        """Leave nothing of it."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


@contextlib.contextmanager
def at_the_line(*clients: Client) -> Iterator[None]:
    """Wait until all are ready; kill what still runs at the end."""
    try:
        for client in clients:
            client.wait_ready()
        yield
    finally:
        for client in clients:
            client.end()


def _last_words(said: bytes) -> str:
    return said.decode(errors="replace").strip()[-LAST_WORDS_CHARACTERS:] or "it said nothing"
