"""One run of the demo, from an empty directory to a verdict: who comes when, what is waited for, what is judged.

Fails with: the client's errors; the demo ends with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, final

import posthouse
from posthouse.demo_audit import Ledger
from posthouse.demo_broker import BrokerProcess
from posthouse.demo_clients import Clients
from posthouse.demo_feeds import DELAYED, FEEDS, LATECOMER, LEDGERS, REDRIVEN, Feed, expected_of
from posthouse.demo_flights import read_flights
from posthouse.demo_kills import Killer
from posthouse.demo_lateness import lateness_by_phase
from posthouse.demo_repair import Repair
from posthouse.demo_screen import Findings, Screen, Totals
from posthouse.demo_topology import declare, declare_feed, left

STALL_S: Final = 45.0
"""So long without a new confirm or receipt, and what is missing counts as lost."""
QUIET_S: Final = 2.0
"""So long without anything, once all that may be published is: then nothing shows that what was killed lives again,
as with a handful of flights."""
SETTLE_S: Final = 15.0
TURN_S: Final = 0.05
CALL_TIMEOUT_S: Final = 30.0
KILL_AT: Final = (0.15, 0.35, 0.5, 0.7)
"""After these shares of the flights."""
SUBSCRIBE_AT: Final = 0.85
"""After this share the late subscriber comes."""
SLACK: Final = 0.1


@final
class _Moment(NamedTuple):
    """Something that happens when so many flights are published; `act` returns a line to print."""

    at_flight: int
    act: Callable[[int], str]


@final
class Run:
    """`flights`: the first so many, None for all; `seconds`: publishing is spread over that time."""

    def __init__(self, directory: Path, screen: Screen, flights: int | None, seconds: float) -> None:
        self._screen = screen
        self._limit = flights
        self._seconds = seconds
        self._flights = read_flights(flights)
        self._ledgers = {
            feed.name: Ledger(expected_of(feed, self._flights), is_ordered=feed.is_ordered) for feed in LEDGERS
        }
        self._process = BrokerProcess(directory / "data", directory / "broker.log")
        self._clients = Clients(directory, self._ledgers)
        self._declared: list[Feed] = []

    def run(self) -> int:
        """Returns the exit code."""
        try:
            with self._screen:
                self._screen.say(
                    f"[bold]posthouse[/]: {len(self._flights):,} flights, {len(FEEDS)} durable queues, every "
                    "publish synced; a queue, an exchange, a consumer and the broker are killed on the way"
                )
                self._process.start()
                with posthouse.connect(data=str(self._process.data), timeout_s=CALL_TIMEOUT_S) as broker:
                    findings, faults = self._tell(broker)
        finally:
            self._clients.end()
            self._process.stop()
        self._screen.conclude(self._ledgers, findings, self._totals())
        self._screen.verdict(faults)
        return 1 if faults else 0

    def _tell(self, broker: posthouse.Broker) -> tuple[Findings, list[str]]:
        """The whole story; what was found, and what is wrong."""
        self._declared = declare(broker)
        killer = Killer(broker, self._process, self._clients, self._ledgers)
        repair = Repair(broker, self._clients, self._ledgers, self._screen, self._flights)
        self._clients.start(self._declared, self._limit, self._seconds)
        self._screen.expect(len(self._flights), self._ledgers)
        faults = repair.run() if self._work(broker, killer) else []
        self._screen.show(self._clients.published, self._ledgers)
        faults += self._audit(broker)
        kills = killer.kills()
        outages = [
            (kill.killed_at, kill.killed_at + (kill.delivering_ms or 0.0) / 1000) for kill in kills if kill.is_of_all
        ]
        times = lateness_by_phase(self._ledgers[DELAYED.name].lateness, outages, self._clients.confirmed_at)
        return Findings(kills, repair.causes, times), faults

    def _work(self, broker: posthouse.Broker, killer: Killer) -> bool:
        """Until everything is confirmed and received, or nothing moves any more; returns whether it is complete."""
        count = len(self._flights)
        moments = [_Moment(round(share * count), killer.strike) for share in KILL_AT]
        moments.append(_Moment(round(SUBSCRIBE_AT * count), lambda at_flight: self._subscribe(broker, at_flight)))
        self._clients.allow(self._next_halt(moments))
        moved_at = time.monotonic()
        while not (is_finished := not moments and self._is_complete()) and time.monotonic() < moved_at + STALL_S:
            if self._clients.turn(TURN_S):
                moved_at = time.monotonic()
            self._screen.show(self._clients.published, self._ledgers)
            if moments and self._clients.published >= moments[0].at_flight:
                is_quiet = self._clients.published >= self._next_halt(moments) and _is_over(moved_at + QUIET_S)
                if killer.is_recovered or is_quiet:
                    self._screen.say(moments.pop(0).act(self._clients.published))
                    self._clients.allow(self._next_halt(moments))
                    moved_at = time.monotonic()
            if self._clients.faults():
                return False
        return is_finished

    def _next_halt(self, moments: list[_Moment]) -> int:
        """How far publishing may go now: a little beyond the next moment, so that a kill strikes work under way."""
        count = len(self._flights)
        return min(count, moments[0].at_flight + round(SLACK * count)) if moments else count

    def _is_complete(self) -> bool:
        """All that comes without a repair."""
        ledgers = (ledger for name, ledger in self._ledgers.items() if name != REDRIVEN.name)
        return self._clients.is_confirmed and all(ledger.is_complete for ledger in ledgers)

    def _subscribe(self, broker: posthouse.Broker, at_flight: int) -> str:
        """The late subscriber comes; returns a line to print."""
        held = broker.held.status(LATECOMER.exchange).messages
        declare_feed(broker, LATECOMER)
        self._declared.append(LATECOMER)
        self._clients.add_consumer(LATECOMER)
        return f"[green]subscriber[/] {LATECOMER.queue} comes at flight {at_flight:,}: {held:,} were held for it"

    def _audit(self, broker: posthouse.Broker) -> list[str]:
        """Wait until nothing is left, so that a message handed out again late is seen; then judge."""
        deadline = time.monotonic() + SETTLE_S
        remaining = left(broker, self._declared)
        while remaining and time.monotonic() < deadline and not self._clients.faults():
            self._clients.turn(TURN_S)
            remaining = left(broker, self._declared)
        faults = self._clients.faults()
        self._clients.finish()
        faults += [f"{count:,} messages are left in {place}" for place, count in remaining.items()]
        if not self._clients.is_confirmed:
            faults.append("the publisher was not told that everything is stored")
        for name, ledger in self._ledgers.items():
            if not ledger.is_good:
                faults.append(
                    f"{name}: {ledger.lost:,} lost, {ledger.unflagged_duplicates:,} again without a mark, "
                    f"{ledger.unexpected:,} astray, {ledger.damaged:,} damaged, "
                    f"{ledger.out_of_order:,} out of order, {ledger.early:,} before their time"
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


def _is_over(moment: float) -> bool:
    return time.monotonic() > moment
