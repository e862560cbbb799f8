"""A stream: what one publisher sends to one exchange, numbered, batched and confirmed.

Pure but for the wall clock it is given. It sends at once when nothing is unconfirmed, and coalesces while a confirm is
outstanding, up to a limit of bytes and messages; so a lone message does not wait and a flood travels in large batches,
with no timer. The numbers count from 1 in the order of `add`, never skip, and are how queues recognise what was sent
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

import msgspec

from posthouse.transport import messages
from posthouse.transport.batch import Properties, pack_due, pack_lengths
from posthouse.transport.errors import Refused, Unavailable, from_wire
from posthouse.transport.limits import BATCH_BYTES_TARGET
from posthouse.transport.messages import Batch, Options, Receipt

BATCH_MESSAGES_TARGET: Final = 1_000

Key = tuple[str, msgspec.Raw, Options | None]
"""What the messages of a batch share: routing key, encoded headers, options."""


@final
class Stream:
    """The sending side of one publisher."""

    def __init__(
        self, number: int, exchange: str, forward: Callable[[bytes, int], None], wall_ms: Callable[[], int]
    ) -> None:
        self.number = number
        self.exchange = exchange
        self.next_seq = 1
        self.refused: list[tuple[int, Refused | Unavailable]] = []
        self.failure: Refused | Unavailable | None = None
        self.doubtful_below = 1
        """A session ended while these were on their way: an earlier life may have done more than a later one knows."""
        self.has_been_left = False
        """The open batch is known to the stand-in, which will send it if the application does not."""
        self.waiters: dict[int, Receipt | None] = {}
        self._forward = forward
        self._wall_ms = wall_ms
        self._key: Key | None = None
        self._bodies: list[bytes] = []
        self._bytes = 0
        self._properties: Properties | None = None
        self._due: list[int] = []
        self._unconfirmed: dict[int, tuple[int, int]] = {}
        self.unconfirmed_messages = 0
        self.unconfirmed_bytes = 0

    def add(self, body: bytes, key: Key) -> int:
        """Take one message; returns its number. The batch it goes into is closed when it is full."""
        if key is not self._key and key != self._key:
            self.close_batch()
            self._key = key
        self._bodies.append(body)
        self._bytes += len(body)
        number = self.next_seq
        self.next_seq = number + 1
        return number

    def add_many(self, bodies: list[bytes], key: Key, due_ms: list[int] | None = None) -> None:
        """Take many messages at once as a batch of their own; delayed ones with the time of each."""
        self.close_batch()
        self._due = due_ms or []
        self._key = key
        self._bodies = bodies
        self.next_seq += len(bodies)

    def describe(self, message_id: str | None, correlation_id: str | None) -> None:
        """Give the message just added its own identifiers."""
        if self._properties is None:
            self._properties = []
        missing = len(self._bodies) - 1 - len(self._properties)
        self._properties += [None] * missing
        self._properties.append((message_id, correlation_id))

    def schedule(self, due_ms: int) -> None:
        """The message just added is due then. Its key says that it is delayed, so all in its batch are."""
        self._due.append(due_ms)

    @property
    def is_full(self) -> bool:
        """The open batch has reached its limit."""
        return len(self._bodies) >= BATCH_MESSAGES_TARGET or self._bytes >= BATCH_BYTES_TARGET

    @property
    def has_open_batch(self) -> bool:
        return bool(self._bodies)

    @property
    def is_quiet(self) -> bool:
        """Nothing is on its way, so a message may go at once."""
        return self.unconfirmed_messages == 0

    def close_batch(self) -> None:
        """Hand the open batch to the link."""
        bodies = self._bodies
        if not bodies:
            return
        assert self._key is not None
        routing_key, headers, options = self._key
        count = len(bodies)
        first_seq = self.next_seq - count
        properties: memoryview | None = None
        if self._properties is not None:
            self._properties += [None] * (count - len(self._properties))
            properties = memoryview(messages.encode(self._properties))
        payload = bodies[0] if count == 1 else b"".join(bodies)
        batch = Batch(
            exchange=self.exchange,
            routing_key=routing_key,
            stream=self.number,
            first_seq=first_seq,
            count=count,
            published_ms=self._wall_ms(),
            headers=headers,
            lengths=pack_lengths([len(body) for body in bodies]),
            bodies=memoryview(payload),
            properties=properties,
            options=options,
            due=pack_due(self._due) if self._due else None,
        )
        self._bodies = []
        self._bytes = 0
        self._properties = None
        self._due = []
        self.has_been_left = False
        self._unconfirmed[first_seq] = (count, len(payload))
        self.unconfirmed_messages += count
        self.unconfirmed_bytes += len(payload)
        self._forward(messages.encode(batch), count)

    def receipt(self, receipt: Receipt) -> None:
        """A range is decided. It may span several batches, and batches that were decided before."""
        next_seq, end = receipt.first_seq, receipt.first_seq + receipt.count
        while next_seq < end:
            if next_seq in self._unconfirmed:
                next_seq += self._decide(next_seq, receipt)
                continue
            # An earlier receipt got through before its exchange died, and the next life merged its neighbours
            # with it. How long it was is forgotten, so look for what is still open behind it.
            later = [first for first in self._unconfirmed if next_seq < first < end]
            if not later:
                break
            next_seq = min(later)
        waiters = self.waiters
        numbers = range(receipt.first_seq, end)
        for number in numbers if len(numbers) < len(waiters) else list(waiters):
            if number in numbers and number in waiters:
                waiters[number] = waiters[number] or receipt

    def _decide(self, first_seq: int, receipt: Receipt) -> int:
        count, size = self._unconfirmed.pop(first_seq)
        self.unconfirmed_messages -= count
        self.unconfirmed_bytes -= size
        if receipt.code is not None:
            error = from_wire(receipt.code, receipt.text)
            self.refused += [(number, error) for number in range(first_seq, first_seq + count)]
        return count

    def fail(self, error: Refused | Unavailable) -> None:
        """The exchange does not exist any more, or has ended the session: nothing outstanding will be answered."""
        self.failure = error
        for first, (count, _) in self._unconfirmed.items():
            self.refused += [(number, error) for number in range(first, first + count)]
        self._unconfirmed.clear()
        self.unconfirmed_messages = 0
        self.unconfirmed_bytes = 0

    def has_decided(self, first_seq: int) -> bool:
        """The batch that begins here has its receipt."""
        return first_seq < self.next_seq and first_seq not in self._unconfirmed

    def is_confirmed(self, through: int) -> bool:
        """Everything up to this number is decided."""
        return not self.unconfirmed_messages or next(iter(self._unconfirmed)) > through

    def unknown(self, through: int) -> list[int]:
        """Numbers up to this one that are not decided."""
        open_ones: list[Any] = []
        for first, (count, _) in self._unconfirmed.items():
            open_ones += range(first, min(first + count, through + 1))
        return open_ones


def is_decided(streams: Mapping[int, Stream], piece: bytes | memoryview | msgspec.Raw) -> bool:
    """Whether an encoded message is a batch that has its receipt already.

    A refusal is final: what was refused must not be sent once more because its exchange died before it settled it.
    """
    message = messages.decode(piece)
    stream = streams.get(message.stream) if isinstance(message, Batch) else None
    return stream is not None and isinstance(message, Batch) and stream.has_decided(message.first_seq)
