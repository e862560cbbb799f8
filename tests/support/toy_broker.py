"""Drives one toy broker from a test: starts it, reads its events as they come, kills what it left behind.

It waits for events with a deadline and never sleeps to wait. It does not judge; the tests do.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import psutil

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
Word = dict[str, Any]


@final
class ToyBroker:
    """One process of `tests.support.toy_children`, as a context manager. `temporary` becomes its TMPDIR."""

    def __init__(self, scenario: str, path: Path, temporary: Path, *, has_pidfd: bool = True) -> None:
        self.words: list[Word] = []
        self._pending = b""
        self._stderr = path.with_suffix(".stderr")
        arguments = [scenario, str(path), "1" if has_pidfd else "0"]
        with self._stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.toy_children", *arguments],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(temporary)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Stopped children do not see their supervisor's death before they are killed themselves.
        for pid in self.pids_started():
            self._kill_own(pid)
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def ask(self, **command: object) -> None:
        """Have the boss carry out one command."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def wait_for(self, word: str, since: int = 0, **fields: object) -> Word:
        """The first such word after `since`; an AssertionError with all words if it does not come in time."""
        deadline = time.monotonic() + DEADLINE_S
        seen = since
        while True:
            for found in self.words[seen:]:
                if found["word"] == word and fields.items() <= found.items():
                    return found
            seen = len(self.words)
            if not self._read(deadline):
                raise AssertionError(f"no {word} {fields} in {self.words[since:]}; {self.stderr()}")

    def read_to_end(self) -> int:
        """All words until the broker ends; its exit code."""
        deadline = time.monotonic() + DEADLINE_S
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def order_of(self, word: str, since: int = 0) -> list[str]:
        """The ids in the order in which that happened to them."""
        return [found["id"] for found in self.words[since:] if found["word"] == word]

    def up(self, child_id: str, since: int = 0) -> Word:
        """Wait until the child serves."""
        return self.wait_for("ready", since, id=child_id)

    def pids_started(self) -> list[int]:
        """Every child that ever was."""
        return [found["pid"] for found in self.words if found["word"] == "started"]

    def stderr(self) -> str:
        """What the broker and its children wrote there."""
        return self._stderr.read_text(errors="replace")

    def _read(self, deadline: float) -> bool:
        """Wait for more words; False at the end of the broker's output or at the deadline."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
        data = os.read(self.process.stdout.fileno(), 65536) if readable else b""
        *lines, self._pending = (self._pending + data).split(b"\n")
        self.words += [json.loads(line) for line in lines]
        return bool(data)

    def _kill_own(self, pid: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if psutil.Process(pid).ppid() == self.process.pid:
                os.kill(pid, signal.SIGKILL)


def wait_until_gone(pids: list[int]) -> None:
    """Wait until none of these processes is alive; a zombie of somebody else's counts as gone."""
    deadline = time.monotonic() + DEADLINE_S
    living = set(pids)
    while living:
        assert time.monotonic() < deadline, f"still alive: {living}"
        living = {pid for pid in living if _is_alive(pid)}
        os.sched_yield()


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
