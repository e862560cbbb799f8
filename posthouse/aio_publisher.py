"""Publishing in an event loop: the streams of lone messages, and the pipelined publisher."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any, Final, Self, final

from posthouse import tracing
from posthouse.aio_wire import Wire
from posthouse.arguments import check_count, check_seconds
from posthouse.delay_times import due_of_many, due_of_options
from posthouse.publisher import (
    WINDOW_BYTES_MAX,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    check_body,
    has_room,
    is_alone,
    make_key,
    take_outcome,
)
from posthouse.stream import Key, Stream
from posthouse.transport.errors import InvalidArgument, NotDone
from posthouse.transport.names import check_name

SEND_MANY_MESSAGES: Final = 1_000


@final
class Streams:
    """The streams of messages that are published one by one, one per exchange."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._by_exchange: dict[str, Stream] = {}

    async def with_room(self, exchange: str, deadline: float) -> Stream:
        """The stream to an exchange, once not too much in it is unconfirmed. Raises NotDone at the deadline."""
        while True:
            self._wire.check_open()
            stream = self._stream(exchange)
            if has_room(stream, WINDOW_DEFAULT):
                return stream

            def may_go_on(stream: Stream = stream) -> bool:
                return stream.failure is not None or has_room(stream, WINDOW_DEFAULT)

            if not await self._wire.wait_until(may_go_on, deadline):
                raise NotDone(f"{stream.unconfirmed_messages} messages are unconfirmed; this one was not published")

    def _stream(self, exchange: str) -> Stream:
        stream = self._by_exchange.get(exchange)
        if stream is not None and stream.failure is not None:
            self._wire.session.drop_stream(stream)
            stream = None
        if stream is None:
            check_name("exchange", exchange, may_be_empty=True)
            stream = self._by_exchange[exchange] = self._wire.session.stream(exchange)
        return stream


@final
class Publisher:
    """Sends without waiting for each receipt. Several tasks may share it; order is the order of `send`."""

    def __init__(self, wire: Wire, exchange: str, window: int, timeout_s: float) -> None:
        check_name("exchange", exchange, may_be_empty=True)
        check_count("window", window, 1, WINDOW_MAX)
        wire.check_open()
        self._wire = wire
        self._window = window
        self._timeout_s = timeout_s
        self._stream: Stream = wire.session.stream(exchange)
        self._tracing = tracing.active
        self._key: Key = make_key("", None, {})
        self._key_is_plain = self._tracing is None
        self._owes_turn = False
        self._is_closed = False

    async def send(
        self, body: bytes, routing_key: str = "", headers: dict[str, Any] | None = None, **options: Any
    ) -> int:
        """Take one message; returns its number, from 1. Keywords as in `Broker.publish`.

        Waits only while the window is full, and then before it takes the message: whatever it raises, and if its task
        is cancelled, this message was not taken. Raises InvalidArgument, NotDone when the window stays full.
        """
        stream = self._stream
        data = check_body(body, self._wire.session.limits)
        due_ms = due_of_options(options, time.time_ns()) if options else 0
        if headers is not None or options or not self._key_is_plain or routing_key != self._key[0]:
            if self._tracing is not None:
                headers = self._tracing.carried(headers)
            self._key = make_key(routing_key, headers, options)
            self._key_is_plain = headers is None and not options and self._tracing is None
        key = self._key
        if self._owes_turn or not has_room(stream, self._window):
            await self._wait_for_room()
        self._check_open()
        number = stream.add(data, key)
        if due_ms:
            stream.schedule(due_ms)
        if options and (options.get("message_id") or options.get("correlation_id")):
            stream.describe(options.get("message_id"), options.get("correlation_id"))
        if stream.is_full or is_alone(key):
            self._close_batch()
        elif not stream.has_been_left:
            self._wire.leave(stream, is_urgent=False)
        return number

    async def send_many(
        self,
        bodies: list[bytes],
        routing_key: str = "",
        headers: dict[str, Any] | None = None,
        **options: Any,
    ) -> int:
        """Take many messages that share all but the body; returns the number of the last. Cheaper than `send`.

        `delay_s` may be a list with the delay of each.
        They are taken a thousand at a time while there is room: when it raises or is cancelled, the first ones are.
        """
        limits = self._wire.session.limits
        checked = [check_body(body, limits) for body in bodies]
        due = due_of_many(options, len(checked), time.time_ns()) if options else None
        if self._tracing is not None:
            headers = self._tracing.carried(headers)
        key = make_key(routing_key, headers, options)
        for start in range(0, len(checked), SEND_MANY_MESSAGES):
            await self._wait_for_room()
            self._check_open()
            part = slice(start, start + SEND_MANY_MESSAGES)
            self._stream.add_many(checked[part], key, due[part] if due is not None else None)
            self._close_batch()
        return self._stream.next_seq - 1

    async def flush(self, timeout_s: float | None = None) -> None:
        """Wait until everything sent so far is confirmed. Raises PublishError naming what was refused or is unknown."""
        limit_s = self._timeout_s if timeout_s is None else check_seconds("timeout_s", timeout_s)
        stream = self._stream
        stream.close_batch()
        through = stream.next_seq - 1
        await self._wire.wait_until(lambda: stream.is_confirmed(through), self._wire.now() + limit_s)
        outcome = take_outcome(stream, through)
        if outcome is not None:
            raise outcome

    async def close(self) -> None:
        """Flush and forget the stream."""
        if not self._is_closed:
            self._is_closed = True
            try:
                await self.flush()
            finally:
                self._wire.session.drop_stream(self._stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.close()
        elif not self._is_closed:
            self._is_closed = True
            self._close_batch()
            self._wire.session.drop_stream(self._stream)

    def _close_batch(self) -> None:
        self._stream.close_batch()
        self._owes_turn = True
        self._wire.wake()

    async def _wait_for_room(self) -> None:
        """A task that only sends never waits by itself; after each full batch the loop has its turn."""
        stream = self._stream
        if self._owes_turn:
            self._owes_turn = False
            await asyncio.sleep(0)
        if has_room(stream, self._window):
            return
        is_there_room = await self._wire.wait_until(
            lambda: stream.failure is not None or has_room(stream, self._window // 2, WINDOW_BYTES_MAX // 2),
            self._wire.now() + self._timeout_s,
        )
        if not is_there_room:
            self._check_open()
            raise NotDone(
                f"{stream.unconfirmed_messages} messages are unconfirmed, too few were confirmed in "
                f"{self._timeout_s} s; they are kept and sent again when the broker answers, and this one was not taken"
            )

    def _check_open(self) -> None:
        self._wire.check_open()
        if self._is_closed:
            raise InvalidArgument("this publisher is closed")
        if self._stream.failure is not None:
            raise self._stream.failure
