"""The clients of a chaos run as processes: started, killed, replaced, and asked to end.

`python -m posthouse.testing.programs ROLE JSON` is such a process. SIGTERM asks it to end in order, SIGUSR1 tells
consumers to refuse nothing any more.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, final

import msgspec

from posthouse.testing import consuming, publishing
from posthouse.testing.broker import environment
from posthouse.testing.history import Writer
from posthouse.testing.shifts import Orders, Shift

END_S: Final = 90.0
SIGNALS: Final = (signal.SIGTERM, signal.SIGUSR1)

ROLES: Final[dict[str, Callable[[Shift, Writer], None]]] = {
    "publisher": publishing.publish_all,
    "consumer": consuming.consume_all,
    "server": consuming.serve,
    "caller": publishing.call_all,
}


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """A process that is started meanwhile gets these signals when it asks for them, and never dies of an early one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@final
class Program:
    """One client process. `name` is never used again in a run."""

    def __init__(self, role: str, orders: Orders, folder: Path) -> None:
        self.role = role
        self.orders = orders
        log = folder / f"{orders.name}.log"
        with log.open("ab") as errors, _held_back():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "posthouse.testing.programs", role, msgspec.json.encode(orders).decode()],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        self.log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and collected."""
        self._process.kill()
        self._process.wait(END_S)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait until it has ended after SIGTERM; SIGKILL if it does not. Returns the exit code."""
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return -int(signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """One client, until SIGTERM."""
    role, text = arguments
    shift = Shift(msgspec.json.decode(text, type=Orders))
    _on(signal.SIGTERM, shift.stopping)
    _on(signal.SIGUSR1, shift.gentle)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    history = Writer(Path(shift.orders.history))
    ROLES[role](shift, history)
    history.close()
    return 0


def _on(number: signal.Signals, event: threading.Event) -> None:
    def tell(*_: Any) -> None:
        event.set()

    signal.signal(number, tell)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
