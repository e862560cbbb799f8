"""The flights of the demo: what the file says, and how each flight is addressed and written down.

A flight that left late is published before its time, with the moment before which nobody may have it at the end of
its body: `number,row,moment`, in milliseconds since 1970.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple, final

FILE: Final = "nycflights-2013-01.csv.gz"
FLIGHTS_IN_FILE: Final = 27_004
ABSENT: Final = "NA"
DELAYED_FROM_MIN: Final = 15
"""From here on a flight counts as delayed, as the statistics of the FAA do."""


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
    tail: str = ""
    """The aircraft; "" where none was assigned."""
    late_min: int = 0
    """Minutes that it left late; 0 where it did not, or did not leave."""

    @property
    def key(self) -> str:
        """The topic key, `UA.EWR.IAH`."""
        return f"{self.carrier}.{self.origin}.{self.dest}"

    @property
    def is_delayed(self) -> bool:
        return self.late_min >= DELAYED_FROM_MIN

    @property
    def headers(self) -> dict[str, Any]:
        return {
            "carrier": self.carrier,
            "origin": self.origin,
            "dest": self.dest,
            "distance": self.distance,
            "cancelled": self.is_cancelled,
        }


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
                is_cancelled=row[place["dep_time"]] == ABSENT,
                tail="" if row[place["tailnum"]] == ABSENT else row[place["tailnum"]],
                late_min=0 if row[place["dep_delay"]] == ABSENT else max(0, int(row[place["dep_delay"]])),
            )
        )
    return flights


def number_of(body: bytes) -> int:
    """The flight's number, read back from a body."""
    return int(body[: body.index(b",")])


def with_moment(body: bytes, due_ms: int) -> bytes:
    """The body of a flight that nobody may have before that moment."""
    return b"%b,%d" % (body, due_ms)


def without_moment(body: bytes) -> tuple[bytes, int]:
    """The body of the flight itself, and the moment."""
    flight, _, moment = body.rpartition(b",")
    return flight, int(moment)
