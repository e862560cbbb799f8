"""The blocking client: everything a program can ask of a broker.

It is a shell: decisions are in `session.py`, I/O in `wire_pump.py`. Every call that waits has a deadline. A deadline
that passes raises OutcomeUnknown where the request may have taken effect, and BrokerNotRunning where it cannot have.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, final

import msgspec

from posthouse.address import parse_address
from posthouse.arguments import check_count, check_seconds
from posthouse.config import default_data_directory
from posthouse.consumer import Consumer
from posthouse.dead_letters import DeadLetters
from posthouse.message import Message
from posthouse.publisher import WINDOW_DEFAULT, Publisher, check_body, make_key
from posthouse.queue_policies import queue_policies
from posthouse.receipt import PublishReceipt
from posthouse.session import REGISTRY, Call, result_of
from posthouse.stream import Stream
from posthouse.transport import messages
from posthouse.transport.errors import (
    BrokerNotRunning,
    InvalidArgument,
    OutcomeUnknown,
    Refused,
    from_wire,
)
from posthouse.transport.explanation import Explanation
from posthouse.transport.limits import PREFETCH_MAX
from posthouse.transport.messages import (
    BindingSpec,
    ConsumerInfo,
    Deliver,
    ExchangeSpec,
    QueueInfo,
    QueueSpec,
)
from posthouse.transport.names import actor_of_queue, check_headers, check_name, check_routing_key
from posthouse.wire_pump import Pump


def connect(address: str | None = None, *, timeout_s: float = 10.0, data: str | None = None, name: str = "") -> Broker:
    """Connect to a broker: this user's on this machine, `tcp://host:port`, or `ipc:///data/directory`.

    `timeout_s` is the default deadline of every call, in seconds. `name` is shown in `posthouse consumers`.
    Raises BrokerNotRunning when nobody answers in time, InvalidArgument for an address of another form.
    """
    timeout_s = check_seconds("timeout_s", timeout_s)
    where = parse_address(address if data is None else f"ipc://{os.path.abspath(data)}", default_data_directory())
    pump = Pump(where, name or f"{socket.gethostname()}:{os.getpid()}")
    try:
        with pump.lock:
            pump.look_for_broker()
            if not pump.wait_until(lambda: pump.is_connected, time.monotonic() + timeout_s):
                raise BrokerNotRunning(f"no broker answered at {where} within {timeout_s} s")
    except BaseException:
        pump.close()
        raise
    return Broker(pump, timeout_s)


@final
class Broker:
    """A connection to a broker. Survives its restarts. One thread at a time uses it comfortably; several may."""

    def __init__(self, pump: Pump, timeout_s: float) -> None:
        self._pump = pump
        self._session = pump.session
        self._timeout_s = timeout_s
        self._streams: dict[str, Stream] = {}
        self.dead_letters = DeadLetters(self._ask_actor, self._pause, timeout_s)

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
    ) -> None:
        """Make an exchange, or check that it is as described. Raises PreconditionFailed naming what differs.

        `kind`: direct, topic, fanout or headers. `unrouted`: what happens to messages no queue wants: `return`
        (refused with Unroutable, the default), `drop` (counted), or `alternate` (handed to the exchange `alternate`).
        """
        if unrouted is None:
            unrouted = "alternate" if alternate is not None else "return"
        spec = ExchangeSpec(
            name=check_name("exchange", name),
            kind=kind,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            alternate=alternate,
            unrouted=unrouted,
        )
        self._ask(lambda number: messages.DeclareExchange(number, spec))

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

        Policies: retry (a `Retry`; five attempts by default), dead_letter ("store", "off"), ttl_s, ack_timeout_s,
        max_length, max_bytes, overflow ("drop-head", "reject-publish", "dead-letter").
        Raises PreconditionFailed naming what differs, ResourceLocked for somebody else's exclusive queue.
        """
        if name != "":
            check_name("queue", name)
        spec = QueueSpec(
            name=name,
            durable=durable and not exclusive,
            exclusive=exclusive,
            auto_delete=auto_delete,
            single_active_consumer=single_active_consumer,
            **queue_policies(policies),
        )
        made: str = self._ask(lambda number: messages.DeclareQueue(number, spec), str)
        return self.queue_info(made)

    def bind(self, exchange: str, queue: str, key: str = "", *, arguments: dict[str, Any] | None = None) -> None:
        """Route from an exchange to a queue. In force for every publish that starts after it returns."""
        binding = self._binding(exchange, queue, key, arguments, to_exchange=False)
        self._ask(lambda number: messages.Bind(number, binding))

    def bind_exchange(
        self, source: str, destination: str, key: str = "", *, arguments: dict[str, Any] | None = None
    ) -> None:
        """Route from an exchange to another."""
        binding = self._binding(source, destination, key, arguments, to_exchange=True)
        self._ask(lambda number: messages.Bind(number, binding))

    def unbind(self, exchange: str, queue: str, key: str = "", *, arguments: dict[str, Any] | None = None) -> None:
        """Take back a `bind`. Raises UnknownBinding."""
        binding = self._binding(exchange, queue, key, arguments, to_exchange=False)
        self._ask(lambda number: messages.Unbind(number, binding), is_removal=True)

    def unbind_exchange(
        self, source: str, destination: str, key: str = "", *, arguments: dict[str, Any] | None = None
    ) -> None:
        """Take back a `bind_exchange`. Raises UnknownBinding."""
        binding = self._binding(source, destination, key, arguments, to_exchange=True)
        self._ask(lambda number: messages.Unbind(number, binding), is_removal=True)

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Remove an exchange and its bindings. Raises UnknownExchange, PreconditionFailed."""
        check_name("exchange", name)
        self._ask(lambda number: messages.DeleteExchange(number, name, if_unused), is_removal=True)

    def delete_queue(self, name: str, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """Remove a queue, its bindings and its messages; returns how many. Raises UnknownQueue, PreconditionFailed."""
        check_name("queue", name)
        removed = self._ask(
            lambda number: messages.DeleteQueue(number, name, if_unused, if_empty), int | None, is_removal=True
        )
        return removed or 0

    def purge_queue(self, name: str) -> int:
        """Remove what is ready; returns how many messages. What consumers hold stays."""
        return int(self._ask_queue(name, messages.Purge, int))

    # ---- looking ----

    def queue_info(self, name: str) -> QueueInfo:
        """The state of one queue, from the queue itself. Raises UnknownQueue."""
        found: QueueInfo = self._ask_queue(name, messages.QueueStatus, QueueInfo)
        return found

    def queues(self) -> list[QueueInfo]:
        """All queues, by name."""
        return list(self._ask(messages.ListQueues, list[QueueInfo]))

    def exchanges(self) -> list[ExchangeSpec]:
        """All exchanges, by name, the default exchange "" first."""
        return list(self._ask(messages.ListExchanges, list[ExchangeSpec]))

    def bindings(self) -> list[BindingSpec]:
        """All bindings."""
        return list(self._ask(messages.ListBindings, list[BindingSpec]))

    def consumers(self) -> list[ConsumerInfo]:
        """All consumers of all queues."""
        return list(self._ask(messages.ListConsumers, list[ConsumerInfo]))

    def tree(self) -> list[dict[str, Any]]:
        """The supervision tree: one entry per actor with pid, generation, restarts, memory."""
        return list(self._ask(messages.DescribeTree, list[dict[str, Any]]))

    def explain(self, exchange: str, *, routing_key: str = "", headers: dict[str, Any] | None = None) -> Explanation:
        """Where a message would go, and why; publishes nothing."""
        check_name("exchange", exchange, may_be_empty=True)
        check_routing_key(routing_key)
        checked = check_headers(headers)
        found: Explanation = self._ask(
            lambda number: messages.Explain(number, exchange, routing_key, checked), Explanation
        )
        return found

    def status(self) -> dict[str, Any]:
        """The broker at a glance; `healthy` is False when an actor is not up."""
        from posthouse.status import gather_status

        return gather_status(self, self._pump.address)

    # ---- publishing ----

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

        Keywords: durability ("sync", "os", "memory"), content_type, reply_to, message_id, correlation_id, dedup_id.
        Raises Unroutable, UnknownExchange, InvalidArgument; OutcomeUnknown when the deadline passes.
        """
        data = check_body(body, self._session.limits)
        key = make_key(routing_key, headers, options)
        with self._pump.lock:
            stream = self._stream(exchange)
            stream.close_batch()
            number = stream.add(data, key)
            if options.get("message_id") or options.get("correlation_id"):
                stream.describe(options.get("message_id"), options.get("correlation_id"))
            stream.waiters[number] = None
            stream.close_batch()
            try:
                self._wait(lambda: stream.waiters[number] is not None or stream.failure is not None, timeout_s)
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
        return PublishReceipt.of(receipt)

    def publisher(self, exchange: str, window: int = WINDOW_DEFAULT) -> Publisher:
        """A pipelined publisher: `send` returns at once and blocks only while `window` messages are unconfirmed."""
        return Publisher(self._pump, exchange, window, self._timeout_s)

    # ---- consuming ----

    def consume(self, queue: str, prefetch: int = 256, auto_ack: bool = False, *, exclusive: bool = False) -> Consumer:
        """Open a consumer. `prefetch`: messages held unsettled at most, 1 to 65,535.

        Raises UnknownQueue, ResourceLocked.
        """
        check_name("queue", queue)
        check_count("prefetch", prefetch, 1, PREFETCH_MAX)
        with self._pump.lock:
            subscription, opened = self._session.subscribe(queue, prefetch, auto_ack=auto_ack, exclusive=exclusive)
        return Consumer(self._pump, subscription, opened, self._timeout_s)

    def get(self, queue: str, *, auto_ack: bool = False) -> Message | None:
        """One message, or None when nothing is ready."""
        with self._pump.lock:
            check_name("queue", queue)
            getter = self._session.getter(queue, auto_ack=auto_ack)
            offset = self._ask_queue(queue, lambda number: messages.Get(number, auto_ack), int | None)
            return None if offset is None else getter.ready.popleft()

    def peek(self, queue: str, count: int = 10) -> list[Message]:
        """Look at the first messages, ready or unacked; changes nothing."""
        from posthouse.message import Slice

        found = self._ask_queue(queue, lambda number: messages.Peek(number, count), list[Deliver])
        shown: list[Message] = []
        for delivery in found:
            batch = messages.decode(delivery.batch)
            assert isinstance(batch, messages.Batch)
            shown += Slice(batch, delivery.first_offset, delivery.attempt, 0).messages(None)
        return shown

    # ---- life ----

    def close(self, timeout_s: float | None = None) -> None:
        """Send what waits, within the deadline, and close. Closing twice is fine."""
        if self._pump.is_closed:
            return
        with self._pump.lock:
            for stream in self._session.streams():
                stream.close_batch()
            deadline = time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
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

    def _binding(
        self, source: str, destination: str, key: str, arguments: dict[str, Any] | None, *, to_exchange: bool
    ) -> BindingSpec:
        return BindingSpec(
            source=check_name("exchange", source, may_be_empty=True),
            destination=check_name("exchange" if to_exchange else "queue", destination),
            to_exchange=to_exchange,
            key=check_routing_key(key),
            arguments=check_headers(arguments),
        )

    def _ask(self, make: Callable[[int], Any], kind: Any = None, *, is_removal: bool = False) -> Any:
        return self._finish(REGISTRY, make, kind, is_removal)

    def _ask_queue(self, queue: str, make: Callable[[int], Any], kind: Any) -> Any:
        check_name("queue", queue)
        return self._finish(actor_of_queue(queue), make, kind, False)

    def _ask_actor(self, actor: str, make: Callable[[int], Any], kind: Any) -> Any:
        return self._finish(actor, make, kind, False)

    def _pause(self, duration_s: float) -> None:
        with self._pump.lock:
            self._pump.wait_until(lambda: False, time.monotonic() + duration_s)

    def _finish(self, target: str, make: Callable[[int], Any], kind: Any, is_removal: bool) -> Any:
        with self._pump.lock:
            if self._pump.is_closed:
                raise InvalidArgument("this connection is closed")
            call: Call = self._session.call(target, make, is_removal=is_removal)
            try:
                self._wait(lambda: call.is_done, None)
            finally:
                self._session.forget(call)
        return result_of(call, kind)

    def _wait(self, is_done: Callable[[], bool], timeout_s: float | None) -> None:
        limit_s = self._timeout_s if timeout_s is None else check_seconds("timeout_s", timeout_s)
        was_connected = self._pump.is_connected
        if not self._pump.wait_until(is_done, time.monotonic() + limit_s):
            if not was_connected and not self._pump.is_connected:
                raise BrokerNotRunning(f"no broker answered at {self._pump.address} within {limit_s} s")
            raise OutcomeUnknown(
                f"no answer within {limit_s} s; it may or may not have happened: look before you repeat it"
            )


__all__ = ["Broker", "Refused", "connect", "msgspec"]
