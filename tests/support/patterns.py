"""The six patterns as data: how each is declared, bound and published to, so that one test can say a thing of all.

Every instance has names of its own, so that tests can share a broker.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Final, final

import posthouse

DELAY_S: Final = 0.2
_numbers: Final = itertools.count(1)


@final
@dataclasses.dataclass(frozen=True)
class Pattern:
    """One way from a publisher to a queue. `kind` None: point to point, through the default exchange."""

    name: str
    kind: str | None
    routing_key: str = ""
    binding_key: str = ""
    headers: dict[str, Any] = dataclasses.field(default_factory=dict)
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    delay_s: float | None = None

    def of(self, broker: posthouse.Broker, **policies: Any) -> Route:
        """A route of this pattern under fresh names: its exchange is declared, its queue is not yet."""
        number = next(_numbers)
        route = Route(self, f"exchange-{number}" if self.kind else "", f"queue-{number}")
        if self.kind is not None:
            broker.declare_exchange(route.exchange, self.kind, **policies)
        return route


@final
@dataclasses.dataclass(frozen=True)
class Route:
    """One pattern with the names of one test."""

    pattern: Pattern
    exchange: str
    queue: str

    def later(self, delay_s: float) -> Route:
        """The same, but what is delayed at all is delayed by so much."""
        if self.pattern.delay_s is None:
            return self
        return dataclasses.replace(self, pattern=dataclasses.replace(self.pattern, delay_s=delay_s))

    @property
    def actor(self) -> str:
        """The exchange's process."""
        return f"exchange:{self.exchange}"

    def open(self, broker: posthouse.Broker, **policies: Any) -> Route:
        """Declare the queue and bind it."""
        broker.declare_queue(self.queue, **policies)
        return self.bind(broker)

    def bind(self, broker: posthouse.Broker) -> Route:
        pattern = self.pattern
        if pattern.kind is not None:
            broker.bind(self.exchange, self.queue, pattern.binding_key, arguments=pattern.arguments)
        return self

    def publish(self, broker: posthouse.Broker, body: bytes) -> posthouse.PublishReceipt:
        return broker.publish(self.exchange, body, self.routing_key, **self.properties)

    def send(self, out: posthouse.Publisher, count: int, first: int = 0) -> None:
        """Bodies `first`, `first + 1` …"""
        for number in range(first, first + count):
            out.send(b"%d" % number, self.routing_key, **self.properties)

    @property
    def routing_key(self) -> str:
        return self.pattern.routing_key if self.pattern.kind else self.queue

    @property
    def properties(self) -> dict[str, Any]:
        found: dict[str, Any] = {"headers": self.pattern.headers} if self.pattern.headers else {}
        if self.pattern.delay_s is not None:
            found["delay_s"] = self.pattern.delay_s
        return found


PATTERNS: Final = (
    Pattern("fanout", "fanout"),
    Pattern("topic", "topic", "orders.eu.paid", "orders.#"),
    Pattern("direct", "direct", "paid", "paid"),
    Pattern("headers", "headers", headers={"kind": "book"}, arguments={"x-match": "all", "kind": "book"}),
    Pattern("delayed", "topic", "orders.eu.paid", "orders.*.paid", delay_s=DELAY_S),
    Pattern("point-to-point", None),
)
