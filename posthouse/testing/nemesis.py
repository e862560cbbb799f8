"""What goes wrong in a chaos run, when and to whom: chosen by one seed, carried out on real processes, written down.

It waits for nothing but the next blow: a broker that is dead as a whole is started again by `tend`.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import psutil

from posthouse.testing.broker import BrokerProcess
from posthouse.testing.failpoints import Action, Failpoint, Point
from posthouse.testing.history import Fault, Writer, now_ns
from posthouse.testing.programs import Program

PAUSE_S: Final = (0.05, 3.0)
"""How long somebody is stopped: shorter than what the supervisor takes for a hang, and longer than most deadlines."""

HANG_S: Final = 20.0
"""What is stopped for so long, and has something to do, is killed by the supervisor long before."""

_ACTORS: Final = (
    "queue:*",
    "queue:*",
    "queue:*",
    "exchange:*",
    "exchange:*",
    "delay",
    "dead-letter",
    "registry",
    "door",
)

_POINTS: Final = (
    Point.WRITE_BEFORE, Point.WRITE_TORN, Point.WRITE_AFTER, Point.SYNC_BEFORE, Point.SYNC_AFTER, Point.COMMITTED,
    Point.SENT_ONE, Point.SENT_ALL, Point.RECEIVED, Point.REPLAYED, Point.OPENED, Point.RENAME_BEFORE,
    Point.RENAME_AFTER, Point.UNLINK_BEFORE, Point.DIRECTORY_BEFORE,
)  # fmt: skip


@final
@dataclass
class Blow:
    """What one turn of the nemesis did, in words for the report."""

    at_ns: int
    kind: str
    target: str


@final
class Nemesis:
    """Strikes when told to. `clients`: the programs that run now; `replace` puts a new one in a killed one's place."""

    def __init__(
        self,
        process: BrokerProcess,
        clients: list[Program],
        replace: Callable[[Program], None],
        history: Writer,
        source: random.Random,
    ) -> None:
        self.blows: list[Blow] = []
        self._process = process
        self._clients = clients
        self._replace = replace
        self._history = history
        self._random = source
        self._stopped: list[tuple[float, int, str]] = []
        self._failpoints: list[Failpoint] = []

    def strike(self, now_s: float) -> None:
        """One fault. `now_s` is on the clock that `tend` gets."""
        choice = self._random.random()
        if choice < 0.62:
            self._kill_actor()
        elif choice < 0.78:
            self._stop_actor(now_s, self._random.uniform(*PAUSE_S))
        elif choice < 0.80:
            self._stop_actor(now_s, HANG_S)
        elif choice < 0.92:
            self._kill_client()
        elif choice < 0.96:
            self._note("kill", "supervisor")
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                psutil.Process(self._process.pid).kill()
        else:
            self._note("kill", "everything")
            self._process.stop_the_world()

    def tend(self, now_s: float) -> None:
        """Continue who was stopped long enough, and start the broker again when it is dead."""
        for stopped in [one for one in self._stopped if one[0] <= now_s]:
            self._stopped.remove(stopped)
            self._continue(stopped[1], stopped[2])
        for _, pid, name in self._stopped:
            if psutil.pid_exists(pid):
                self._history.write(Fault(now_ns(), "hung", name))
        if not self._process.is_running:
            self.restart()

    def heal(self) -> None:
        """No more faults: everybody continues, and the broker runs."""
        self.note_failpoints()
        self._failpoints = []
        self._process.set_failpoints([])
        for _, pid, name in self._stopped:
            self._continue(pid, name)
        while not self._process.is_running:
            self._start()
        self._note("phase", "healed")

    def restart(self) -> None:
        """Start the broker, with failpoints that wait for their moment, until it is up."""
        while not self._process.is_running:
            self.note_failpoints()
            self._failpoints = self._some_failpoints()
            self._process.set_failpoints(self._failpoints)
            self._start()

    def _start(self) -> None:
        self._process.collect()
        self._note("restart", "broker")
        with contextlib.suppress(AssertionError):  # It died before it was ready, of a failpoint.
            self._process.start()
        self._history.write(Fault(now_ns(), "up", "broker"))

    def note_failpoints(self) -> None:
        """Those that struck since the broker was started last."""
        for number, lives in self._process.struck().items():
            failpoint = self._failpoints[number]
            kind = "failpoint" if failpoint.action is Action.KILL else "delay"
            for _ in range(lives):
                self._note(kind, f"{failpoint.actor} {failpoint.point}")

    @property
    def kills(self) -> int:
        """How often something was killed, by a signal or at a failpoint. Everything at once counts once."""
        return sum(1 for blow in self.blows if blow.kind in ("kill", "failpoint"))

    def _kill_actor(self) -> None:
        target = self._choose()
        if target is not None:
            self._note("kill", target[0])
            with contextlib.suppress(psutil.Error):
                psutil.Process(target[1]).kill()

    def _stop_actor(self, now_s: float, for_s: float) -> None:
        target = self._choose()
        if target is None:
            return
        self._note("hang" if for_s == HANG_S else "stop", target[0])
        with contextlib.suppress(psutil.Error):
            psutil.Process(target[1]).suspend()
            self._stopped.append((now_s + for_s, target[1], target[0]))

    def _continue(self, pid: int, name: str) -> None:
        with contextlib.suppress(psutil.Error):
            if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                psutil.Process(pid).resume()
                self._note("cont", name)

    def _kill_client(self) -> None:
        victim = self._random.choice(self._clients)
        self._note("kill", f"client:{victim.orders.name}")
        victim.kill()
        self._replace(victim)

    def _choose(self) -> tuple[str, int] | None:
        """An actor that is up, its kind first."""
        if not self._process.is_running:
            return None
        pids = self._process.pids()
        pattern = self._random.choice(_ACTORS)
        names = [name for name in self._process.actors(pattern) if name in pids]
        if not names:
            return None
        name = self._random.choice(names)
        return name, pids[name]

    def _some_failpoints(self) -> list[Failpoint]:
        return [
            Failpoint(
                point=self._random.choice(_POINTS),
                action=self._random.choice([Action.KILL, Action.KILL, Action.KILL, Action.DELAY]),
                actor=self._random.choice(_ACTORS),
                hit=self._random.choice([1, 2, 10, 100]),
            )
            for _ in range(3)
        ]

    def _note(self, kind: str, target: str) -> None:
        at_ns = now_ns()
        self.blows.append(Blow(at_ns, kind, target))
        self._history.write(Fault(at_ns, kind, target))
