"""The feeds of the demo: which queue hangs on which exchange, who consumes it, and which flights it has to get.

What a queue has to get is said twice: once as bindings, for the broker, and once as a condition in plain
Python, for the audit. The two share nothing, so that a mistake of the broker's matcher cannot hide in the
expectation.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, final

from posthouse.demo_flights import Flight

DELAY_MS_PER_MIN: Final = 4
"""A minute of January takes so long in the demo: a flight that left two hours late comes after half a second."""
HELD_CARRIER: Final = "DL"


@final
@dataclass(frozen=True)
class Rule:
    """One binding: a key, or the arguments of a headers binding."""

    key: str = ""
    arguments: dict[str, Any] | None = None


@final
class Work(StrEnum):
    """What a consumer does with a flight besides writing it down."""

    RECORD = "record"
    WATCH = "watch"
    """Looks at the clock: the flight must not come before its time."""
    REBOOK = "rebook"
    """Fails for a flight that never left."""
    REBOOK_REPAIRED = "rebook-repaired"


@final
@dataclass(frozen=True)
class Feed:
    """One queue of the demo: its bindings, how many processes consume it, which flights it has to get.

    `name` is that of its ledger; two feeds of one queue tell what was received before and after something happened.
    """

    pattern: str
    exchange: str
    queue: str
    rules: tuple[Rule, ...]
    wants: Callable[[Flight], bool]
    consumers: int = 1
    work: Work = Work.RECORD
    title: str = ""

    @property
    def name(self) -> str:
        return self.title or self.queue

    @property
    def is_ordered(self) -> bool:
        """Is the order in which it is received that of publishing? Not where time or a redrive decides."""
        return self.work in (Work.RECORD, Work.REBOOK)

    @property
    def binding(self) -> str:
        """The bindings as people read them."""
        return "  ".join(_shown(rule) for rule in self.rules)


EXCHANGES: Final = {
    "departures": "fanout",
    "flights": "topic",
    "airports": "direct",
    "notices": "headers",
    "late-departures": "direct",
    "delta": "fanout",
}
"""Name and kind of what is declared; the work queue is reached through the default exchange."""

CALIFORNIA: Final = ("LAX", "SFO", "SAN", "SJC", "OAK", "SMF", "SNA", "BUR", "LGB", "PSP")

DELAYED: Final = Feed(
    "delayed",
    "late-departures",
    "now-departing",
    (Rule("EWR"), Rule("JFK"), Rule("LGA")),
    lambda flight: flight.is_delayed,
    work=Work.WATCH,
)
REBOOKING: Final = Feed(
    "failing",
    "notices",
    "rebooking",
    (Rule(arguments={"x-match": "all", "cancelled": True}),),
    lambda flight: flight.is_cancelled,
    work=Work.REBOOK,
)
REDRIVEN: Final = Feed(
    "redriven",
    "",
    REBOOKING.queue,
    (),
    lambda flight: flight.is_cancelled,
    work=Work.REBOOK_REPAIRED,
    title="rebooking, anew",
)
LATECOMER: Final = Feed("held", "delta", "delta-desk", (Rule(),), lambda flight: flight.carrier == HELD_CARRIER)
"""Declared and bound when most of its flights are published."""

FEEDS: Final = (
    Feed("fanout", "departures", "board", (Rule(),), lambda flight: True),
    Feed("topic", "flights", "united", (Rule("UA.*.*"),), lambda flight: flight.carrier == "UA"),
    Feed("topic", "flights", "kennedy", (Rule("*.JFK.#"),), lambda flight: flight.origin == "JFK"),
    Feed(
        "topic",
        "flights",
        "california",
        (*(Rule(f"#.{airport}") for airport in CALIFORNIA), Rule("*.*.LAX")),
        lambda flight: flight.dest in CALIFORNIA,
    ),
    Feed("direct", "airports", "newark", (Rule("EWR"),), lambda flight: flight.origin == "EWR"),
    Feed("direct", "airports", "new-york", (Rule("JFK"), Rule("LGA")), lambda flight: flight.origin != "EWR"),
    Feed(
        "headers",
        "notices",
        "united-cancelled",
        (Rule(arguments={"x-match": "all", "carrier": "UA", "cancelled": True}),),
        lambda flight: flight.carrier == "UA" and flight.is_cancelled,
    ),
    Feed(
        "headers",
        "notices",
        "cancelled-or-far",
        (Rule(arguments={"x-match": "any", "cancelled": True, "distance": 4983}),),
        lambda flight: flight.is_cancelled or flight.distance == 4983,
    ),
    Feed("work queue", "", "connection-risk", (), lambda flight: True, consumers=3),
    DELAYED,
    REBOOKING,
    LATECOMER,
)
LEDGERS: Final = (*FEEDS, REDRIVEN)
"""All that is audited."""


def feed_of(queue: str) -> Feed:
    """The feed of a declared queue."""
    return next(feed for feed in FEEDS if feed.queue == queue)


def expected_of(feed: Feed, flights: Iterable[Flight]) -> dict[int, int]:
    """The numbers of the flights that this queue has to get, each with the checksum of its body."""
    return {flight.number: zlib.crc32(flight.body) for flight in flights if feed.wants(flight)}


def _shown(rule: Rule) -> str:
    if rule.arguments is None:
        return rule.key or "(everything)"
    pairs = [f"{name}={value}" for name, value in rule.arguments.items() if name != "x-match"]
    return f"{rule.arguments['x-match']}: {', '.join(pairs)}"
