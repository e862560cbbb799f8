"""The calling side of request-reply: a request goes out with an address and a deadline, and what ends the waiting.

Pure but for the session it drives; the shells (`client.py`, `aio.py`) add only how they wait. A call is over when its
reply has come, or the broker has refused the request, or the deadline has passed; whichever is first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, final

import msgspec

from posthouse.arguments import check_seconds
from posthouse.message import Message
from posthouse.publisher import check_body, make_key
from posthouse.replies import Awaited, failure_of
from posthouse.session import Session
from posthouse.stream import Key, Stream
from posthouse.transport.errors import (
    CallTimeout,
    InvalidArgument,
    NoResponders,
    NotDone,
    OutcomeUnknown,
    PosthouseError,
    from_wire,
)
from posthouse.transport.messages import Options
from posthouse.transport.names import check_name

CALL_S_MAX: Final = 366 * 24 * 3600.0
_OPTION_NAMES: Final = ("durability", "content_type", "message_id")


def check_call_seconds(value: object) -> float:
    """How long a caller waits: more than nothing, at most a year. Raises InvalidArgument."""
    seconds = check_seconds("timeout_s", value)
    if not 0 < seconds <= CALL_S_MAX:
        raise InvalidArgument(f"timeout_s is {value!r}; a call waits more than 0 and at most {CALL_S_MAX:.0f} seconds")
    return seconds


def timed_out(limit_s: float, error: PosthouseError) -> PosthouseError:
    """What to raise at the deadline: CallTimeout, unless the request cannot have reached anybody."""
    if type(error) is not OutcomeUnknown:
        return error
    return CallTimeout(f"no reply within {limit_s} s; it may or may not have been carried out: look before you repeat")


def not_sent(limit_s: float, error: PosthouseError) -> PosthouseError:
    """The same before the request was sent: it certainly had no effect."""
    if type(error) is not OutcomeUnknown:
        return error
    return NotDone(
        f"the default exchange, which passes replies back, did not answer within {limit_s} s; nothing was sent"
    )


@final
class Outgoing:
    """One call on its way."""

    __slots__ = ("awaited", "number", "stream")

    def __init__(self, awaited: Awaited, stream: Stream, number: int) -> None:
        self.awaited = awaited
        self.stream = stream
        self.number = number


@final
class Calls:
    """The calls of one client. `send` is how a request leaves: at once, or with others of its kind a moment later."""

    def __init__(self, session: Session, send: Callable[[Stream], None] = Stream.close_batch) -> None:
        self._session = session
        self._send = send
        self._replies = session.replies
        self._streams: dict[str, Stream] = {}

    @property
    def late_replies(self) -> int:
        """Replies that came when nobody waited for them any more, or a second time."""
        return self._replies.late

    def make_key(
        self, exchange: str, body: object, routing_key: str, headers: dict[str, Any] | None, options: dict[str, Any]
    ) -> tuple[bytes, Key]:
        """The request, checked; `begin` adds the deadline. Raises InvalidArgument."""
        check_name("exchange", exchange, may_be_empty=True)
        for name in options:
            if name not in _OPTION_NAMES:
                raise InvalidArgument(f"call has no argument {name!r}")
        key = make_key(routing_key, headers, {"durability": "memory", **options})
        return check_body(body, self._session.limits), key

    def begin(self, exchange: str, body: bytes, key: Key, message_id: str | None, deadline_ms: float) -> Outgoing:
        """Send a request that is worth nothing after `deadline_ms` (milliseconds since 1970)."""
        stream = self._stream(exchange)
        awaited = self._replies.expect()
        options = msgspec.structs.replace(
            key[2] or Options(), reply_to=self._replies.address, deadline_ms=math.ceil(deadline_ms)
        )
        number = stream.add(body, (key[0], key[1], options))
        stream.describe(message_id, awaited.correlation_id)
        stream.waiters[number] = None
        if stream.is_full:
            stream.close_batch()
        self._send(stream)
        return Outgoing(awaited, stream, number)

    def is_over(self, call: Outgoing) -> bool:
        """There is a reply, or there will be none."""
        receipt = call.stream.waiters[call.number]
        return (
            call.awaited.reply is not None
            or (receipt is not None and receipt.code is not None)
            or call.stream.failure is not None
        )

    def result(self, call: Outgoing) -> Message:
        """The reply of a call that is over. Raises CallFailed, or what refused the request."""
        reply = call.awaited.reply
        if reply is not None:
            failure = failure_of(reply)
            if failure is not None:
                raise failure
            return reply
        receipt = call.stream.waiters[call.number]
        if receipt is not None and receipt.code is not None:
            if receipt.code == NoResponders.code and call.number < call.stream.doubtful_below:
                raise OutcomeUnknown(f"the exchange died meanwhile and may have reached somebody: {receipt.text}")
            raise from_wire(receipt.code, receipt.text)
        assert call.stream.failure is not None
        raise call.stream.failure

    def end(self, call: Outgoing) -> None:
        """Nobody waits for it any more, whatever came of it."""
        self._replies.forget(call.awaited)
        del call.stream.waiters[call.number]
        call.stream.refused.clear()

    def _stream(self, exchange: str) -> Stream:
        stream = self._streams.get(exchange)
        if stream is not None and stream.failure is not None:
            self._session.drop_stream(stream)
            stream = None
        if stream is None:
            stream = self._streams[exchange] = self._session.stream(exchange)
        return stream
