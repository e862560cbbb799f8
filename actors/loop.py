"""The loop of an actor's process: sockets, clock and control channel around a cell.

Drain what is there, tell the cell, finish the round, send. Nothing in it waits but `wait`. It promises that the beacon
tells when the actor is busy, so that the supervisor sees a handler that never returns.

Fails with: DiskFault (the machine's; exit codes 20 and 21 tell the supervisor which kind), anything else ours
(traceback, exit code 1; the next life replays the journal).
"""

from __future__ import annotations

import gc
import time
from typing import Final, cast, final

from posthouse.actors import measures
from posthouse.actors.cell import OUTBOUND, Cell
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.child_spec import Life as ChildLife
from posthouse.transport.links import Route
from posthouse.transport.sockets import Router, Sent, Sockets

SERVED: Final = "in"
FRAMES_PER_ROUND_MAX: Final = 256
WAIT_MS_MAX: Final = 1_000


@final
class Loop:
    """Runs one cell until it is told to stop."""

    def __init__(self, cell: Cell, life: ChildLife, sockets: Sockets) -> None:
        self._cell = cell
        self._life = life
        self._sockets = sockets
        self._is_stopping = False
        assert sockets.served is not None, "an actor is served before its loop begins"
        self._routers: dict[str, Router] = {OUTBOUND: sockets.outbound, SERVED: sockets.served}

    def run(self) -> int:
        """Returns the exit code."""
        cell, life, sockets, figures = self._cell, self._life, self._sockets, self._cell.figures
        sockets.watch(life.control.fileno())
        life.beacon.busy(1)
        # A replay makes objects by the hundred thousand and no garbage: collecting meanwhile took three times as
        # long as the replay itself, and more the longer the queue.
        gc.disable()
        began_ns = time.monotonic_ns()
        cell.start(wall_ms(), monotonic_ms())
        gc.freeze()
        gc.enable()
        life.meter.set(measures.REPLAY, (time.monotonic_ns() - began_ns) // 1_000)
        self._send(cell.finish_round())
        life.control.send(control.Ready(sockets.endpoint))
        self._tell_supervisor()
        while not self._is_stopping:
            life.beacon.idle()
            sockets.wait(max(0, min(cell.next_wake_ms() - monotonic_ms(), WAIT_MS_MAX)))
            life.beacon.busy(2)
            # All that has come is here before the round has its time: nothing that it brings happened after that, so no
            # pause that is counted from it ends too early.
            frames = self._drain()
            began_ns = time.monotonic_ns()
            cell.begin(wall_ms(), began_ns // 1_000_000, began_ns // 1_000)
            self._take(frames)
            self._send(cell.finish_round())
            self._tell_supervisor()
            figures.rounds += 1
            figures.busy_ns += time.monotonic_ns() - began_ns
        return 0

    def _drain(self) -> list[tuple[Route, bytes]]:
        return [
            ((socket, name), frame)
            for socket, router in self._routers.items()
            for name, frame in router.receive(FRAMES_PER_ROUND_MAX)
        ]

    def _take(self, frames: list[tuple[Route, bytes]]) -> None:
        if self._sockets.is_readable(self._life.control.fileno()):
            self._notice()
        for route, frame in frames:
            self._cell.frame(route, frame)

    def _notice(self) -> None:
        for message in self._life.control.receive():
            if isinstance(message, control.Stop):
                self._is_stopping = True
            else:
                if isinstance(message, control.Down):
                    self._forget(message.id)
                self._cell.notice(message)
                self._connect()

    def _connect(self) -> None:
        for route, endpoint in self._cell.to_connect:
            _, name = cast("tuple[str, bytes]", route)
            self._sockets.outbound.connect_life(name.decode().rpartition("/")[0], name, endpoint)
        self._cell.to_connect.clear()

    def _forget(self, actor_id: str) -> None:
        outbound = self._sockets.outbound
        for name in outbound.names_of(actor_id):
            outbound.disconnect(name)

    def _send(self, frames: list[tuple[Route, bytes]]) -> None:
        routers = self._routers
        gone: set[Route] = set()
        for route, frame in frames:
            socket, name = cast("tuple[str, bytes]", route)  # Only this shell makes routes and takes them apart.
            if route in gone:
                continue
            sent = routers[socket].send(name, frame)
            if sent is Sent.GONE:
                gone.add(route)
            elif sent is Sent.FULL:
                self._life.meter.add(measures.FRAMES_UNSENT)
        for route in gone:
            self._cell.unreachable(route)

    def _tell_supervisor(self) -> None:
        for message in self._cell.to_supervisor:
            self._life.control.send(message)
        self._cell.to_supervisor.clear()


def wall_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def monotonic_us() -> int:
    """Microseconds of a clock that never steps."""
    return time.monotonic_ns() // 1_000


def monotonic_ms() -> int:
    """Milliseconds of a clock that never steps."""
    return time.monotonic_ns() // 1_000_000
