"""One chaos run: clients of all patterns, faults by a seed, then healed, drained, counted and judged.

It promises to leave no process behind, whatever happens to it. Fails with: nothing for what it finds (that is the
verdict's), AssertionError when the broker cannot be started at all.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import posthouse
from posthouse.errors import PosthouseError
from posthouse.testing.agreement import disagreements
from posthouse.testing.broker import BrokerProcess
from posthouse.testing.checkers import Checker, Verdict
from posthouse.testing.history import Fault, Letter, Writer, now_ns, read_all
from posthouse.testing.meters import Meters
from posthouse.testing.nemesis import Blow, Nemesis
from posthouse.testing.plan import BINDINGS, CALLS, LANES, LATE, LATE_BINDING, QUEUES, WORK, declare
from posthouse.testing.programs import Program
from posthouse.testing.shifts import Orders
from posthouse.testing.timeline import Timeline
from posthouse.testing.traces import sockets_of, traces_of

DRAIN_S: Final = 90.0
STEP_S: Final = 0.05
METER_EVERY_S: Final = 5.0
ASK_S: Final = 3.0
"""The run's own questions are asked again rather than waited for, since the clock of the faults goes on."""

DOOR_EVERY: Final = 2
"""Every second client comes over TCP, through the door; the others go to each actor by themselves."""

CALL_RATE: Final = 20.0
CONSUMERS: Final = (("fan-a", "top-eu", "dir"), ("fan-b", "top-all", "red"), ("due", LATE), (WORK,), (WORK,))


@final
@dataclass(frozen=True)
class Settings:
    """`rate`: messages per second over all publishers. `kills_per_minute`: faults of all kinds. Times in seconds."""

    seconds: float = 60.0
    seed: int = 1
    rate: float = 1_000.0
    kills_per_minute: float = 60.0
    publishers: int = 2
    size: int = 200


@final
@dataclass
class Outcome:
    """Everything the report tells. `began_ns` and `ended_ns` are those of the time with faults."""

    settings: Settings
    verdict: Verdict
    blows: list[Blow]
    kills: int
    began_ns: int
    ended_ns: int
    drained_s: float
    meters: Meters
    timeline: Timeline


def run(settings: Settings, place: Path, say: Callable[[str], None], is_ended: Callable[[], bool]) -> Outcome:
    """From an empty directory to the verdict. `is_ended` may end the faults early; the rest is done all the same."""
    chaos = _Chaos(settings, place, say)
    try:
        return chaos.to_the_end(is_ended)
    finally:
        chaos.clean_up()


