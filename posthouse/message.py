"""A message as a consumer holds it.

Light on purpose: what a delivery's messages share is kept once, in their `Slice`, and looked at only when asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Protocol, final

import msgspec

from posthouse.failure import Failure, failure_of, retry_delay_ms
from posthouse.transport.batch import deadline_of, headers_of, lengths_of, properties_of
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Batch, Outcome


class Settler(Protocol):
    """Who takes the word that a message is settled."""

    def settle(
        self, message: Message, outcome: Outcome, requeue: bool, reason: str, failure: Failure | None = None
    ) -> None:
        """Send it, now or with the next ones."""


@final
class Slice:
    """What the messages of one delivery share."""

    __slots__ = ("_headers", "_properties", "attempt", "batch", "epoch", "first_offset")

    def __init__(self, batch: Batch, first_offset: int, attempt: int, epoch: int) -> None:
        self.batch = batch
        self.first_offset = first_offset
        self.attempt = attempt
        self.epoch = epoch
        self._headers: dict[str, Any] | None = None
        self._properties: Any = None

    @property
    def headers(self) -> dict[str, Any]:
        if self._headers is None:
            self._headers = headers_of(self.batch) or {}
        return self._headers

    def properties(self, index: int) -> tuple[str | None, str | None]:
        if self.batch.properties is None:
            return (None, None)
        if self._properties is None:
            self._properties = properties_of(self.batch)
        return self._properties[index] or (None, None)

    def messages(self, settler: Settler | None) -> list[Message]:
        """One `Message` per body."""
        batch = self.batch
        bodies = bytes(batch.bodies)
        messages = []
        start = 0
        for offset, end in enumerate(accumulate(lengths_of(batch)), self.first_offset):
            messages.append(Message(bodies[start:end], offset, self, settler))
            start = end
        return messages


@final
class Message(msgspec.Struct, gc=False, eq=False):
    """One message. Settle it with `ack`, `nack` or `reject`, once; until then it is yours and nobody else's.

    `body` is the bytes that were published; `offset` the message's number in its queue, from 1, the same at every
    delivery. (A struct, because it is made in a third of the time of an object with slots.)
    """

    body: bytes
    offset: int
    _slice: Slice
    _settler: Settler | None

    @property
    def exchange(self) -> str:
        """The exchange it was published to; "" for the default exchange."""
        return self._slice.batch.exchange

    @property
    def routing_key(self) -> str:
        return self._slice.batch.routing_key

    @property
    def headers(self) -> dict[str, Any]:
        """The headers it was published with; empty when there were none. Shared with its neighbours: do not change."""
        return self._slice.headers

    @property
    def message_id(self) -> str:
        """What the publisher chose, else one made of its stream and number: unique, and the same at every delivery."""
        chosen = self._slice.properties(self._index)[0]
        return chosen if chosen is not None else f"{self._slice.batch.stream:x}-{self._sequence}"

    @property
    def correlation_id(self) -> str | None:
        return self._slice.properties(self._index)[1]

    @property
    def reply_to(self) -> str | None:
        options = self._slice.batch.options
        return None if options is None else options.reply_to

    @property
    def content_type(self) -> str | None:
        options = self._slice.batch.options
        return None if options is None else options.content_type

    @property
    def published_at(self) -> datetime:
        """When its publisher sent it, by the publisher's clock, in UTC, to the millisecond."""
        return datetime.fromtimestamp(self._slice.batch.published_ms / 1000, UTC)

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context that the message was created in, if its publisher gave one. It is a header."""
        value = self.headers.get("traceparent")
        return value if type(value) is str else None

    @property
    def attempt(self) -> int:
        """Which delivery of this message this is: 1 the first time."""
        return self._slice.attempt

    @property
    def redelivered(self) -> bool:
        """False only if it has certainly never been delivered before."""
        return self._slice.attempt > 1

    @property
    def epoch(self) -> int:
        """Which session with the queue it came in; a settlement of an earlier one counts for nothing."""
        return self._slice.epoch

    def ack(self) -> None:
        """Done: the queue forgets the message."""
        self._settle(Outcome.ACK, False, "")

    def nack(
        self, requeue: bool = True, retry_after_s: float | None = None, *, error: BaseException | None = None
    ) -> None:
        """Not done: with `requeue` the queue's retry policy decides when it comes back, otherwise as `reject`.

        `retry_after_s` says it instead of the policy, and `error` says why; it is kept with the message.
        """
        retry_after_ms = None if retry_after_s is None else retry_delay_ms(retry_after_s)
        self._settle(Outcome.NACK, requeue, "", failure_of(error, retry_after_ms))

    def reject(self, reason: str = "", *, error: BaseException | None = None) -> None:
        """Never again: the message goes to the dead letters. `reason` and `error` say why, for whoever looks."""
        self._settle(Outcome.REJECT, False, reason, failure_of(error))

    def _settle(self, outcome: Outcome, requeue: bool, reason: str, failure: Failure | None = None) -> None:
        if self._settler is None:
            raise InvalidArgument("this message was only looked at, or is settled already; there is nothing to settle")
        self._settler.settle(self, outcome, requeue, reason, failure)
        self._settler = None

    @property
    def _index(self) -> int:
        return self.offset - self._slice.first_offset

    @property
    def _sequence(self) -> int:
        return self._slice.batch.first_seq + self._index

    def __repr__(self) -> str:
        shown = self.body if len(self.body) <= 40 else self.body[:37] + b"..."
        return f"Message({shown!r}, key={self.routing_key!r}, offset={self.offset}, attempt={self.attempt})"


def deadline_ms_of(message: Message) -> int | None:
    """When a call is worth nothing any more, in milliseconds since 1970; None for what is no call."""
    return deadline_of(message._slice.batch)


def only_shown(message: Message) -> Message:
    """The same message, but whoever holds it cannot settle it."""
    return Message(message.body, message.offset, message._slice, None)
