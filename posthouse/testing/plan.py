"""Who publishes what to whom in a chaos run, and where it belongs: tables, written without the product's matcher.

A lane is a stream of messages of one pattern; a message is named by its publisher, its lane and its number there,
and everything about it follows from these three.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final, NamedTuple, final

import posthouse

DELAY_S: Final = (0.05, 0.3, 1.0, 3.0)
RETRY_S: Final = 0.2
MAX_ATTEMPTS: Final = 1_000
UNROUTABLE_KEY: Final = "nowhere"
CALLS: Final = "calls"
WORK: Final = "work"
LATE: Final = "held"


@final
class Choice(NamedTuple):
    """One way to publish in a lane, and the queues it reaches; none: it is refused as unroutable."""

    key: str
    queues: tuple[str, ...]
    headers: dict[str, Any] | None = None
    delay_s: float = 0.0


@final
class Lane(NamedTuple):
    """A pattern. The n-th message takes the n-th choice, round and round."""

    name: str
    exchange: str
    kind: str | None
    choices: tuple[Choice, ...]
    unrouted: str = "hold"
    share: float = 1.0
    """Of the rate."""

    def choice(self, number: int) -> Choice:
        return self.choices[number % len(self.choices)]


LANES: Final = (
    Lane("fanout", "fan", "fanout", (Choice("", ("fan-a", "fan-b")),)),
    Lane(
        "topic",
        "top",
        "topic",
        (
            Choice("eu.paid", ("top-eu", "top-all")),
            Choice("us.paid", ("top-all",)),
            Choice("eu.new.x", ("top-all",)),
        ),
    ),
    Lane(
        "direct",
        "direct",
        "direct",
        (Choice("x", ("dir",)), Choice("x", ("dir",)), Choice(UNROUTABLE_KEY, ())),
        unrouted="return",
    ),
    Lane(
        "headers",
        "head",
        "headers",
        (Choice("", ("red",), {"colour": "red"}), Choice("", (), {"colour": "blue"})),
        unrouted="return",
    ),
    Lane("delayed", "later", "topic", tuple(Choice("due", ("due",), None, delay) for delay in DELAY_S)),
    Lane("work", "", None, (Choice(WORK, (WORK,)),)),
    Lane("held", "patient", "topic", (Choice("a.b", (LATE,)),), share=0.2),
)

QUEUES: Final = ("fan-a", "fan-b", "top-eu", "top-all", "dir", "red", "due", WORK, LATE)
BINDINGS: Final = (
    ("fan", "fan-a", "", None),
    ("fan", "fan-b", "", None),
    ("top", "top-eu", "eu.*", None),
    ("top", "top-all", "#", None),
    ("direct", "dir", "x", None),
    ("head", "red", "", {"x-match": "all", "colour": "red"}),
    ("later", "due", "#", None),
)
LATE_BINDING: Final = ("patient", LATE, "#", None)

ORDERED: Final = frozenset({"fan-a", "fan-b", "top-eu", "top-all", "dir", "red"})
"""Queues with one consumer that refuses nothing: what a publisher sent comes in its order."""


def declare(broker: posthouse.Broker) -> None:
    """Everything but the binding of the late subscriber."""
    for lane in LANES:
        if lane.kind is not None:
            broker.declare_exchange(lane.exchange, lane.kind, unrouted=lane.unrouted)
    retry = posthouse.Retry(kind="fixed", first_delay_s=RETRY_S, max_attempts=MAX_ATTEMPTS, jitter=False)
    for queue in (*QUEUES, CALLS):
        broker.declare_queue(queue, retry=retry)
    for exchange, queue, key, arguments in BINDINGS:
        broker.bind(exchange, queue, key, arguments=arguments)


# ---- bodies: who it is, when it is due, and a checksum over all of it ----

_BODY: Final = struct.Struct(">4sIHHQQ")
_MAGIC: Final = b"PHCH"


@final
class Name(NamedTuple):
    """A message: the number of its publisher, the index of its lane, its number there from 0."""

    publisher: int
    lane: int
    number: int


def make_body(name: Name, due_ms: int, size: int) -> bytes:
    """`size` bytes at least."""
    head = _BODY.pack(_MAGIC, 0, name.publisher, name.lane, name.number, due_ms)
    filler = bytes((name.number + index) & 0xFF for index in range(8)) * (max(0, size - len(head)) // 8)
    content = head[8:] + filler
    return head[:4] + zlib.crc32(content).to_bytes(4, "big") + content


def read_body(body: bytes) -> tuple[Name, int] | None:
    """Who it is and when it is due, in milliseconds since the epoch; None when it is not as it was made."""
    if len(body) < _BODY.size or body[:4] != _MAGIC:
        return None
    _, checksum, publisher, lane, number, due_ms = _BODY.unpack_from(body)
    if zlib.crc32(body[8:]) != checksum or lane >= len(LANES):
        return None
    return Name(publisher, lane, number), due_ms