@final
class _Chaos:
    def __init__(self, settings: Settings, place: Path, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._place = place
        self._folder = place / "history"
        self._folder.mkdir()
        self._process = BrokerProcess(place)
        self._history = Writer(self._folder / "chaos.history")
        self._clients: list[Program] = []
        self._count = 0
        self._publishers = 0
        self._meters = Meters()
        self._failed: list[str] = []

    def clean_up(self) -> None:
        """Nothing of the run is alive after this."""
        for client in self._clients:
            client.kill()
        self._process.clean_up()
        self._history.close()

    def to_the_end(self, is_ended: Callable[[], bool]) -> Outcome:
        settings = self._settings
        self._process.start()
        with posthouse.connect(self._process.ipc, timeout_s=ASK_S) as broker:
            declare(broker)
            self._start_clients()
            nemesis = Nemesis(self._process, self._clients, self._replace, self._history, random.Random(settings.seed))
            began_ns = now_ns()
            self._do_harm(nemesis, broker, is_ended)
            ended_ns = now_ns()
            self._say("healed: no more faults; publishers finish, consumers empty everything")
            nemesis.heal()
            drained_s = self._drain(broker)
            checker = Checker()
            self._look(broker, checker.verdict)
        self._end_clients("consumer", "server", "caller")
        self._stop_broker(checker.verdict)
        self._say("reading the history")
        timeline = Timeline(began_ns, ended_ns)
        for record in read_all(self._folder):
            checker.take(record)
            timeline.take(record)
        timeline.finish()
        verdict = checker.finish()
        self._judge_calls(verdict)
        for text in self._failed:
            verdict.blame("I18", text)
        for text in self._meters.growth():
            verdict.blame("I20", text)
        return Outcome(
            settings,
            verdict,
            nemesis.blows,
            nemesis.kills,
            began_ns,
            ended_ns,
            drained_s,
            self._meters,
            timeline,
        )

    # ---- clients ----

    def _start_clients(self) -> None:
        for _ in range(self._settings.publishers):
            self._add("publisher")
        for queues in CONSUMERS:
            self._add("consumer", list(queues))
        self._add("server")
        self._add("caller")

    def _add(self, role: str, queues: list[str] | None = None) -> Program:
        self._count += 1
        name = f"{role}-{self._count}"
        number = 0
        rate = CALL_RATE
        if role == "publisher":
            self._publishers += 1
            number = self._publishers
            rate = self._settings.rate / self._settings.publishers
        orders = Orders(
            name=name,
            address=self._process.tcp if self._count % DOOR_EVERY == 0 else self._process.ipc,
            history=str(self._folder / f"{name}.history"),
            number=number,
            lanes=list(range(len(LANES))),
            queues=queues or [],
            rate=rate,
            size=self._settings.size,
        )
        program = Program(role, orders, self._folder)
        self._clients.append(program)
        return program

    def _replace(self, victim: Program) -> None:
        self._clients.remove(victim)
        self._add(victim.role, victim.orders.queues)

    def _end_clients(self, *roles: str) -> None:
        """Ask all of them, then wait for each."""
        ending = [client for client in self._clients if client.role in roles]
        for client in ending:
            if not client.is_running:
                self._failed.append(f"{client.orders.name} had ended by itself: {client.log.read_text()[-500:]}")
            else:
                client.send(signal.SIGTERM)
        for client in ending:
            if (code := client.end()) != 0:
                self._failed.append(f"{client.orders.name} ended with {code}: {client.log.read_text()[-500:]}")
            self._clients.remove(client)

    # ---- the phases ----

    def _do_harm(
        self,
        nemesis: Nemesis,
        broker: posthouse.Broker,
        is_ended: Callable[[], bool],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Until the time is up. A third of it in, the late subscriber comes."""
        settings = self._settings
        began_s = time.monotonic()
        next_blow_s = began_s + 1.0
        next_meter_s = began_s
        is_late_bound = False
        while (now_s := time.monotonic()) < began_s + settings.seconds and not is_ended():
            nemesis.tend(now_s)
            if now_s >= next_meter_s:
                next_meter_s = now_s + METER_EVERY_S
                self._meters.sample(self._process)
                self._tell_progress(now_s - began_s, nemesis)
            if now_s >= next_blow_s and settings.kills_per_minute > 0:
                next_blow_s = now_s + 60.0 / settings.kills_per_minute
                nemesis.strike(now_s)
            if not is_late_bound and now_s - began_s > settings.seconds / 3:
                is_late_bound = self._bind_late(broker)
            pause(STEP_S)
        nemesis.tend(time.monotonic())

    def _tell_progress(self, passed_s: float, nemesis: Nemesis) -> None:
        left_s = self._settings.seconds - passed_s
        self._say(f"{passed_s:6.0f} s: {nemesis.kills} kills, {len(nemesis.blows)} events, {left_s:.0f} s to go")

    def _bind_late(self, broker: posthouse.Broker) -> bool:
        exchange, queue, key, arguments = LATE_BINDING
        try:
            broker.bind(exchange, queue, key, arguments=arguments)
        except PosthouseError:
            return False
        self._history.write(Fault(now_ns(), "bind", queue))
        return True

    def _drain(self, broker: posthouse.Broker, pause: Callable[[float], None] = time.sleep) -> float:
        """Publishers flush and end; consumers refuse nothing; dead letters go back; until nothing is left anywhere."""
        began_s = time.monotonic()
        for client in self._clients:
            if client.role == "consumer":
                client.send(signal.SIGUSR1)
        _retried(lambda: self._bind_late(broker) or None)
        self._end_clients("publisher")
        seen: set[int] = set()
        left: dict[str, int] = {"not looked": 1}
        while left and time.monotonic() < began_s + DRAIN_S:
            pause(0.2)
            with contextlib.suppress(PosthouseError):
                self._send_back(broker, seen)
                left = _left_in(broker)
        if left:
            self._failed.append(f"not drained {DRAIN_S:.0f} s after the last fault: {left}")
        return time.monotonic() - began_s

    def _send_back(self, broker: posthouse.Broker, seen: set[int]) -> None:
        letters = broker.dead_letters.list(limit=1_000)
        for letter in letters:
            if letter.id not in seen:
                seen.add(letter.id)
                publisher, number = (int(part) for part in (letter.message_id or "0-0").split("-"))
                self._history.write(Letter(now_ns(), letter.reason, publisher, number, letter.attempt))
        if letters:
            broker.dead_letters.redrive(queue=WORK)

    def _look(self, broker: posthouse.Broker, verdict: Verdict) -> None:
        """At what is there now that all is quiet: topology, and that everybody is up."""
        wanted = {name for name in (*QUEUES, CALLS)}
        found = {info.name for info in broker.queues()}
        if not wanted <= found:
            verdict.blame("I17", f"queues are missing: {sorted(wanted - found)}")
        bound = {(one.source, one.destination, one.key) for one in broker.bindings()}
        missing = [one[:3] for one in (*BINDINGS, LATE_BINDING) if one[:3] not in bound]
        if missing:
            verdict.blame("I17", f"bindings are missing: {missing}")
        not_up = [(node["id"], node["state"]) for node in broker.tree() if node["state"] != "up"]
        if not_up:
            verdict.blame("I18", f"not up at the end: {not_up}")
        for text in self._disagreements(broker, verdict):
            verdict.blame("I24", text)

    def _disagreements(self, broker: posthouse.Broker, verdict: Verdict) -> list[str]:
        """Figures are some seconds old at most, so what does not agree must do so soon."""
        found: list[str] = []

        def agree() -> bool | None:
            queues = [info for info in broker.queues() if info.name != CALLS]
            letters = broker.dead_letters.status()
            found[:] = disagreements(verdict.came, queues, letters, broker.monitor.overview().actors)
            return None if found else True

        _retried(agree)
        return found

    def _stop_broker(self, verdict: Verdict) -> None:
        code = self._process.stop()
        if code != 0:
            verdict.blame("I19", f"the broker stopped with {code}")
        left = traces_of(self._process.data, self._process.seen) + sockets_of(self._process.data)
        if left:
            verdict.blame("I19", f"it left {left}")

    def _judge_calls(self, verdict: Verdict) -> None:
        if not verdict.calls["ok"]:
            verdict.blame("I18", f"no call was answered: {dict(verdict.calls)}")


def _left_in(broker: posthouse.Broker) -> dict[str, int]:
    """What waits anywhere, by place; the queue of the calls aside."""
    left = {info.name: info.ready + info.unacked for info in broker.queues() if info.name != CALLS}
    left["delayed"] = broker.delayed.info().waiting
    left["dead"] = len(broker.dead_letters.list(limit=1))
    left |= {f"held by {info.name}": info.held for info in broker.exchanges()}
    return {place: count for place, count in left.items() if count}


def _retried(act: Callable[[], Any], pause: Callable[[float], None] = time.sleep) -> Any:
    for _ in range(100):
        with contextlib.suppress(PosthouseError):
            if (found := act()) is not None:
                return found
        pause(0.1)
    return None
