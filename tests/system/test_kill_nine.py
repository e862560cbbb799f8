"""A hundred kills under load: whatever dies when, nothing confirmed is lost and nothing is passed off as new.

Three publishers, two over ipc and one through the door, publish to an exchange with two queues; each queue has one
consumer process. A seeded schedule kills queues, the exchange, the registry, the door, consumers, and the supervisor
and with it everything. A failure prints the seed; POSTHOUSE_KILL_SEED repeats its schedule.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

import pytest

import posthouse
from posthouse.errors import OutcomeUnknown, PublishError
from posthouse.testing.broker import BrokerProcess, end, start_python
from posthouse.testing.waiting import eventually
from tests.support.audit import Audit, body_of

KILLS: Final = 100
PAUSE_S_MAX: Final = 0.15
QUEUES: Final = ("left", "right")
PREFETCH: Final = 500
BURST: Final = 100
ROUND: Final = (
    ["queue:left"] * 3
    + ["queue:right"] * 3
    + ["exchange:all"] * 3
    + ["door"] * 3
    + ["registry"] * 2
    + ["consumer left"] * 2
    + ["consumer right"] * 2
    + ["supervisor"] * 2
)
"""What dies in twenty kills, in an order that the seed decides."""

CONSUMER: Final = """
import os, sys
import posthouse
from tests.support.audit import entry_of

address, queue, prefetch, path = sys.argv[1:]
book = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
broker = posthouse.connect(address, timeout_s=60.0)
with broker.consume(queue, prefetch=int(prefetch)) as messages:
    while True:
        taken = messages.batch(200, timeout_s=60.0)
        # First the notebook, then the ack: what was acked and is not written down would look lost.
        os.write(book, b"".join(entry_of(message.body, message.attempt) for message in taken))
        for message in taken:
            message.ack()
"""


@final
class Publisher:
    """Publishes bursts, each confirmed before the next, until it is told to stop."""

    def __init__(self, stream: int, broker: posthouse.Broker, audit: Audit) -> None:
        self.unknown = 0
        self.error: BaseException | None = None
        self._stream = stream
        self._broker = broker
        self._audit = audit
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"publisher {stream}")
        self._thread.start()

    def stop(self) -> None:
        """Finish the burst and end; raises what went wrong."""
        self._is_stopping.set()
        self._thread.join(60.0)
        assert not self._thread.is_alive(), f"publisher {self._stream} does not end"
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            self._publish()
        except (posthouse.PosthouseError, AssertionError) as error:
            self.error = error

    def _publish(self) -> None:
        number = 0
        out = self._broker.publisher("all")
        while not self._is_stopping.is_set():
            for number in range(number + 1, number + 1 + BURST):  # noqa: B020 - counts on from burst to burst
                self._audit.attempt(self._stream, number)
                out.send(body_of(self._stream, number))
            self._confirm(out)
            self._audit.confirm(self._stream, number)
        out.close()

    def _confirm(self, out: posthouse.Publisher) -> None:
        """A deadline that passes is no failure: the client goes on sending what is unconfirmed."""
        deadline = time.monotonic() + 200.0
        while time.monotonic() < deadline:
            try:
                out.flush(timeout_s=5.0)
                return
            except PublishError as error:
                if error.refused:
                    raise
                self.unknown += 1
        raise OutcomeUnknown(f"publisher {self._stream} waited 200 s for its confirms")


@final
class Consumers:
    """One consumer process per queue at any time, each with a notebook of its own."""

    def __init__(self, place: Path, addresses: dict[str, str]) -> None:
        self.books: dict[str, list[Path]] = {queue: [] for queue in addresses}
        self._place = place
        self._addresses = addresses
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, queue: str) -> None:
        book = self._place / f"{queue}-{len(self.books[queue])}"
        self.books[queue].append(book)
        book.touch()
        self._processes[queue] = start_python(CONSUMER, self._addresses[queue], queue, str(PREFETCH), str(book))

    def kill(self, queue: str) -> None:
        """SIGKILL; a successor takes over."""
        end([self._processes[queue]])
        self.start(queue)

    def read(self, queue: str) -> list[bytes]:
        return [book.read_bytes() for book in self.books[queue]]

    def entries(self) -> int:
        return sum(book.stat().st_size for books in self.books.values() for book in books)

    def end(self) -> None:
        end(list(self._processes.values()))


@pytest.fixture
def consumers(process: BrokerProcess, short_path: Path) -> Iterator[Consumers]:
    broker = process.connect()
    broker.declare_exchange("all", "fanout")
    for queue in QUEUES:
        # Consumers are killed so often that five attempts would not be enough for all.
        broker.declare_queue(queue, retry=posthouse.Retry(kind="off"))
        broker.bind("all", queue)
    consumers = Consumers(short_path, {"left": process.ipc, "right": process.tcp})
    for queue in QUEUES:
        consumers.start(queue)
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(consumers.end)
        yield consumers


def strike(target: str, process: BrokerProcess, consumers: Consumers) -> None:
    """Kill it; whatever it is, it is on its way back when this returns."""
    if target == "supervisor":
        process.restart()
    elif target.startswith("consumer "):
        consumers.kill(target.removeprefix("consumer "))
    else:
        process.kill(target)


def test_a_hundred_kills_lose_nothing_and_invent_nothing(process: BrokerProcess, consumers: Consumers) -> None:
    seed = int(os.environ.get("POSTHOUSE_KILL_SEED") or time.time_ns() % 1_000_000)
    print(f"POSTHOUSE_KILL_SEED={seed}")
    source = random.Random(seed)
    audit = Audit()
    pause = threading.Event()
    publishers = [Publisher(stream, process.connect(door=stream == 3, timeout_s=60.0), audit) for stream in (1, 2, 3)]
    eventually(lambda: audit.confirmed >= 3 * BURST, what="the load flows before the first kill")
    kills: dict[str, int] = {}
    hits = 0
    schedule: list[str] = []
    try:
        while sum(kills.values()) < KILLS:
            schedule = schedule or source.sample(ROUND, len(ROUND))
            target = schedule.pop()
            pause.wait(source.random() * PAUSE_S_MAX)
            hits += audit.unconfirmed > 0 or audit.missing(consumers.read("left")) > 0
            strike(target, process, consumers)
            kills[target] = kills.get(target, 0) + 1
    finally:
        for publisher in publishers:
            publisher.stop()
    assert audit.unconfirmed == 0
    eventually(lambda: not any(audit.missing(consumers.read(queue)) for queue in QUEUES), 60.0, "all is delivered")
    print(f"{kills}, {hits} of them hit, {audit.confirmed} messages confirmed")
    print(f"{sum(publisher.unknown for publisher in publishers)} flushes passed their deadline")
    faults = [fault for queue in QUEUES for fault in audit.faults(queue, consumers.read(queue), PREFETCH)]
    assert faults == [], f"seed {seed}: {len(faults)} faults, {faults[:10]}"
    assert sum(kills.values()) == KILLS
    assert hits > KILLS // 2, f"only {hits} of {KILLS} kills hit anything in flight"
    assert audit.confirmed > 1_000
    standing = {"registry", "dead-letter", "delay", "door", "monitor", "exchange:", "exchange:all"}
    standing |= {"exchange:posthouse.events"}
    expected = {f"queue:{queue}" for queue in QUEUES} | standing
    eventually(lambda: {node["id"] for node in process.connect().tree() if node["state"] == "up"} == expected)
