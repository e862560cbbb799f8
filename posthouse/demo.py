"""The demo: every flight of one January through every pattern, while processes are killed under it.

It starts a broker on a temporary directory, one publisher process and twelve consumer processes, kills a
queue, an exchange, a consumer and then the whole broker, and audits what the consumers wrote down. It
promises exit code 0 only when every number is right, and leaves neither a process nor a directory behind,
however it ends.

Fails with: exit code 1 and the reasons; 130 after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, final

import posthouse
from posthouse.demo_audit import Ledger
from posthouse.demo_broker import BrokerProcess
from posthouse.demo_clients import Clients
from posthouse.demo_flights import EXCHANGES, FEEDS, FLIGHTS_IN_FILE, expected_of, read_flights
from posthouse.demo_kills import Killer
from posthouse.demo_screen import Screen, Totals
from posthouse.transport.errors import PosthouseError

STALL_S: Final = 45.0
"""So long without a new confirm or receipt, and what is missing counts as lost."""
SETTLE_S: Final = 15.0
TURN_S: Final = 0.05
CALL_TIMEOUT_S: Final = 30.0
PARENT_BYTES_MAX: Final = 35
"""Socket files live below it and their paths are limited; the temporary directory of macOS is longer."""
KILL_AT: Final = (0.15, 0.35, 0.5, 0.7)
"""After these shares of the flights."""
SLACK: Final = 0.1


@final
@dataclass(frozen=True)
class Settings:
    """`flights`: the first so many, None for all. `seconds`: spread publishing over that time, 0 as fast as
    it goes.
    """

    flights: int | None = None
    seconds: float = 0.0
    keep: bool = False


def run(*, flights: int | None = None, seconds: float = 0.0, keep: bool = False, screen: Screen | None = None) -> int:
    """Run the demo; returns the exit code. With `keep` the directory stays, and its name is printed."""
    settings = Settings(flights, seconds, keep)
    screen = screen or Screen()
    if flights is not None and not 1 <= flights <= FLIGHTS_IN_FILE:
        screen.say(f"flights is {flights}; the file has {FLIGHTS_IN_FILE:,}")
        return 2
    with _terminated_like_interrupted(), _directory(settings, screen) as directory:
        try:
            return _Run(settings, directory, screen).run()
        except KeyboardInterrupt:
            screen.say("interrupted; everything is stopped and removed")
            return 130
        except (PosthouseError, OSError) as error:
            screen.verdict([str(error)])
            return 1


@contextlib.contextmanager
def _directory(settings: Settings, screen: Screen) -> Iterator[Path]:
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > PARENT_BYTES_MAX:
        parent = "/tmp"
    directory = Path(tempfile.mkdtemp(prefix="posthouse-", dir=parent))
    try:
        yield directory
    finally:
        if settings.keep:
            screen.say(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM take the same orderly way out as Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@final
class _Run:
    """One run, from an empty directory to a verdict."""

    def __init__(self, settings: Settings, directory: Path, screen: Screen) -> None:
        self._settings = settings
        self._screen = screen
        self._flights = read_flights(settings.flights)
        self._ledgers = {feed.queue: Ledger(expected_of(feed, self._flights)) for feed in FEEDS}
        self._process = BrokerProcess(directory / "data", directory / "broker.log")
        self._clients = Clients(directory, self._ledgers)

    def run(self) -> int:
        try:
            with self._screen:
                self._screen.say(
                    f"[bold]posthouse[/]: {len(self._flights):,} flights, {len(FEEDS)} durable queues, every "
                    "publish synced; a queue, an exchange, a consumer and the broker are killed on the way"
                )
                self._process.start()
                with posthouse.connect(data=str(self._process.data), timeout_s=CALL_TIMEOUT_S) as broker:
                    _declare(broker)
                    killer = Killer(broker, self._process, self._clients, self._ledgers)
                    self._work(killer)
                    faults = self._audit(broker)
        finally:
            self._clients.end()
            self._process.stop()
        self._screen.conclude(self._ledgers, killer.kills(), self._totals())
        self._screen.verdict(faults)
        return 1 if faults else 0

    def _work(self, killer: Killer) -> None:
        """Until everything is confirmed and received, or nothing moves any more."""
        self._clients.start(self._settings.flights, self._settings.seconds)
        self._screen.expect(len(self._flights), self._ledgers)
        moments = [round(share * len(self._flights)) for share in KILL_AT]
        self._clients.allow(self._next_halt(moments))
        deadline = time.monotonic() + STALL_S
        while not self._is_finished(bool(moments)) and time.monotonic() < deadline:
            if self._clients.turn(TURN_S):
                deadline = time.monotonic() + STALL_S
            self._screen.show(self._clients.published, self._ledgers)
            if moments and self._clients.published >= moments[0] and killer.is_recovered:
                moments.pop(0)
                self._screen.say(killer.strike(self._clients.published))
                self._clients.allow(self._next_halt(moments))
            if self._clients.faults():
                return

    def _next_halt(self, moments: list[int]) -> int:
        """How far publishing may go now: a little beyond the next kill, so that this one strikes work under way."""
        count = len(self._flights)
        return min(count, moments[0] + round(SLACK * count)) if moments else count

    def _is_finished(self, is_kill_due: bool) -> bool:
        is_complete = all(ledger.is_complete for ledger in self._ledgers.values())
        return is_complete and self._clients.is_confirmed and not is_kill_due

    def _audit(self, broker: posthouse.Broker) -> list[str]:
        """Wait until the queues are empty, so that a message handed out again late is seen; then judge."""
        deadline = time.monotonic() + SETTLE_S
        left = _left(broker)
        while left and time.monotonic() < deadline and not self._clients.faults():
            self._clients.turn(TURN_S)
            left = _left(broker)
        faults = self._clients.faults()
        self._clients.finish()
        faults += [f"{queue}: {count:,} messages were never acked" for queue, count in left.items()]
        if not self._clients.is_confirmed:
            faults.append("the publisher was not told that everything is stored")
        for queue, ledger in self._ledgers.items():
            if not ledger.is_good:
                faults.append(
                    f"{queue}: {ledger.lost:,} lost, {ledger.unflagged_duplicates:,} again without a mark, "
                    f"{ledger.unexpected:,} astray, {ledger.damaged:,} damaged, "
                    f"{ledger.out_of_order:,} out of order"
                )
        return faults

    def _totals(self) -> Totals:
        clients = self._clients
        last_at = max(ledger.last_at for ledger in self._ledgers.values())
        return Totals(
            flights=len(self._flights),
            published=clients.messages_published,
            delivered=sum(ledger.received for ledger in self._ledgers.values()),
            confirmed_s=clients.confirmed_s,
            working_s=max(0.0, last_at - clients.first_publish_at),
        )


def _declare(broker: posthouse.Broker) -> None:
    for name, kind in EXCHANGES.items():
        # Most flights interest no queue of `notices`: that is no mistake of the publisher.
        broker.declare_exchange(name, kind, unrouted="drop")
    for feed in FEEDS:
        # The demo kills consumers as it goes; what they held is to come back however often that happens.
        broker.declare_queue(feed.queue, retry=posthouse.Retry(kind="off"))
        for rule in feed.rules:
            broker.bind(feed.exchange, feed.queue, rule.key, arguments=rule.arguments)


def _left(broker: posthouse.Broker) -> dict[str, int]:
    """What the queues have not seen acked yet."""
    infos = [broker.queue_info(feed.queue) for feed in FEEDS]
    return {info.name: info.ready + info.unacked for info in infos if info.ready + info.unacked}
