"""One sample of every record of an exchange's journal."""

from __future__ import annotations

from typing import Final

from posthouse.actors.held_records import (
    Counters,
    Kind,
    LeavingRecord,
    Mark,
    RoadRecord,
    encode,
    encode_held,
    encode_numbers,
)
from posthouse.transport import messages
from tests.support.actor_bench import batch

ROADS: Final = [RoadRecord("billing", 5, 77, 9), RoadRecord("", 0, 78, 1)]
LEAVING: Final = LeavingRecord([1, 0, 2, 3, 1, 4], ROADS, "no_subscriber", 1_700_000_000_000, True)
MARK: Final = Mark(12, ROADS, [[7, 1, 4, 9, 9]], Counters(11, 5, 2))
RAW: Final = messages.encode(batch(b"hello", b"abc", exchange="orders", routing_key="eu"))

RECORDS: Final = (
    (Kind.HELD, b"".join(map(bytes, encode_held(1, 1_700_000_000_000, 0, RAW)))),
    (Kind.LEAVING, encode(LEAVING)),
    (Kind.LANDED, encode_numbers([77, 1, 4, 78, 1, 1])),
    (Kind.ABANDONED, encode_numbers([77])),
    (Kind.MARK, encode(MARK)),
    (Kind.KEPT, b"".join(map(bytes, encode_held(1, 1_700_000_000_000, 1, RAW)))),
)
