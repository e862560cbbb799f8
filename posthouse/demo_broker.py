"""A broker in a process of its own, started and killed as an outsider would: by command line and signals.

It promises that `kill` and `stop` leave nothing of the broker alive. It knows nothing of the inside of a
broker but that its processes descend from one.

Fails with: BrokerNotRunning when the broker ends before it is ready or is not ready in time; its log says
why.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Final, final

import psutil

from posthouse.transport.errors import BrokerNotRunning

READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 15.0
GONE_TIMEOUT_S: Final = 10.0
LOOK_EVERY_S: Final = 0.002
LOG_TAIL_BYTES: Final = 2_000

OPTIONS: Final = ("--listen", "tcp://127.0.0.1:0", "--http", "off")


@final
class BrokerProcess:
    """`posthouse serve` on one data directory; may be started again after `kill` or `stop`."""

    def __init__(self, data: Path, log: Path, arguments: Sequence[str] = OPTIONS, module: str = "posthouse") -> None:
        self.data = data
        self._log = log
        self._arguments = tuple(arguments)
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process everything else descends from."""
        assert self._process is not None, "the broker was not started"
        return self._process.pid

    def start(self) -> str:
        """Start it and wait until it takes work; returns the line it printed. Raises BrokerNotRunning."""
        command = [sys.executable, "-m", self._module, "serve", "--data", str(self.data), *self._arguments]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                # A session of its own: Ctrl-C on the terminal is ours to handle, in order.
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = read_line(self._process.stdout, READY_TIMEOUT_S)
        if not line.startswith("ready"):
            self.kill()
            raise BrokerNotRunning(f"the broker did not start; the end of its log:\n{self.log_tail()}")
        return line.strip()

    def kill(self) -> float:
        """SIGKILL to every process at once; returns the moment, in monotonic seconds, once all are gone."""
        living = self._living()
        moment = time.monotonic()
        end_processes(living, signal.SIGKILL)
        self._forget()
        return moment

    def stop(self) -> None:
        """SIGTERM to the broker, and SIGKILL to whatever is left of it."""
        if self._process is None:
            return
        living = self._living()
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        end_processes(living, signal.SIGKILL)
        self._forget()

    def log_tail(self) -> str:
        """The end of what the broker wrote to standard error."""
        try:
            content = self._log.read_bytes()
        except FileNotFoundError:
            return ""
        return content[-LOG_TAIL_BYTES:].decode("utf-8", errors="replace")

    def _living(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def _forget(self) -> None:
        if self._process is not None:
            assert self._process.stdout is not None
            self._process.wait(GONE_TIMEOUT_S)
            self._process.stdout.close()
            self._process = None


def end_processes(
    processes: Iterable[psutil.Process], number: signal.Signals, pause: Callable[[float], None] = time.sleep
) -> None:
    """Send the signal to all of them and wait until they are gone; psutil refuses a pid given anew."""
    living = list(processes)
    for process in living:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while time.monotonic() < deadline and (living := [process for process in living if not _is_gone(process)]):
        pause(LOOK_EVERY_S)


def _is_gone(process: psutil.Process) -> bool:
    """A zombie is gone: it holds nothing any more, and may wait long for an init that collects it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def read_line(pipe: IO[bytes], timeout_s: float) -> str:
    """One line from a pipe nobody else reads; shorter when it ends or when the time is up."""
    deadline = time.monotonic() + timeout_s
    line = bytearray()
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(pipe.fileno(), 1) if readable else b""
        if not part:
            break
        line += part
    return line.decode("utf-8", errors="replace")
