"""The blocking client: everything a program can ask of a broker.

It is a shell: decisions are in `session.py`, I/O in `wire_pump.py`. Every call that waits has a deadline. A deadline
that passes raises OutcomeUnknown where the request may have taken effect, and BrokerNotRunning where it cannot have.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, final

from posthouse import requests
from posthouse.address import parse_address
from posthouse.admin import Admin
from posthouse.alerts import Alerts
from posthouse.arguments import check_seconds
from posthouse.call_server import CallServer
from posthouse.caller import Caller
from posthouse.config import default_data_directory
from posthouse.consumer import Consumer
from posthouse.dead_letters import DeadLetters
from posthouse.definitions import Definitions
from posthouse.delay_times import due_of_options
from posthouse.delayed import Delayed
from posthouse.held import HeldMessages
from posthouse.message import Message
from posthouse.monitoring import Monitoring
from posthouse.publisher import WINDOW_DEFAULT, Publisher, check_body, make_key
from posthouse.receipt import PublishReceipt
from posthouse.requests import Answer, Request
from posthouse.status import make_status
from posthouse.stream import Stream
from posthouse.tracing import spans_around
from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.errors import from_wire
from posthouse.transport.explanation import Explanation
from posthouse.transport.messages import BindingSpec, ConsumerInfo, QueueInfo
from posthouse.transport.messages_calls import ReplyCounts
from posthouse.transport.messages_sessions import ConnectionInfo
from posthouse.transport.names import check_name
from posthouse.wire_pump import Pump, connected


def connect(address: str | None = None, *, timeout_s: float = 10.0, data: str | None = None, name: str = "") -> Broker:
    """Connect to a broker: this user's on this machine, `tcp://host:port`, or `ipc:///data/directory`.

    `timeout_s` is the default deadline of every call, in seconds. `name` is shown in `posthouse consumers`.
    Raises BrokerNotRunning when nobody answers in time, and at once where no broker has been since the last one was
    stopped; InvalidArgument for an address of another form.
    """
    timeout_s = check_seconds("timeout_s", timeout_s)
    where = parse_address(address if data is None else f"ipc://{os.path.abspath(data)}", default_data_directory())
    pump = connected(where, name or f"{socket.gethostname()}:{os.getpid()}", timeout_s)
    return Broker(pump, timeout_s)


@final
class Broker:
    """A connection to a broker. Survives its restarts. One thread at a time uses it comfortably; several may."""

    def __init__(self, pump: Pump, timeout_s: float) -> None:
        self._pump = pump
        self._session = pump.session
        self._timeout_s = timeout_s
        self._streams: dict[str, Stream] = {}
        self.delayed = Delayed(self._ask)
        self.dead_letters = DeadLetters(self._ask, self._pause)
        self._caller = Caller(pump)
        self.held = HeldMessages(self._ask)
        self.monitor = Monitoring(self._ask)
        self.definitions = Definitions(self._ask)
        self.alerts = Alerts(self._ask)
        self.admin = Admin(self._ask)

    # ---- topology ----

    def declare_exchange(
        self,
        name: str,
        kind: str = "direct",
        *,
        durable: bool = True,
        auto_delete: bool = False,
        internal: bool = False,
        alternate: str | None = None,
        unrouted: str | None = None,
        **hold: Any,
    ) -> None:
        """Make an exchange, or check that it is as described. Raises PreconditionFailed naming what differs.

        `kind`: direct, topic, fanout or headers. `unrouted`: what happens to messages no queue wants: `hold`
        (they wait for one, the default), `dead-letter`, `alternate` (handed to the exchange `alternate`), `return`
        (refused with Unroutable) or `drop` (counted). `hold_for_s`, `hold_max_length`, `hold_max_bytes` bound what is
        held; what they do not say the broker's configuration does.
        """
        self._ask(
            requests.declare_exchange(
                name,
                kind,
                durable=durable,
                auto_delete=auto_delete,
                internal=internal,
                alternate=alternate,
                unrouted=unrouted,
                hold=hold,
            )
        )

    def declare_queue(
        self,
        name: str = "",
        *,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        single_active_consumer: bool = False,
        **policies: Any,
    ) -> QueueInfo:
        """Make a queue, or check that it is as described; the broker chooses a name for "".

        Policies: retry (a `Retry`; five attempts by default), dead_letter ("store", "off"), dead_letter_exchange and
        dead_letter_routing_key, ttl_s, ack_timeout_s, max_length, max_bytes, overflow ("drop-head", "reject-publish",
        "dead-letter"), priority (True: heed priorities 0 to 9), expires_s (deleted when unused for so long), breaker (a
        `Breaker`; none by default).
        Raises PreconditionFailed naming what differs, ResourceLocked for somebody else's exclusive queue.
        """
        made = self._ask(
            requests.declare_queue(
                name,
                policies,
                durable=durable,
                exclusive=exclusive,
                auto_delete=auto_delete,
                single_active_consumer=single_active_consumer,
            )
        )
        return self.queue_info(made)

    def bind(self, exchange: str, queue: str, key: str = "", *, arguments: dict[str, Any] | None = None) -> None:
        """Route from an exchange to a queue. In force for every publish that starts after it returns."""
        self._ask(requests.bind(exchange, queue, key, arguments, to_exchange=False))

    def bind_exchange(
        self, source: str, destination: str, key: str = "", *, arguments: dict[str, Any] | None = None
    ) -> None:
        """Route from an exchange to another."""
        self._ask(requests.bind(source, destination, key, arguments, to_exchange=True))

    def unbind(self, exchange: str, queue: str, key: str = "", *, arguments: dict[str, Any] | None = None) -> None:
        """Take back a `bind`. Raises UnknownBinding."""
        self._ask(requests.unbind(exchange, queue, key, arguments, to_exchange=False))

    def unbind_exchange(
        self, source: str, destination: str, key: str = "", *, arguments: dict[str, Any] | None = None
    ) -> None:
        """Take back a `bind_exchange`. Raises UnknownBinding."""
        self._ask(requests.unbind(source, destination, key, arguments, to_exchange=True))

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Remove an exchange and its bindings. Raises UnknownExchange, PreconditionFailed."""
        self._ask(requests.delete_exchange(name, if_unused))

    def delete_queue(self, name: str, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """Remove a queue, its bindings and its messages; returns how many. Raises UnknownQueue, PreconditionFailed."""
        return self._ask(requests.delete_queue(name, if_unused, if_empty)) or 0

    def purge_queue(self, name: str) -> int:
        """Remove what is ready; returns how many messages. What consumers hold stays."""
        return self._ask(requests.purge_queue(name))

    # ---- looking ----

    def queue_info(self, name: str) -> QueueInfo:
        """The state of one queue, from the queue itself. Raises UnknownQueue."""
        return self._ask(requests.queue_info(name))

    def queues(self, names: Sequence[str] | None = None) -> list[QueueInfo]:
        """All queues, or those of these names that are there, by name."""
        return self._ask(requests.queues(names))

    def exchanges(self) -> list[ExchangeInfo]:
        """All exchanges, by name, the default exchange "" first."""
        return self._ask(requests.exchanges())

    def bindings(self) -> list[BindingSpec]:
        """All bindings."""
        return self._ask(requests.bindings())

    def consumers(self, queue: str | None = None) -> list[ConsumerInfo]:
        """All consumers of all queues, or those of one. Raises UnknownQueue."""
        return self._ask(requests.consumers(queue))

    def connections(self) -> list[ConnectionInfo]:
        """Who is connected, this client included: the oldest first, each with the actors it talks to."""
        return self._ask(requests.connections())

    def tree(self) -> list[dict[str, Any]]:
        """The supervision tree: one entry per actor with pid, generation, restarts, memory."""
        return self._ask(requests.tree())

    def explain(self, exchange: str, *, routing_key: str = "", headers: dict[str, Any] | None = None) -> Explanation:
        """Where a message would go, and why; publishes nothing."""
        return self._ask(requests.explain(exchange, routing_key, headers))

    def status(self) -> dict[str, Any]:
        """The broker at a glance; `healthy` is False when an actor is not up."""
        return make_status(self._pump.address, self.tree(), self.queues(), self.exchanges())

    # ---- publishing ----

    @spans_around("publish")
    def publish(
        self,
        exchange: str,
        body: bytes,
        routing_key: str = "",
        headers: dict[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        **options: Any,
    ) -> PublishReceipt:
        """Publish one message and wait until every queue it reached has it. Exchange "" routes by queue name.

        Keywords: durability ("sync", "os", "memory"), content_type, reply_to, message_id, correlation_id, dedup_id,
        ttl_s, priority (0 to 9, for queues with priorities); delay_s (seconds) or deliver_at (a datetime with a zone)
        to publish it later, schedule_key to name it meanwhile: another one of the same key takes its place.
        Raises Unroutable, UnknownExchange, InvalidArgument; OutcomeUnknown when the deadline passes.
        """
        data = check_body(body, self._session.limits)
        due_ms = due_of_options(options, time.time_ns()) if options else 0
        key = make_key(routing_key, headers, options)
        limit_s = self._limit_s(timeout_s)
        with self._pump.lock:
            self._pump.check_open()
            stream = self._stream(exchange)
            stream.close_batch()
            number = stream.add(data, key)
            if due_ms:
                stream.schedule(due_ms)
            if options.get("message_id") or options.get("correlation_id"):
                stream.describe(options.get("message_id"), options.get("correlation_id"))
            stream.waiters[number] = None
            stream.close_batch()
            try:
                self._wait(lambda: stream.waiters[number] is not None or stream.failure is not None, limit_s)
                receipt = stream.waiters[number]
            finally:
                del stream.waiters[number]
                stream.refused.clear()
            if receipt is None:
                self._streams.pop(exchange)
                self._session.drop_stream(stream)
                assert stream.failure is not None
                raise stream.failure
        if receipt.code is not None:
            raise from_wire(receipt.code, receipt.text)
        return PublishReceipt.of(receipt, number, options.get("message_id"))

    def publisher(self, exchange: str, window: int = WINDOW_DEFAULT) -> Publisher:
        """A pipelined publisher: `send` returns at once and blocks only while `window` messages are unconfirmed."""
        return Publisher(self._pump, exchange, window, self._timeout_s)

    # ---- calls ----

    @spans_around("call")
    def call(
        self,
        exchange: str,
        body: bytes,
        routing_key: str = "",
        headers: dict[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        **options: Any,
    ) -> Message:
        """Publish a request and wait for its reply. `timeout_s` travels with it: later it is not handled any more.

        Keywords: durability (of the request, "memory" unless given), content_type, message_id. Raises NoResponders at
        once when no queue with a consumer is reached, CallFailed when whoever serves it raised an error, CallTimeout
        when no reply came in time; and what `publish` raises.
        """
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        return self._caller.call(exchange, body, routing_key, headers, limit_s, options)

    def serve_calls(
        self,
        queue: str,
        handler: Callable[[Message], bytes],
        *,
        prefetch: int | None = None,
        tells_traceback: bool = False,
    ) -> CallServer:
        """Answer the calls of a queue: `handler(message)` returns the reply's body. In a thread, on its own connection.

        `prefetch` is 16 unless given. What the handler raises is the caller's answer; with `tells_traceback` it gets
        the traceback too. Raises UnknownQueue, ResourceLocked.
        """
        name = self._session.links.identity.client_name

        def connect() -> Pump:
            return connected(self._pump.address, name, self._timeout_s)

        self._pump.check_open()
        return CallServer(connect, queue, handler, prefetch, self._timeout_s, tells_traceback=tells_traceback)

    @property
    def late_replies(self) -> int:
        """Replies to this client's calls that came too late, or a second time."""
        return self._caller.late_replies

    def reply_counts(self) -> ReplyCounts:
        """Replies that the broker passed on to callers, and dropped because their caller was gone."""
        return self._ask(requests.reply_counts())

    # ---- consuming ----

    def consume(self, queue: str, prefetch: int = 256, auto_ack: bool = False, *, exclusive: bool = False) -> Consumer:
        """Open a consumer. `prefetch`: messages held unsettled at most, 1 to 65,535.

        Raises UnknownQueue, ResourceLocked.
        """
        requests.check_consume(queue, prefetch, auto_ack, exclusive)
        with self._pump.lock:
            self._pump.check_open()
            subscription, opened = self._session.subscribe(queue, prefetch, auto_ack=auto_ack, exclusive=exclusive)
        return Consumer(self._pump, subscription, opened, self._timeout_s)

    def get(self, queue: str, *, auto_ack: bool = False) -> Message | None:
        """One message, or None when nothing is ready."""
        request = requests.get(queue, auto_ack)
        with self._pump.lock:
            self._pump.check_open()
            getter = self._session.getter(queue, auto_ack=auto_ack)
            offset = self._ask(request)
            return None if offset is None else getter.take(offset)

    def peek(self, queue: str, count: int = 10) -> list[Message]:
        """Look at the first messages, ready or unacked; changes nothing."""
        return requests.shown(self._ask(requests.peek(queue, count)))

    # ---- life ----

    def close(self, timeout_s: float | None = None) -> None:
        """Send what waits, within the deadline, and close. Closing twice is fine."""
        if self._pump.is_closed:
            return
        deadline = time.monotonic() + self._limit_s(timeout_s)
        with self._pump.lock:
            for stream in self._session.streams():
                stream.close_batch()
            if self._pump.is_connected:
                self._pump.wait_until(lambda: self._session.is_settled, deadline)
        self._pump.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- inside ----

    def _stream(self, exchange: str) -> Stream:
        stream = self._streams.get(exchange)
        if stream is None or stream.failure is not None:
            check_name("exchange", exchange, may_be_empty=True)
            stream = self._streams[exchange] = self._session.stream(exchange)
        return stream

    def _pause(self, duration_s: float) -> None:
        with self._pump.lock:
            self._pump.wait_until(lambda: False, time.monotonic() + duration_s)

    def _ask(self, request: Request[Answer]) -> Answer:
        with self._pump.lock:
            self._pump.check_open()
            call = self._session.call(request.target, request.make, is_removal=request.is_removal)
            try:
                self._wait(lambda: call.is_done, self._timeout_s)
            finally:
                self._session.forget(call)
        return request.answer(call)

    def _limit_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else check_seconds("timeout_s", timeout_s)

    def _wait(self, is_done: Callable[[], bool], limit_s: float) -> None:
        was_connected = self._pump.is_connected
        if not self._pump.wait_until(is_done, time.monotonic() + limit_s):
            raise self._pump.overdue(limit_s, was_connected)
