"""The serving side of request-reply: which requests are worth handling, and what their callers are told.

Pure but for the session it drives; the shells (`call_server.py`, `aio_calls.py`) run the handler inside an `Answer`
and hand that back. A request is settled together with its reply: acked, whatever the handler did, since its caller has
its answer; only one that failed and has no caller is rejected.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, final

import msgspec

from posthouse.message import Message, deadline_ms_of, only_shown
from posthouse.publisher import check_body, has_room
from posthouse.replies import failure_headers
from posthouse.session import Session
from posthouse.stream import Key, Stream
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import NIL, Durability, Options

REPLIES_UNCONFIRMED_MAX: Final = 4_096
REPLY_BYTES_UNCONFIRMED_MAX: Final = 32 * 1024 * 1024
_OPTIONS: Final = Options(durability=Durability.MEMORY)


@final
class Answer:
    """What becomes of one request: a context in which its handler runs, and `body` what that returned."""

    __slots__ = ("body", "error", "request", "shown")

    def __init__(self, request: Message) -> None:
        self.request = request
        self.shown = only_shown(request)
        self.body: object = None
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """An error of the handler is an answer too, `sys.exit` included; what interrupts or cancels it goes on."""
        self.error = error
        return isinstance(error, Exception | SystemExit)


@final
class Answers:
    """The replies of one server, and its counts.

    `served`: answered with what the handler returned; `failed`: with an error; `late`: not handled, since the deadline
    had passed; `dropped`: replies that were refused, or for which there was no room within the deadline. `send` is how
    a reply leaves: at once, or with others to the same caller a moment later.
    """

    def __init__(
        self, session: Session, send: Callable[[Stream], None] = Stream.close_batch, *, tells_traceback: bool
    ) -> None:
        self.served = 0
        self.failed = 0
        self.late = 0
        self._dropped = 0
        self._session = session
        self._send = send
        self._tells_traceback = tells_traceback
        self._stream = session.stream("")

    def drop_late(self, request: Message, now_ms: int) -> bool:
        """Settle a request that nobody waits for any more; says whether that was so."""
        deadline_ms = deadline_ms_of(request)
        if deadline_ms is None or now_ms < deadline_ms:
            return False
        self.late += 1
        request.ack()
        return True

    @property
    def dropped(self) -> int:
        """Replies that did not leave."""
        return self._dropped + len(self._stream.refused)

    @property
    def has_room(self) -> bool:
        """Not too many replies are unconfirmed."""
        return has_room(self._stream, REPLIES_UNCONFIRMED_MAX, REPLY_BYTES_UNCONFIRMED_MAX)

    def give(self, answer: Answer) -> None:
        """Send the reply and settle the request. Call it when there is room; without, the reply is dropped."""
        request = answer.request
        body, error = self._body_of(answer)
        if error is None:
            self.served += 1
        else:
            self.failed += 1
        if error is not None and not request.reply_to:
            request.reject("its handler failed", error=error)
            return
        if request.reply_to:
            self._reply(request.reply_to, request.correlation_id, body, self._headers_of(error))
        request.ack()

    def finish(self) -> None:
        """No more replies come."""
        self._session.drop_stream(self._stream)

    def _body_of(self, answer: Answer) -> tuple[bytes, BaseException | None]:
        if answer.error is not None:
            return b"", answer.error
        body = answer.body
        if not isinstance(body, bytes | bytearray | memoryview):
            return b"", InvalidArgument(f"the handler returned {type(body).__name__}; a reply is bytes")
        try:
            return check_body(body, self._session.limits), None
        except InvalidArgument as error:
            return b"", error

    def _headers_of(self, error: BaseException | None) -> msgspec.Raw:
        if error is None:
            return NIL
        # `str` of an error is code of the handler's and may fail itself; this says so instead.
        text = "".join(traceback.format_exception_only(error)).strip().partition(": ")[2]
        trace = "".join(traceback.format_exception(error)) if self._tells_traceback else None
        return msgspec.Raw(messages.encode(failure_headers(type(error).__name__, text, trace)))

    def _reply(self, address: str, correlation_id: str | None, body: bytes, headers: msgspec.Raw) -> None:
        if self._stream.failure is not None:
            self._session.drop_stream(self._stream)
            self._stream = self._session.stream("")
        stream = self._stream
        self._dropped += len(stream.refused)
        stream.refused.clear()
        if not self.has_room:
            self._dropped += 1
            return
        key: Key = (address, headers, _OPTIONS)
        stream.add(body, key)
        stream.describe(None, correlation_id)
        if stream.is_full:
            stream.close_batch()
        self._send(stream)
