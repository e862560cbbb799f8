"""Consuming in an event loop: an endless asynchronous iterator over a queue's messages."""

from __future__ import annotations

import weakref
from collections.abc import Generator
from types import TracebackType
from typing import Any, Self, final

from posthouse import requests
from posthouse.aio_message import Message, Settling
from posthouse.aio_wire import Wire
from posthouse.arguments import check_count, check_seconds
from posthouse.subscription import Subscription
from posthouse.transport.errors import BrokerNotRunning, InvalidArgument, NotDone, PosthouseError


@final
class Consumer:
    """The messages of one queue. Opened by `async with`, by `await`, or by its first message.

    Close it, or use it as a context; what is not settled then returns to the queue. One that is forgotten, as by
    `break` in `async for message in broker.consume(...)`, is closed with the last message that may yet be settled.
    Several tasks may take from it.
    """

    def __init__(
        self, wire: Wire, queue: str, prefetch: int, timeout_s: float, *, auto_ack: bool, exclusive: bool
    ) -> None:
        requests.check_consume(queue, prefetch, auto_ack, exclusive)
        self._wire = wire
        self._queue = queue
        self._prefetch = prefetch
        self._auto_ack = auto_ack
        self._exclusive = exclusive
        self._timeout_s = timeout_s
        self._subscription: Subscription | None = None
        self._settling: Settling | None = None
        self._forgotten: weakref.finalize[Any, Settling] | None = None
        self._is_closed = False

    async def get(self, timeout_s: float | None = None) -> Message | None:
        """The next message, or None when none came in time (None: the client's default deadline)."""
        subscription = await self._fetch(timeout_s)
        return Message(subscription.ready.popleft(), self._settling) if subscription.ready else None

    async def batch(self, max_count: int, timeout_s: float | None = None) -> list[Message]:
        """Up to `max_count` messages as soon as there is one; none when none came in time."""
        check_count("max_count", max_count, 1, 1 << 20)
        ready = (await self._fetch(timeout_s)).ready
        return [Message(ready.popleft(), self._settling) for _ in range(min(max_count, len(ready)))]

    async def ack_all(self, taken: list[Message]) -> None:
        """Ack many messages; the same as `ack` on each, for less."""
        self._check_open()
        if self._subscription is not None and self._settling is not None:
            self._subscription.ack_all([message.received for message in taken])
            await self._settling.noted()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """Waits as long as it takes. Ends when the consumer is closed; raises the error that ended it otherwise."""
        subscription = self._subscription
        while subscription is None or self._is_closed or not subscription.ready:
            if self._is_closed or self._wire.is_closed:
                raise StopAsyncIteration
            subscription = subscription or await self._open()
            await self._wait(subscription, None)
        return Message(subscription.ready.popleft(), self._settling)

    async def close(self) -> None:
        """Send the settlements and leave; what was not settled returns to the queue."""
        if self._is_closed:
            return
        self._is_closed = True
        self._wire.look()
        subscription = self._subscription
        if subscription is None or self._wire.is_closed or subscription.failure is not None:
            return
        if self._forgotten is not None:
            self._forgotten.detach()
        call = self._wire.session.unsubscribe(subscription)
        try:
            await self._wire.wait_until(lambda: call.is_done, self._wire.now() + self._timeout_s)
        finally:
            self._wire.session.forget(call)

    async def __aenter__(self) -> Self:
        if self._subscription is None:
            await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def _open(self) -> Subscription:
        wire, session = self._wire, self._wire.session
        self._check_open()
        subscription, opened = session.subscribe(
            self._queue, self._prefetch, auto_ack=self._auto_ack, exclusive=self._exclusive
        )
        self._subscription = subscription
        self._settling = Settling(wire, subscription)
        try:
            if not await wire.wait_until(
                lambda: opened.is_done or subscription.failure is not None, wire.now() + self._timeout_s
            ):
                self._check_open()
                raise BrokerNotRunning(f"the queue did not answer within {self._timeout_s} s; nothing was consumed")
            error = opened.error or subscription.failure
            if error is not None:
                raise error
        except BaseException as error:
            # Also when the task was cancelled: no later session may open it, and the next use may try again.
            session.forget(opened)
            session.unsubscribe(subscription)
            self._subscription = None
            if subscription.failure is None:
                subscription.fail(error if isinstance(error, PosthouseError) else NotDone("opening it was cancelled"))
            wire.look()
            wire.wake()
            raise
        self._forgotten = weakref.finalize(self._settling, wire.abandon, subscription)
        self._forgotten.atexit = False
        return subscription

    async def _fetch(self, timeout_s: float | None) -> Subscription:
        """Wait until something is ready, or the deadline has passed."""
        limit_s = self._timeout_s if timeout_s is None else check_seconds("timeout_s", timeout_s)
        self._check_open()
        subscription = self._subscription or await self._open()
        if not subscription.ready:
            await self._wait(subscription, self._wire.now() + limit_s)
            if not subscription.ready:
                self._check_open()
        return subscription

    async def _wait(self, subscription: Subscription, deadline: float | None) -> None:
        """Until there is a message, a deadline, or an end. Raises the error that ended the consumer."""

        def has_news() -> bool:
            return bool(subscription.ready or subscription.failure or self._is_closed)

        # A message that another task took, or that its queue took back, was not for us.
        while not subscription.ready and await self._wire.wait_until(has_news, deadline):
            if subscription.failure is not None and not subscription.ready:
                raise subscription.failure
            if self._is_closed:
                return

    def _check_open(self) -> None:
        self._wire.check_open()
        if self._is_closed:
            raise InvalidArgument("this consumer is closed")
