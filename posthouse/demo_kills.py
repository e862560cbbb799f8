"""The kills of the demo: who is killed when, and how long it took until work went on.

Up again is what the broker's supervision tree says of the next life; delivering again is the first message
that a consumer wrote down after that moment, so it includes the clients' way back.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import posthouse
from posthouse.demo_audit import Ledger
from posthouse.demo_broker import BrokerProcess
from posthouse.demo_clients import Clients
from posthouse.demo_feeds import FEEDS, LATECOMER, feed_of
from posthouse.demo_tables import Kill
from posthouse.transport.errors import OutcomeUnknown, Unavailable
from posthouse.transport.names import actor_of_exchange, actor_of_queue

QUEUE: Final = "board"
EXCHANGE: Final = "flights"
WORK_QUEUE: Final = "connection-risk"
UP_TIMEOUT_S: Final = 30.0
LOOK_EVERY_S: Final = 0.005


@final
@dataclass(frozen=True)
class _Strike:
    """What was killed, and where its first sign of life will be read. `up_at` is in monotonic seconds."""

    what: str
    at_flight: int
    killed_at: float
    up_at: float | None
    queues: tuple[str, ...]
    consumer: str | None = None
    meanwhile: str = ""


@final
class Killer:
    """Kills one thing after the other: a queue, an exchange, a consumer, the broker."""

    def __init__(
        self,
        broker: posthouse.Broker,
        process: BrokerProcess,
        clients: Clients,
        ledgers: Mapping[str, Ledger],
    ) -> None:
        self._broker = broker
        self._process = process
        self._clients = clients
        self._ledgers = ledgers
        self._strikes: list[_Strike] = []
        self._plan: list[Callable[[int], _Strike]] = [
            self._kill_queue,
            self._kill_exchange,
            self._kill_consumer,
            self._kill_broker,
        ]

    def strike(self, at_flight: int) -> str:
        """Kill the next one and wait until it lives again; returns a line to print. Raises OutcomeUnknown."""
        strike = self._plan[len(self._strikes)](at_flight)
        self._strikes.append(strike)
        again = "" if strike.up_at is None else f", up again after {(strike.up_at - strike.killed_at) * 1000:.0f} ms"
        return f"[red]kill -9[/] {strike.what} at flight {at_flight:,}{strike.meanwhile}{again}"

    @property
    def is_recovered(self) -> bool:
        """What was killed last is up again, and whoever depends on it receives."""
        if not self._strikes:
            return True
        strike = self._strikes[-1]
        kill = self._measured(strike)
        return kill.up_ms is not None and (strike.consumer is not None or kill.delivering_ms is not None)

    def kills(self) -> list[Kill]:
        """All of them, with what the ledgers know by now."""
        return [self._measured(strike) for strike in self._strikes]

    def _measured(self, strike: _Strike) -> Kill:
        if strike.consumer is not None:
            return self._measured_consumer(strike, strike.consumer)
        since = strike.up_at if strike.up_at is not None else strike.killed_at
        firsts = [self._ledgers[queue].first_after(since) for queue in strike.queues]
        first = min((moment for moment in firsts if moment is not None), default=None)
        return _kill(strike, strike.up_at, first)

    def _measured_consumer(self, strike: _Strike, successor: str) -> Kill:
        """Its successor is up when it receives; its messages are there again when anybody gets one."""
        ledger = self._ledgers[WORK_QUEUE]
        since = strike.killed_at
        return _kill(strike, ledger.first_after(since, successor), ledger.first_redelivered_after(since))

    def _kill_queue(self, at_flight: int) -> _Strike:
        killed_at, up_at = self._kill_actor(actor_of_queue(QUEUE))
        return _Strike(f"the queue {QUEUE}", at_flight, killed_at, up_at, (QUEUE,))

    def _kill_exchange(self, at_flight: int) -> _Strike:
        killed_at, up_at = self._kill_actor(actor_of_exchange(EXCHANGE))
        queues = tuple(feed.queue for feed in FEEDS if feed.exchange == EXCHANGE)
        return _Strike(f"the exchange {EXCHANGE}", at_flight, killed_at, up_at, queues)

    def _kill_consumer(self, at_flight: int) -> _Strike:
        killed_at = time.monotonic()
        self._clients.kill_consumer(WORK_QUEUE)
        successor = self._clients.add_consumer(feed_of(WORK_QUEUE))
        deadline = killed_at + UP_TIMEOUT_S
        while not self._clients.is_consuming(successor) and time.monotonic() < deadline:
            self._clients.turn(LOOK_EVERY_S)
        return _Strike(f"a consumer of {WORK_QUEUE}", at_flight, killed_at, None, (WORK_QUEUE,), successor)

    def _kill_broker(self, at_flight: int) -> _Strike:
        waiting = self._broker.delayed.info().waiting
        held = self._broker.held.status(LATECOMER.exchange).messages
        killed_at = self._process.kill()
        self._process.start()
        queues = tuple(feed.queue for feed in FEEDS)
        meanwhile = f" while {waiting:,} wait for their time and {held:,} for a subscriber"
        return _Strike("the whole broker", at_flight, killed_at, time.monotonic(), queues, meanwhile=meanwhile)

    def _kill_actor(self, actor: str) -> tuple[float, float]:
        """When it was killed and when its next life was ready, in monotonic seconds."""
        before = node_of(self._broker, actor)
        killed_at, killed_at_wall = time.monotonic(), time.time()
        os.kill(before["pid"], signal.SIGKILL)
        after = wait_for_next_life(self._broker, actor, before["generation"])
        ready_at_wall = after["started_at"] + after["ready_ms"] / 1000
        return killed_at, killed_at + ready_at_wall - killed_at_wall


def _kill(strike: _Strike, up_at: float | None, delivering_at: float | None) -> Kill:
    return Kill(
        what=strike.what,
        at_flight=strike.at_flight,
        up_ms=None if up_at is None else (up_at - strike.killed_at) * 1000,
        delivering_ms=None if delivering_at is None else (delivering_at - strike.killed_at) * 1000,
        killed_at=strike.killed_at,
        is_of_all=len(strike.queues) == len(FEEDS),
    )


def node_of(broker: posthouse.Broker, actor: str) -> dict[str, Any]:
    """One actor's line of the supervision tree."""
    return next(node for node in broker.tree() if node["id"] == actor)


def wait_for_next_life(
    broker: posthouse.Broker, actor: str, generation: int, pause: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """The actor's line once a life after `generation` is up. Raises OutcomeUnknown after half a minute."""
    deadline = time.monotonic() + UP_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            node = node_of(broker, actor)
        except Unavailable:
            # The registry itself may be the one that is restarting.
            pause(LOOK_EVERY_S)
            continue
        if node["generation"] > generation and node["state"] == "up":
            return node
        pause(LOOK_EVERY_S)
    raise OutcomeUnknown(f"{actor} did not come back within {UP_TIMEOUT_S:.0f} s")
