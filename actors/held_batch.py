"""One held batch, the pieces of it that are leaving, and the batch they leave in.

The bytes kept are those the publisher sent. What leaves travels on a stream of moves under numbers of its own, because
queues recognise what they have by stream and number, and direct traffic may have gone past the old ones.
"""

from __future__ import annotations

from typing import Final, final

import msgspec

from posthouse.actors.stored_batch import Bytes
from posthouse.transport import messages
from posthouse.transport.batch import Properties, properties_of, slice_batch
from posthouse.transport.messages import Batch

HEADERS_KEPT_BYTES_MAX: Final = 1_024
"""Larger headers are read from the journal when a batch is routed again."""


@final
class Group:
    """Held batches with one routing key and headers: they go the same way. `headers` None: too large to keep."""

    __slots__ = ("headers", "key", "routing_key", "waiting")

    def __init__(self, key: tuple[str, bytes], headers: bytes | None) -> None:
        self.key = key
        self.routing_key = key[0]
        self.headers = headers
        self.waiting: dict[int, Held] = {}


@final
class Held:
    """Messages `number … number + count - 1`. Those from index `start` wait; those before have left or are leaving.

    `raw` is None when the bytes are only in the journal, at `position`; a batch of level `memory` has no position.
    `until_ms` ends the waiting, by its own time to live where `has_ttl`. `moves` of its pieces have not landed.
    """

    __slots__ = ("count", "group", "has_ttl", "held_ms", "moves", "number", "position", "raw", "size", "start",
                 "until_ms")  # fmt: skip

    def __init__(self, number: int, count: int, group: Group, raw: Bytes, held_ms: int) -> None:
        self.number = number
        self.count = count
        self.start = 0
        self.group = group
        self.raw: Bytes | None = raw
        self.size = len(raw)
        self.held_ms = held_ms
        self.until_ms = 0
        self.has_ttl = False
        self.position: int | None = None
        self.moves = 0

    def share(self, start: int, stop: int) -> int:
        """The bytes of some of its messages, as if all were of one length; shares add up to the whole."""
        return self.size * stop // self.count - self.size * start // self.count


@final
class Piece:
    """Messages `start` up to `stop` of a batch, on their way. `open`: by so many roads it has not landed yet."""

    __slots__ = ("entry", "has_landed", "moved_ms", "open", "reason", "start", "stop")

    def __init__(self, entry: Held, start: int, stop: int, reason: str, moved_ms: int) -> None:
        self.entry = entry
        self.start = start
        self.stop = stop
        self.reason = reason
        self.moved_ms = moved_ms
        self.open = 0
        self.has_landed = False

    @property
    def count(self) -> int:
        return self.stop - self.start


def message_ids(batch: Batch) -> list[tuple[str, str | None]]:
    """Message and correlation id of each message; where its publisher chose none, the one made of stream and number."""
    given: Properties | None = properties_of(batch)
    named: list[tuple[str, str | None]] = []
    for index in range(batch.count):
        chosen = None if given is None else given[index]
        message_id, correlation_id = chosen or (None, None)
        named.append((message_id or f"{batch.stream:x}-{batch.first_seq + index}", correlation_id))
    return named


def moved(batch: Batch, piece: Piece, stream: int, first_seq: int, waited_ms: int) -> Batch:
    """The batch in which a piece leaves. Its messages keep their ids, and their time to live goes on."""
    cut = slice_batch(batch, piece.start, piece.stop)
    options = cut.options
    if options is not None and options.ttl_ms is not None:
        options = msgspec.structs.replace(options, ttl_ms=max(1, options.ttl_ms - waited_ms))
    return msgspec.structs.replace(
        cut,
        stream=stream,
        first_seq=first_seq,
        properties=memoryview(messages.encode(message_ids(cut))),
        options=options,
    )
