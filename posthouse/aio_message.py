"""A message as a consumer in an event loop holds it: the same message, with settling that is awaited.

What is awaited is not an answer of the broker, as in the blocking client: a settlement is noted at once and leaves
with its neighbours at the end of the loop's pass. Awaiting lets the loop have its turn often enough for that.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, final

import msgspec

from posthouse import message
from posthouse.aio_wire import Wire
from posthouse.consumer import SETTLE_SHARE
from posthouse.subscription import Subscription
from posthouse.transport.errors import InvalidArgument


@final
class Settling:
    """Where the settlements of one subscription go. Held by its consumer and by every message that may be settled."""

    __slots__ = ("__weakref__", "_settle_at", "_subscription", "_wire")

    def __init__(self, wire: Wire, subscription: Subscription) -> None:
        self._wire = wire
        self._subscription = subscription
        self._settle_at = max(1, subscription.prefetch // SETTLE_SHARE)

    async def noted(self) -> None:
        """A settlement was noted. It is sent even if the task that awaits this is cancelled."""
        self._wire.wake()
        if self._subscription.unsettled >= self._settle_at:
            # A loop over a full buffer never waits; without this its settlements and other tasks would.
            await asyncio.sleep(0)


@final
class Message(msgspec.Struct, gc=False, eq=False):
    """One message. Settle it with `ack`, `nack` or `reject`, once; until then it is yours and nobody else's.

    (A struct, because it is made in a third of the time of an object with slots.)
    """

    received: message.Message
    _settling: Settling | None

    @property
    def body(self) -> bytes:
        """The bytes that were published."""
        return self.received.body

    @property
    def offset(self) -> int:
        """The message's number in its queue, from 1; the same at every delivery."""
        return self.received.offset

    @property
    def exchange(self) -> str:
        """The exchange it was published to; "" for the default exchange."""
        return self.received.exchange

    @property
    def routing_key(self) -> str:
        return self.received.routing_key

    @property
    def headers(self) -> dict[str, Any]:
        """The headers it was published with; empty when there were none. Shared with its neighbours: do not change."""
        return self.received.headers

    @property
    def message_id(self) -> str:
        """What the publisher chose, else one made of its stream and number: unique, and the same at every delivery."""
        return self.received.message_id

    @property
    def correlation_id(self) -> str | None:
        return self.received.correlation_id

    @property
    def reply_to(self) -> str | None:
        return self.received.reply_to

    @property
    def content_type(self) -> str | None:
        return self.received.content_type

    @property
    def published_at(self) -> datetime:
        """When its publisher sent it, by the publisher's clock, in UTC, to the millisecond."""
        return self.received.published_at

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context that the message was created in, if its publisher gave one. It is a header."""
        return self.received.traceparent

    @property
    def attempt(self) -> int:
        """Which delivery of this message this is: 1 the first time."""
        return self.received.attempt

    @property
    def redelivered(self) -> bool:
        """False only if it has certainly never been delivered before."""
        return self.received.redelivered

    async def ack(self) -> None:
        """Done: the queue forgets the message."""
        settling = self._check_settling()
        self.received.ack()
        await settling.noted()

    async def nack(
        self, requeue: bool = True, retry_after_s: float | None = None, *, error: BaseException | None = None
    ) -> None:
        """Not done: with `requeue` the queue's retry policy decides when it comes back, otherwise as `reject`.

        `retry_after_s` says it instead of the policy, and `error` says why; it is kept with the message.
        """
        settling = self._check_settling()
        self.received.nack(requeue, retry_after_s, error=error)
        await settling.noted()

    async def reject(self, reason: str = "", *, error: BaseException | None = None) -> None:
        """Never again: the message goes to the dead letters. `reason` and `error` say why, for whoever looks."""
        settling = self._check_settling()
        self.received.reject(reason, error=error)
        await settling.noted()

    def _check_settling(self) -> Settling:
        if self._settling is None:
            raise InvalidArgument("this message was acked when it was delivered; there is nothing to settle")
        return self._settling

    def __repr__(self) -> str:
        return repr(self.received)
