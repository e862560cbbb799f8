"""Consuming: an endless iterator over a queue's messages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self, final

from posthouse.arguments import check_count, check_seconds
from posthouse.asking import Call
from posthouse.message import Message
from posthouse.subscription import Subscription
from posthouse.transport.errors import BrokerNotRunning, InvalidArgument
from posthouse.wire_pump import Pump

FOREVER_S: Final = 365 * 24 * 3600.0
SETTLE_SHARE: Final = 4
"""Settlements leave at the latest when a quarter of the prefetch is settled, so that the queue can go on delivering."""


@final
class Consumer:
    """The messages of one queue. Close it, or use it as a context; what is not settled then returns to the queue."""

    def __init__(self, pump: Pump, subscription: Subscription, opened: Call, timeout_s: float) -> None:
        self._pump = pump
        self._lock = pump.lock
        self._subscription = subscription
        self._timeout_s = timeout_s
        self._settle_at = max(1, subscription.prefetch // SETTLE_SHARE)
        self._is_closed = False
        deadline = time.monotonic() + timeout_s
        with pump.lock:
            if not pump.wait_until(lambda: opened.is_done or subscription.failure is not None, deadline):
                pump.session.unsubscribe(subscription)
                raise BrokerNotRunning(f"the queue did not answer within {timeout_s} s; nothing was consumed")
            error = opened.error or subscription.failure
            if error is not None:
                pump.session.unsubscribe(subscription)
                raise error

    def get(self, timeout_s: float | None = None) -> Message | None:
        """The next message, or None when none came in time (None: the client's default deadline)."""
        return self._next(self._limit_s(timeout_s))

    def _next(self, limit_s: float) -> Message | None:
        if self._is_closed or self._pump.is_closed:
            self._refuse()
        subscription = self._subscription
        if not subscription.ready or subscription.unsettled >= self._settle_at:
            self._fetch(limit_s)
        try:
            return subscription.ready.popleft()
        except IndexError:  # Nothing came, or the stand-in found that the session had ended and what we had is void.
            return None

    def batch(self, max_count: int, timeout_s: float | None = None) -> list[Message]:
        """Up to `max_count` messages as soon as there is one; none when none came in time."""
        check_count("max_count", max_count, 1, 1 << 20)
        limit_s = self._limit_s(timeout_s)
        if self._is_closed or self._pump.is_closed:
            self._refuse()
        ready = self._subscription.ready
        if not ready or self._subscription.unsettled >= self._settle_at:
            self._fetch(limit_s)
        with self._lock:
            if len(ready) <= max_count:
                taken = list(ready)
                ready.clear()
                return taken
            return [ready.popleft() for _ in range(max_count)]

    def ack_all(self, taken: list[Message]) -> None:
        """Ack many messages; the same as `ack` on each, for less."""
        with self._lock:
            self._subscription.ack_all(taken)

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        """Waits as long as it takes. Raises the error that ended the consumer, if something did."""
        while True:
            message = self._next(FOREVER_S)
            if message is not None:
                return message

    def close(self) -> None:
        """Send the settlements and leave; what was not settled returns to the queue."""
        if self._is_closed:
            return
        self._is_closed = True
        with self._lock:
            if self._pump.is_closed or self._subscription.failure is not None:
                return
            call = self._pump.session.unsubscribe(self._subscription)
            self._pump.wait_until(lambda: call.is_done, time.monotonic() + self._timeout_s)
            self._pump.session.forget(call)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _limit_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else check_seconds("timeout_s", timeout_s)

    def _refuse(self) -> None:
        self._pump.check_open()
        raise InvalidArgument("this consumer is closed")

    def _fetch(self, limit_s: float) -> None:
        """Send settlements; if nothing is there, wait for something."""
        subscription = self._subscription
        with self._lock:
            if self._is_closed or self._pump.is_closed:
                self._refuse()
            self._pump.push()
            if not subscription.ready:
                deadline = time.monotonic() + limit_s
                self._pump.wait_until(lambda: bool(subscription.ready or subscription.failure), deadline)
        if subscription.failure is not None and not subscription.ready:
            raise subscription.failure
