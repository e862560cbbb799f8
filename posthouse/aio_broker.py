"""The asyncio client's connection to a broker: everything a program can ask for.

A shell like its blocking twin in `client.py`; `aio.py` makes it and tells its rules.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

from posthouse import requests
from posthouse.admin import AioAdmin
from posthouse.aio_calls import CONCURRENCY_DEFAULT, Caller, CallServer, Handler
from posthouse.aio_consumer import Consumer
from posthouse.aio_dead_letters import DeadLetters
from posthouse.aio_definitions import Definitions
from posthouse.aio_delayed import Delayed
from posthouse.aio_getter import Getter
from posthouse.aio_held import HeldMessages
from posthouse.aio_message import Message
from posthouse.aio_publisher import Publisher, Streams
from posthouse.aio_wire import Wire
from posthouse.alerts import AioAlerts
from posthouse.arguments import check_seconds
from posthouse.delay_times import due_of_options
from posthouse.monitoring import AioMonitoring
from posthouse.publisher import WINDOW_DEFAULT, check_body, is_alone, make_key
from posthouse.receipt import PublishReceipt
from posthouse.requests import Answer, Request
from posthouse.status import make_status
from posthouse.tracing import spans_around
from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.errors import from_wire
from posthouse.transport.explanation import Explanation
from posthouse.transport.messages import BindingSpec, ConsumerInfo, QueueInfo
from posthouse.transport.messages_calls import ReplyCounts
from posthouse.transport.messages_sessions import ConnectionInfo

if TYPE_CHECKING:
    from posthouse import message


@final
class Broker:
    """A connection to a broker. Survives its restarts. Any number of tasks of its event loop may use it."""

    def __init__(self, wire: Wire, timeout_s: float) -> None:
        self._wire = wire
        self._session = wire.session
        self._timeout_s = timeout_s
        self._streams = Streams(wire)
        self._caller = Caller(wire)
        self._getter = Getter(wire, timeout_s)
        self._is_closing = False
        self.delayed = Delayed(self._ask)
        self.dead_letters = DeadLetters(self._ask, self._pause)
        self.held = HeldMessages(self._ask)
        self.monitor = AioMonitoring(self._ask)
        self.definitions = Definitions(self._ask)
        self.alerts = AioAlerts(self._ask)
        self.admin = AioAdmin(self._ask)

    # ---- topology ----

    async def declare_exchange(
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
        """Make an exchange, or check that it is as described. Raises PreconditionFailed naming what differs."""
        await self._ask(
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

    async def declare_queue(
        self,
        name: str = "",
        *,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        single_active_consumer: bool = False,
        **policies: Any,
    ) -> QueueInfo:
        """Make a queue, or check that it is as described; the broker chooses a name for ""."""
        made = await self._ask(
            requests.declare_queue(
                name,
                policies,
                durable=durable,
                exclusive=exclusive,
                auto_delete=auto_delete,
                single_active_consumer=single_active_consumer,
            )
        )
        return await self.queue_info(made)

    async def bind(self, exchange: str, queue: str, key: str = "", *, arguments: dict[str, Any] | None = None) -> None:
        """Route from an exchange to a queue. In force for every publish that starts after it returns."""
        await self._ask(requests.bind(exchange, queue, key, arguments, to_exchange=False))

    async def bind_exchange(
        self, source: str, destination: str, key: str = "", *, arguments: dict[str, Any] | None = None
    ) -> None:
        """Route from an exchange to another."""
        await self._ask(requests.bind(source, destination, key, arguments, to_exchange=True))

    async def unbind(
        self, exchange: str, queue: str, key: str = "", *, arguments: dict[str, Any] | None = None
    ) -> None:
        """Take back a `bind`. Raises UnknownBinding."""
        await self._ask(requests.unbind(exchange, queue, key, arguments, to_exchange=False))

    async def unbind_exchange(
        self, source: str, destination: str, key: str = "", *, arguments: dict[str, Any] | None = None
    ) -> None:
        """Take back a `bind_exchange`. Raises UnknownBinding."""
        await self._ask(requests.unbind(source, destination, key, arguments, to_exchange=True))

    async def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Remove an exchange and its bindings. Raises UnknownExchange, PreconditionFailed."""
        await self._ask(requests.delete_exchange(name, if_unused))

    async def delete_queue(self, name: str, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """Remove a queue, its bindings and its messages; returns how many. Raises UnknownQueue, PreconditionFailed."""
        return await self._ask(requests.delete_queue(name, if_unused, if_empty)) or 0

    async def purge_queue(self, name: str) -> int:
        """Remove what is ready; returns how many messages. What consumers hold stays."""
        return await self._ask(requests.purge_queue(name))

    # ---- looking ----

    async def queue_info(self, name: str) -> QueueInfo:
        """The state of one queue, from the queue itself. Raises UnknownQueue."""
        return await self._ask(requests.queue_info(name))

    async def queues(self, names: Sequence[str] | None = None) -> list[QueueInfo]:
        """All queues, or those of these names that are there, by name."""
        return await self._ask(requests.queues(names))

    async def exchanges(self) -> list[ExchangeInfo]:
        """All exchanges, by name, the default exchange "" first."""
        return await self._ask(requests.exchanges())

    async def bindings(self) -> list[BindingSpec]:
        """All bindings."""
        return await self._ask(requests.bindings())

    async def consumers(self, queue: str | None = None) -> list[ConsumerInfo]:
        """All consumers of all queues, or those of one. Raises UnknownQueue."""
        return await self._ask(requests.consumers(queue))

    async def connections(self) -> list[ConnectionInfo]:
        """Who is connected, this client included: the oldest first, each with the actors it talks to."""
        return await self._ask(requests.connections())

    async def tree(self) -> list[dict[str, Any]]:
        """The supervision tree: one entry per actor with pid, generation, restarts, memory."""
        return await self._ask(requests.tree())

    async def explain(
        self, exchange: str, *, routing_key: str = "", headers: dict[str, Any] | None = None
    ) -> Explanation:
        """Where a message would go, and why; publishes nothing."""
        return await self._ask(requests.explain(exchange, routing_key, headers))

    async def status(self) -> dict[str, Any]:
        """The broker at a glance; `healthy` is False when an actor is not up."""
        tree, queues, exchanges = await self.tree(), await self.queues(), await self.exchanges()
        return make_status(self._wire.pump.address, tree, queues, exchanges)

    # ---- publishing ----

    @spans_around("publish")
    async def publish(
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

        Keywords and errors as of the blocking client. What several tasks publish at the same time travels together.
        Where too much is unconfirmed already it waits for room first, and raises NotDone when there is none in time.
        """
        data = check_body(body, self._session.limits)
        due_ms = due_of_options(options, time.time_ns()) if options else 0
        key = make_key(routing_key, headers, options)
        limit_s = self._limit_s(timeout_s)
        deadline = self._wire.now() + limit_s
        stream = await self._streams.with_room(exchange, deadline)
        number = stream.add(data, key)
        if due_ms:
            stream.schedule(due_ms)
        if options.get("message_id") or options.get("correlation_id"):
            stream.describe(options.get("message_id"), options.get("correlation_id"))
        if stream.is_full or is_alone(key):
            stream.close_batch()
        self._wire.leave(stream, is_urgent=True)
        stream.waiters[number] = None
        try:
            await self._wire.wait_or_raise(
                lambda: stream.waiters[number] is not None or stream.failure is not None, limit_s, deadline
            )
            receipt = stream.waiters[number]
        finally:
            del stream.waiters[number]
            stream.refused.clear()
        if receipt is None:
            assert stream.failure is not None
            raise stream.failure
        if receipt.code is not None:
            raise from_wire(receipt.code, receipt.text)
        return PublishReceipt.of(receipt, number, options.get("message_id"))

    def publisher(self, exchange: str, window: int = WINDOW_DEFAULT) -> Publisher:
        """A pipelined publisher: `send` waits only while `window` messages are unconfirmed."""
        return Publisher(self._wire, exchange, window, self._timeout_s)

    # ---- calls ----

    @spans_around("call")
    async def call(
        self,
        exchange: str,
        body: bytes,
        routing_key: str = "",
        headers: dict[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        **options: Any,
    ) -> message.Message:
        """Publish a request and wait for its reply; keywords and errors as of the blocking client."""
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        return await self._caller.call(exchange, body, routing_key, headers, limit_s, options)

    def serve_calls(
        self,
        queue: str,
        handler: Handler,
        *,
        concurrency: int = CONCURRENCY_DEFAULT,
        prefetch: int | None = None,
        tells_traceback: bool = False,
    ) -> CallServer:
        """Answer the calls of a queue, up to `concurrency` at a time, by `async with`; see `CallServer`.

        `prefetch` is `concurrency` unless given. Raises InvalidArgument; when it is opened as `consume`.
        """
        return CallServer(
            self._wire, queue, handler, concurrency, prefetch, self._timeout_s, tells_traceback=tells_traceback
        )

    @property
    def late_replies(self) -> int:
        """Replies to this client's calls that came too late, or a second time."""
        return self._caller.late_replies

    async def reply_counts(self) -> ReplyCounts:
        """Replies that the broker passed on to callers, and dropped because their caller was gone."""
        return await self._ask(requests.reply_counts())

    # ---- consuming ----

    def consume(self, queue: str, prefetch: int = 256, auto_ack: bool = False, *, exclusive: bool = False) -> Consumer:
        """A consumer, opened by `async with`, `await` or its first message.

        `prefetch`: messages held unsettled at most, 1 to 65,535. Raises InvalidArgument; when it is opened
        UnknownQueue, ResourceLocked.
        """
        return Consumer(self._wire, queue, prefetch, self._timeout_s, auto_ack=auto_ack, exclusive=exclusive)

    async def get(self, queue: str, *, auto_ack: bool = False) -> Message | None:
        """One message, or None when nothing is ready.

        If the task is cancelled meanwhile, the message returns to the queue; with `auto_ack` it may be lost.
        """
        return await self._getter.get(queue, auto_ack=auto_ack)

    async def peek(self, queue: str, count: int = 10) -> list[Message]:
        """Look at the first messages, ready or unacked; changes nothing."""
        return [Message(found, None) for found in requests.shown(await self._ask(requests.peek(queue, count)))]

    # ---- life ----

    async def close(self, timeout_s: float | None = None) -> None:
        """Send what waits, within the deadline, and close. Closing twice is fine."""
        if self._is_closing:
            return
        deadline = self._wire.now() + self._limit_s(timeout_s)
        self._is_closing = True
        try:
            for stream in self._session.streams():
                stream.close_batch()
            if self._wire.pump.is_connected:
                await self._wire.wait_until(lambda: self._session.is_settled, deadline)
        finally:
            await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---- inside ----

    async def _ask(self, request: Request[Answer]) -> Answer:
        self._wire.check_open()
        call = self._session.call(request.target, request.make, is_removal=request.is_removal)
        try:
            await self._wire.wait_or_raise(lambda: call.is_done, self._timeout_s)
        finally:
            self._session.forget(call)
        return request.answer(call)

    async def _pause(self, duration_s: float) -> None:
        await self._wire.wait_until(lambda: False, self._wire.now() + duration_s)

    def _limit_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else check_seconds("timeout_s", timeout_s)
