"""Publishing: what a program says about a message, and the pipelined publisher."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Final, Self, final

import msgspec

from posthouse import tracing
from posthouse.arguments import check_count, check_seconds, is_short_text
from posthouse.delay_times import due_of_many, due_of_options
from posthouse.queue_policies import check_lifetime_ms
from posthouse.stream import Key, Stream
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument, OutcomeUnknown, PublishError
from posthouse.transport.limits import DEDUP_ID_BYTES_MAX, PRIORITIES, Limits
from posthouse.transport.messages import NIL, Durability, Options
from posthouse.transport.names import check_headers, check_name, check_routing_key
from posthouse.wire_pump import Pump

DURABILITIES: Final = {"sync": Durability.SYNC, "os": Durability.OS, "memory": Durability.MEMORY}
WINDOW_DEFAULT: Final = 65_536
WINDOW_MAX: Final = 1 << 20
WINDOW_BYTES_MAX: Final = 32 * 1024 * 1024
"""What a publisher keeps unconfirmed at most, whatever its window of messages."""

_DELAY_NAMES: Final = ("delay_s", "deliver_at", "schedule_key")
_OPTION_NAMES: Final = ("durability", "content_type", "reply_to", "dedup_id", "ttl_s", "priority", *_DELAY_NAMES)
_PROPERTY_NAMES: Final = ("message_id", "correlation_id")


def check_body(body: object, limits: Limits) -> bytes:
    """The body as bytes. Raises InvalidArgument for another type or one over the limit."""
    if not isinstance(body, bytes | bytearray | memoryview):
        hint = "; encode it first" if isinstance(body, str) else ""
        raise InvalidArgument(f"a body is bytes, not {type(body).__name__}{hint}")
    data = bytes(body)
    if len(data) > limits.body_bytes_max:
        raise InvalidArgument(
            f"a body of {len(data)} bytes is over this broker's limit of {limits.body_bytes_max} (body_bytes_max)"
        )
    return data


def make_key(routing_key: str, headers: dict[str, Any] | None, options: dict[str, Any]) -> Key:
    """What a message shares with its batch. Raises InvalidArgument for anything the protocol does not have."""
    check_routing_key(routing_key)
    checked = check_headers(headers)
    raw = msgspec.Raw(messages.encode(checked)) if checked else NIL
    return routing_key, raw, make_options(options) if options else None


def make_options(given: dict[str, Any]) -> Options | None:
    """Keyword arguments of `publish` as options; None when nothing was asked."""
    for name in given:
        if name not in _OPTION_NAMES and name not in _PROPERTY_NAMES:
            raise InvalidArgument(f"publish has no argument {name!r}")
    level = given.get("durability", "sync")
    if not isinstance(level, str) or level not in DURABILITIES:
        raise InvalidArgument(f"durability is {level!r}; it is one of {', '.join(DURABILITIES)}")
    texts = {name: given.get(name) for name in ("content_type", "reply_to", "dedup_id", *_PROPERTY_NAMES)}
    for name, text in texts.items():
        if text is not None and not is_short_text(text, DEDUP_ID_BYTES_MAX):
            raise InvalidArgument(f"{name} is a text of 1 to {DEDUP_ID_BYTES_MAX} bytes, not {text!r}")
    options = Options(
        durability=DURABILITIES[level],
        content_type=texts["content_type"],
        reply_to=texts["reply_to"],
        ttl_ms=None if given.get("ttl_s") is None else check_lifetime_ms("ttl_s", given["ttl_s"]),
        priority=0 if given.get("priority") is None else check_count("priority", given["priority"], 0, PRIORITIES - 1),
        dedup_id=texts["dedup_id"],
        deliver_at_ms=0 if given.get("delay_s") is not None or given.get("deliver_at") is not None else None,
        schedule_key=given.get("schedule_key"),
    )
    return None if options == Options() else options


def has_room(stream: Stream, window: int, window_bytes: int = WINDOW_BYTES_MAX) -> bool:
    """No more is unconfirmed than that."""
    return stream.unconfirmed_messages <= window and stream.unconfirmed_bytes <= window_bytes


def take_outcome(stream: Stream, through: int) -> PublishError | None:
    """What was refused since the last look, and what is undecided up to this number; None when there is neither."""
    unknown = stream.unknown(through)
    refused, stream.refused = stream.refused, []
    return PublishError(refused, unknown) if refused or unknown else None


def is_alone(key: Key) -> bool:
    """A message with such a key travels in a batch of its own."""
    options = key[2]
    return options is not None and (options.dedup_id is not None or options.schedule_key is not None)


@final
class Publisher:
    """Sends without waiting for each receipt. One thread at a time; order is kept per publisher."""

    def __init__(self, pump: Pump, exchange: str, window: int, timeout_s: float) -> None:
        check_name("exchange", exchange, may_be_empty=True)
        check_count("window", window, 1, WINDOW_MAX)
        pump.check_open()
        self._pump = pump
        self._lock = pump.lock
        self._window = window
        self._timeout_s = timeout_s
        with pump.lock:
            self._stream: Stream = pump.session.stream(exchange)
        self._tracing = tracing.active
        self._last: tuple[str, Any, Any] = ("", self._tracing, None)
        self._key: Key = make_key("", None, {})
        self._is_closed = False

    def send(self, body: bytes, routing_key: str = "", headers: dict[str, Any] | None = None, **options: Any) -> int:
        """Take one message; returns its number, from 1. Keywords as in `Broker.publish`.

        Blocks only while the window is full. Raises InvalidArgument, OutcomeUnknown when the window stays full.
        """
        if self._is_closed or self._pump.is_closed:
            self._refuse()
        if type(body) is not bytes or len(body) > self._pump.session.limits.body_bytes_max:
            body = check_body(body, self._pump.session.limits)
        stream = self._stream
        due_ms = due_of_options(options, time.time_ns()) if options else 0
        with self._lock:
            if headers is not None or options or routing_key != self._last[0] or self._last[1] is not None:
                if self._tracing is not None:
                    headers = self._tracing.carried(headers)
                self._key = make_key(routing_key, headers, options)
                self._last = (routing_key, headers or options or self._tracing, None)
            number = stream.add(body, self._key)
            if due_ms:
                stream.schedule(due_ms)
            if options and (options.get("message_id") or options.get("correlation_id")):
                stream.describe(options.get("message_id"), options.get("correlation_id"))
            if stream.is_full or stream.is_quiet or is_alone(self._key):
                self._close_batch()
            elif not stream.has_been_left:
                self._leave()
            elif number & 63 == 0:
                self._pump.wake_stand_in()
        return number

    def send_many(
        self,
        bodies: list[bytes],
        routing_key: str = "",
        headers: dict[str, Any] | None = None,
        **options: Any,
    ) -> int:
        """Take many messages that share all but the body; returns the number of the last. Cheaper than `send`.

        `delay_s` may be a list with the delay of each.
        """
        if self._is_closed or self._pump.is_closed:
            self._refuse()
        due = due_of_many(options, len(bodies), time.time_ns()) if options else None
        limits = self._pump.session.limits
        checked = [body if type(body) is bytes else check_body(body, limits) for body in bodies]
        if checked and max(map(len, checked)) > limits.body_bytes_max:
            check_body(max(checked, key=len), limits)
        if self._tracing is not None:
            headers = self._tracing.carried(headers)
        key = make_key(routing_key, headers, options)
        with self._lock:
            self._last = ("", self, None)
            self._key = key
            for start in range(0, len(checked), 1_000):
                part = slice(start, start + 1_000)
                self._stream.add_many(checked[part], key, due[part] if due is not None else None)
                self._close_batch()
            return self._stream.next_seq - 1

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until everything sent so far is confirmed. Raises PublishError naming what was refused or is unknown."""
        stream = self._stream
        limit_s = self._timeout_s if timeout_s is None else check_seconds("timeout_s", timeout_s)
        deadline = time.monotonic() + limit_s
        with self._lock:
            stream.close_batch()
            through = stream.next_seq - 1
            self._pump.wait_until(lambda: stream.is_confirmed(through), deadline)
            outcome = take_outcome(stream, through)
        if outcome is not None:
            raise outcome

    def close(self) -> None:
        """Flush and forget the stream."""
        if not self._is_closed:
            self._is_closed = True
            try:
                self.flush()
            finally:
                with self._lock:
                    self._pump.session.drop_stream(self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._is_closed = True
            with self._lock:
                self._stream.close_batch()
                self._pump.push()
                self._pump.session.drop_stream(self._stream)

    def _refuse(self) -> None:
        self._pump.check_open()
        raise InvalidArgument("this publisher is closed")

    def _leave(self) -> None:
        """The first message of a batch waits for a confirm, unless that has come meanwhile."""
        self._pump.push()
        if self._stream.is_quiet:
            self._close_batch()
        else:
            self._stream.has_been_left = True
            self._pump.wake_stand_in()

    def _close_batch(self) -> None:
        stream = self._stream
        stream.close_batch()
        self._pump.push()
        if stream.failure is not None:
            raise stream.failure
        if not has_room(stream, self._window):
            deadline = time.monotonic() + self._timeout_s
            if not self._pump.wait_until(lambda: has_room(stream, self._window // 2, WINDOW_BYTES_MAX // 2), deadline):
                raise OutcomeUnknown(
                    f"{stream.unconfirmed_messages} messages are unconfirmed, none was for {self._timeout_s} s; "
                    "they are kept and sent again when the broker answers"
                )
        if stream.unconfirmed_messages:
            self._pump.wake_stand_in()
