"""What a service manager is told: that the broker is ready, how it is, that it lives, that it stops.

The protocol of systemd's `sd_notify`: datagrams of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names, where
an `@` begins the name of an abstract one. With `WATCHDOG_USEC` the manager restarts a broker that has not said
`WATCHDOG=1` for so long; it is said from the supervisor's loop, so a broker whose supervisor hangs is restarted, and a
child that hangs is the supervisor's business. Sources: sd_notify(3), sd_watchdog_enabled(3).

Fails with: nothing. A manager that does not listen is no reason to stop.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final, Self, final

from posthouse.supervisor.effects import Event, EventKind

STATUS_S: Final = 1.0
"""Its line is said again at most this often, and only when it has changed."""

_GONE: Final = frozenset({EventKind.EXITED, EventKind.STOPPED})


@final
class ServiceManager:
    """The one that started the broker, if any. In the supervisor's process only."""

    def __init__(self, path: str, watchdog_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = "\0" + path[1:] if path.startswith("@") else path
        self._watchdog_s = watchdog_s / 2
        self._clock = clock
        self._next_watchdog = self._next_status = 0.0
        self._up: set[str] = set()
        self._quarantined: set[str] = set()
        self._is_stopping = False
        self._said = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """As the environment says. A watchdog that is meant for another process is none."""
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        micros = environment.get("WATCHDOG_USEC", "")
        watchdog_s = int(micros) / 1_000_000 if is_ours and micros.isdigit() else 0.0
        return cls(environment.get("NOTIFY_SOCKET", ""), watchdog_s)

    def ready(self) -> None:
        """The broker takes work."""
        self._send(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={self._status()}")

    def event(self, event: Event) -> None:
        """Something happened to an actor, or to the whole tree."""
        if event.kind is EventKind.READY:
            self._up.add(event.id)
            self._quarantined.discard(event.id)
        elif event.kind in _GONE:
            self._up.discard(event.id)
            if event.kind is EventKind.STOPPED:
                self._quarantined.discard(event.id)
        elif event.kind is EventKind.QUARANTINED:
            self._quarantined.add(event.id)
        elif event.kind is EventKind.STOPPING and not self._is_stopping:
            self._is_stopping = True
            self._send("STOPPING=1\nSTATUS=stopping")

    def scanned(self) -> None:
        """The supervisor's loop turns."""
        now = self._clock()
        if self._watchdog_s and now >= self._next_watchdog:
            # At half of the time, as sd_watchdog_enabled(3) advises.
            self._next_watchdog = now + self._watchdog_s
            self._send("WATCHDOG=1")
        if now >= self._next_status and not self._is_stopping and self._status() != self._said:
            self._next_status = now + STATUS_S
            self._said = self._status()
            self._send(f"STATUS={self._said}")

    def _status(self) -> str:
        bad = f"; quarantined: {', '.join(sorted(self._quarantined)[:3])}" if self._quarantined else ""
        more = f" and {len(self._quarantined) - 3} more" if len(self._quarantined) > 3 else ""
        return f"{len(self._up)} actors serve{bad}{more}"

    def _send(self, text: str) -> None:
        if not self._path:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as said:
            said.setblocking(False)
            said.sendto(text.encode(errors="replace"), self._path)
