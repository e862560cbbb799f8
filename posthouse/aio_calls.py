"""Request-reply in an event loop: tasks that call, and a server whose handlers are tasks.

Caller and server share the connection of their broker; a program may call what it serves itself.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, final

from posthouse.aio_consumer import Consumer
from posthouse.aio_wire import Wire
from posthouse.answers import Answer, Answers
from posthouse.arguments import check_count, check_seconds
from posthouse.call_server import check_handler
from posthouse.calls import Calls, check_call_seconds, not_sent, timed_out
from posthouse.message import Message
from posthouse.transport.errors import InvalidArgument, PosthouseError
from posthouse.transport.limits import PREFETCH_MAX

CONCURRENCY_DEFAULT: Final = 16

Handler = Callable[[Message], Awaitable[bytes]] | Callable[[Message], bytes]


@final
class Caller:
    """The calls of one connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._calls = Calls(wire.session, lambda stream: wire.leave(stream, is_urgent=True))

    @property
    def late_replies(self) -> int:
        return self._calls.late_replies

    async def call(
        self,
        exchange: str,
        body: bytes,
        routing_key: str,
        headers: dict[str, Any] | None,
        timeout_s: float,
        options: dict[str, Any],
    ) -> Message:
        """See `Broker.call`. A task that is cancelled leaves a request whose reply is dropped."""
        limit_s = check_call_seconds(timeout_s)
        data, key = self._calls.make_key(exchange, body, routing_key, headers, options)
        wire, calls = self._wire, self._calls
        wire.check_open()
        deadline, deadline_ms = wire.now() + limit_s, (time.time() + limit_s) * 1_000
        was_connected = wire.pump.is_connected
        listening = wire.session.listen()
        if not await wire.wait_until(lambda: listening.is_done, deadline):
            wire.check_open()
            raise not_sent(limit_s, wire.pump.overdue(limit_s, was_connected))
        if listening.error is not None:
            raise listening.error
        outgoing = calls.begin(exchange, data, key, options.get("message_id"), deadline_ms)
        try:
            if not await wire.wait_until(lambda: calls.is_over(outgoing), deadline):
                raise timed_out(limit_s, wire.pump.overdue(limit_s, was_connected))
            return calls.result(outgoing)
        finally:
            calls.end(outgoing)


@final
class CallServer:
    """Answers the requests of one queue, `concurrency` at a time. Opened by `async with`; `wait` until it has ended.

    `served`, `failed`, `late` and `dropped` count. `failure` is what ended it, if something did. The handler is a
    coroutine function, or a function, which runs in a thread so that the loop goes on.
    """

    def __init__(
        self,
        wire: Wire,
        queue: str,
        handler: Handler,
        concurrency: int,
        prefetch: int | None,
        timeout_s: float,
        *,
        tells_traceback: bool,
    ) -> None:
        check_handler(handler)
        check_count("concurrency", concurrency, 1, PREFETCH_MAX)
        wire.check_open()
        self.failure: PosthouseError | None = None
        self._wire = wire
        self._handler: Callable[[Message], Any] = handler
        self._timeout_s = timeout_s
        self._consumer = Consumer(
            wire, queue, concurrency if prefetch is None else prefetch, timeout_s, auto_ack=False, exclusive=False
        )
        self._answers = Answers(
            wire.session, lambda stream: wire.leave(stream, is_urgent=True), tells_traceback=tells_traceback
        )
        self._room = asyncio.Semaphore(concurrency)
        self._handling: set[asyncio.Task[None]] = set()
        self._serving: asyncio.Task[None] | None = None
        self._is_closing = False

    @property
    def served(self) -> int:
        """Requests answered with what the handler returned."""
        return self._answers.served

    @property
    def failed(self) -> int:
        """Requests answered with an error."""
        return self._answers.failed

    @property
    def late(self) -> int:
        """Requests not handled, since their deadline had passed."""
        return self._answers.late

    @property
    def dropped(self) -> int:
        """Replies that could not be sent."""
        return self._answers.dropped

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended, or for so long; says whether it has. Raises `failure`."""
        limit_s = None if timeout_s is None else check_seconds("timeout_s", timeout_s)
        if self._serving is None:
            raise InvalidArgument("this server is not open; use it with `async with`")
        await asyncio.wait([self._serving], timeout=limit_s)
        if self.failure is not None:
            raise self.failure
        return self._serving.done()

    async def close(self) -> None:
        """Take no more requests, let those being handled end within the deadline, and leave.

        What was not handled returns to the queue. Closing twice is fine.
        """
        if self._is_closing:
            return
        self._is_closing = True
        try:
            if self._serving is not None:
                self._serving.cancel()
                await asyncio.wait([self._serving])
            if self._handling:
                await asyncio.wait(self._handling, timeout=self._timeout_s)
        finally:
            for task in self._handling:
                task.cancel()
            await self._consumer.close()
            self._answers.finish()

    async def __aenter__(self) -> Self:
        if self._serving is None:
            await self._consumer
            self._serving = asyncio.get_running_loop().create_task(self._serve())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        if kind is None and self.failure is not None:
            raise self.failure

    # ---- tasks ----

    async def _serve(self) -> None:
        try:
            async for message in self._consumer:
                await self._room.acquire()
                task = asyncio.get_running_loop().create_task(self._handle(message.received))
                self._handling.add(task)
                task.add_done_callback(self._handled)
        except PosthouseError as error:
            self.failure = error

    def _handled(self, task: asyncio.Task[None]) -> None:
        self._handling.discard(task)
        self._room.release()

    async def _handle(self, request: Message) -> None:
        wire, answers = self._wire, self._answers
        if not answers.drop_late(request, time.time_ns() // 1_000_000):
            with Answer(request) as answer:
                answer.body = await self._run(answer.shown)
            if not answers.has_room:
                await wire.wait_until(lambda: answers.has_room, wire.now() + self._timeout_s)
            answers.give(answer)
        wire.wake()

    async def _run(self, message: Message) -> Any:
        try:
            if inspect.iscoroutinefunction(self._handler):
                return await self._handler(message)
            found = await asyncio.to_thread(self._handler, message)
            return await found if inspect.isawaitable(found) else found
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise InterruptedError("what the handler waited for was cancelled") from error
