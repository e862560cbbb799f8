"""Where dead letters go: to a queue, or through an exchange on one of its lanes.

Each destination has a stream of moves of its own, found by its *key*: the name of a queue as it is, or the lane and the
name of an exchange behind control characters, which no name has. In a lane one move is on its way at a time: a queue
behind an exchange recognises what it has by the last number of a stream, and with two on their way a change of bindings
in between could make it take the earlier one for a repetition. Letters of one queue with one key share a lane, so
their order stays. Pure.
"""

from __future__ import annotations

import zlib
from typing import Final, NamedTuple, final

from posthouse.transport.names import actor_of_exchange, actor_of_queue

LANES: Final = 16
_MARK: Final = "\x1f"


@final
class Destination(NamedTuple):
    """A queue, or an exchange and a lane of it."""

    name: str
    lane: int | None = None

    @property
    def is_exchange(self) -> bool:
        return self.lane is not None

    @property
    def key(self) -> str:
        return self.name if self.lane is None else f"{_MARK}{self.lane}{_MARK}{self.name}"

    @property
    def actor(self) -> str:
        return actor_of_exchange(self.name) if self.is_exchange else actor_of_queue(self.name)

    @property
    def text(self) -> str:
        """As people read it."""
        return f"{'exchange' if self.is_exchange else 'queue'} {self.name!r}"


def destination_of(key: str) -> Destination:
    """The destination of a key."""
    if not key.startswith(_MARK):
        return Destination(key)
    _, lane, name = key.split(_MARK, 2)
    return Destination(name, int(lane))


def through(exchange: str, queue: str, routing_key: str) -> Destination:
    """The lane of an exchange for what died in this queue and has this routing key."""
    return Destination(exchange, zlib.crc32(f"{queue}\0{routing_key}".encode()) % LANES)
