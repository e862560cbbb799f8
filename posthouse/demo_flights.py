"""The flights of the demo: what the file says, how each flight is addressed, which queue has to get which.

What a queue has to get is said twice: once as bindings, for the broker, and once as a condition in plain
Python, for the audit. The two share nothing, so that a mistake of the broker's matcher cannot hide in the
expectation.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, NamedTuple, final

FILE: Final = "nycflights-2013-01.csv.gz"
FLIGHTS_IN_FILE: Final = 27_004


@final
class Flight(NamedTuple):
    """One row of the file. `number` counts from 1 in its order, `body` is number and row as bytes."""

    number: int
    body: bytes
    carrier: str
    origin: str
    dest: str
    distance: int
    is_cancelled: bool

    @property
    def key(self) -> str:
        """The topic key, `UA.EWR.IAH`."""
        return f"{self.carrier}.{self.origin}.{self.dest}"

    @property
    def headers(self) -> dict[str, Any]:
        return {
            "carrier": self.carrier,
            "origin": self.origin,
            "dest": self.dest,
            "distance": self.distance,
            "cancelled": self.is_cancelled,
        }


@final
@dataclass(frozen=True)
class Rule:
    """One binding: a key, or the arguments of a headers binding."""

    key: str = ""
    arguments: dict[str, Any] | None = None


@final
@dataclass(frozen=True)
class Feed:
    """One queue of the demo: its bindings, how many processes consume it, which flights it has to get."""

    pattern: str
    exchange: str
    queue: str
    rules: tuple[Rule, ...]
    wants: Callable[[Flight], bool]
    consumers: int = 1

    @property
    def binding(self) -> str:
        """The bindings as people read them."""
        return "  ".join(_shown(rule) for rule in self.rules)


EXCHANGES: Final = {"departures": "fanout", "flights": "topic", "airports": "direct", "notices": "headers"}
"""Name and kind of what is declared; the work queue is reached through the default exchange."""

CALIFORNIA: Final = ("LAX", "SFO", "SAN", "SJC", "OAK", "SMF", "SNA", "BUR", "LGB", "PSP")

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
)


def read_flights(limit: int | None = None) -> list[Flight]:
    """The flights of the installed file, the first `limit` of them. Raises OSError when it is damaged or
    missing.
    """
    content = gzip.decompress((files("posthouse") / "flights" / FILE).read_bytes())
    return parse_flights(content.decode("ascii").splitlines(), limit)


def parse_flights(lines: Sequence[str], limit: int | None = None) -> list[Flight]:
    """The rows below the header line, as flights."""
    place = {name: index for index, name in enumerate(lines[0].split(","))}
    rows = lines[1:] if limit is None else lines[1 : 1 + limit]
    flights = []
    for number, line in enumerate(rows, start=1):
        row = line.split(",")
        flights.append(
            Flight(
                number=number,
                body=f"{number},{line}".encode("ascii"),
                carrier=row[place["carrier"]],
                origin=row[place["origin"]],
                dest=row[place["dest"]],
                distance=int(row[place["distance"]]),
                is_cancelled=row[place["dep_time"]] == "NA",
            )
        )
    return flights


def number_of(body: bytes) -> int:
    """The flight's number, read back from a body."""
    return int(body[: body.index(b",")])


def expected_of(feed: Feed, flights: Iterable[Flight]) -> dict[int, int]:
    """The numbers of the flights that this queue has to get, each with the checksum of its body."""
    return {flight.number: zlib.crc32(flight.body) for flight in flights if feed.wants(flight)}


def _shown(rule: Rule) -> str:
    if rule.arguments is None:
        return rule.key or "(everything)"
    pairs = [f"{name}={value}" for name, value in rule.arguments.items() if name != "x-match"]
    return f"{rule.arguments['x-match']}: {', '.join(pairs)}"
