"""The I/O of the client for asyncio: the same pump as the blocking client's, driven by the event loop.

No thread and no task of its own: the loop calls when the socket's descriptor can be read, when a task has left
something to send, and at every tick. What tasks leave in one pass of the loop travels together. The descriptor of a
ZeroMQ socket speaks once and not again before it is drained, so a turn is repeated until nothing moves any more.

Everything here belongs to one event loop; none of it may be touched from another thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, final

from posthouse.asking import Call
from posthouse.session import TICK_MS
from posthouse.stream import Stream
from posthouse.subscription import Subscription
from posthouse.transport.errors import InvalidArgument
from posthouse.wire_pump import LOOK_FOR_BROKER_MS, Pump

TICK_S: Final = TICK_MS / 1000
LOOK_FOR_BROKER_S: Final = LOOK_FOR_BROKER_MS / 1000


@final
class Wire:
    """One connection in one event loop. Tasks wait in it; it turns the pump and wakes them."""

    def __init__(self, pump: Pump, loop: asyncio.AbstractEventLoop) -> None:
        self.pump = pump
        self.session = pump.session
        self.is_closed = False
        self._loop = loop
        self._waiting: dict[asyncio.Future[bool], Callable[[], bool]] = {}
        self._left: dict[Stream, bool] = {}
        self._soon: asyncio.Handle | None = None
        self._descriptors = pump.descriptors
        for descriptor in self._descriptors:
            loop.add_reader(descriptor, self._turn)
        self._timer = loop.call_later(LOOK_FOR_BROKER_S, self._tick)

    def now(self) -> float:
        """The loop's clock in seconds, for deadlines."""
        return self._loop.time()

    def check_open(self) -> None:
        """Raises InvalidArgument after `close`."""
        if self.is_closed:
            raise InvalidArgument("this connection is closed")

    def wake(self) -> None:
        """Something was left to send: it goes out when the tasks that are ready now have run."""
        if self._soon is None and not self.is_closed:
            self._soon = self._loop.call_soon(self._turn)

    def leave(self, stream: Stream, *, is_urgent: bool) -> None:
        """A batch was left open. It is closed at the next turn, or if nothing is urgent when the stream is quiet."""
        stream.has_been_left = True
        self._left[stream] = is_urgent or self._left.get(stream, False)
        self.wake()

    async def wait_until(self, is_done: Callable[[], bool], deadline: float | None) -> bool:
        """Wait until it is done; False when the deadline (loop's time) came first, or the connection was closed.

        Looks when something has come or `look` is called. A task that is woken runs a moment later, and may find
        that another was faster.
        """
        if is_done():
            return True
        if self.is_closed:
            return False
        future: asyncio.Future[bool] = self._loop.create_future()
        self._waiting[future] = is_done
        timer = None if deadline is None else self._loop.call_at(deadline, _give_up, future, is_done)
        try:
            self.wake()
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            self._waiting.pop(future, None)

    async def wait_or_raise(self, is_done: Callable[[], bool], limit_s: float, deadline: float | None = None) -> None:
        """The same for requests: raises what the passing of the deadline means for them."""
        was_connected = self.pump.is_connected
        if not await self.wait_until(is_done, deadline or self.now() + limit_s):
            raise self.pump.overdue(limit_s, was_connected)

    def when_done(self, call: Call, then: Callable[[], None]) -> None:
        """Have it called once the call is answered, if ever: for what a task that was cancelled leaves behind."""
        future: asyncio.Future[bool] = self._loop.create_future()
        future.add_done_callback(lambda done: then() if done.exception() is None and done.result() else None)
        self._waiting[future] = lambda: call.is_done
        self.look()

    def abandon(self, subscription: Subscription) -> None:
        """Nobody knows the consumer any more. Comes from the garbage collector, thus perhaps in another thread."""
        if not self.is_closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._unsubscribe, subscription)

    def look(self) -> None:
        """Wake the tasks whose condition holds now."""
        over = [future for future, is_done in self._waiting.items() if future.done() or is_done()]
        for future in over:
            del self._waiting[future]
            if not future.done():
                future.set_result(True)

    async def close(self) -> None:
        """Say goodbye, end the waiting tasks, close the socket. Closing twice is fine."""
        if self.is_closed:
            return
        self.is_closed = True
        self._timer.cancel()
        if self._soon is not None:
            self._soon.cancel()
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
        for future in self._waiting:
            if not future.done():
                future.set_result(False)
        self._waiting.clear()
        # ZeroMQ ends only when the last frames have left, which takes up to half a second where nobody listens.
        await asyncio.to_thread(self.pump.close)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S if self.pump.is_connected else LOOK_FOR_BROKER_S, self._tick)
        self._turn()

    def _turn(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._left:
            self._close_batches()
        try:
            may_be_more = self.pump.push()
        except Exception as error:
            self._fail(error)
            raise
        if may_be_more:
            self.look()
            self.wake()

    def _close_batches(self) -> None:
        for stream, is_urgent in list(self._left.items()):
            if stream.failure is None and (is_urgent or stream.is_quiet):
                stream.close_batch()
            if stream.failure is not None or not stream.has_open_batch:
                del self._left[stream]

    def _unsubscribe(self, subscription: Subscription) -> None:
        if not self.is_closed and subscription.failure is None:
            self.session.unsubscribe(subscription)
            self.wake()

    def _fail(self, error: Exception) -> None:
        """What goes wrong in a turn is told to the tasks that wait, or some would wait forever."""
        for future in self._waiting:
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()


def _give_up(future: asyncio.Future[bool], is_done: Callable[[], bool]) -> None:
    if not future.done():
        future.set_result(is_done())
