"""Serving calls in a thread: one handler, one request at a time, on a connection of its own.

The connection is its own because a program that waits for a reply holds the one it calls by, and may well be waiting
for this very server. More than one at a time: more servers, in this program or in others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, final

from posthouse import requests
from posthouse.answers import Answer, Answers
from posthouse.arguments import check_seconds
from posthouse.consumer import Consumer
from posthouse.message import Message
from posthouse.transport.errors import InvalidArgument, NotDone, PosthouseError
from posthouse.wire_pump import Pump

PREFETCH_DEFAULT: Final = 16
"""Small, since a request that waits behind a slow one here could be answered by another server."""

LOOK_S: Final = 0.05

Handler = Callable[[Message], bytes]


def check_handler(handler: object) -> None:
    """Raises InvalidArgument for what cannot be called."""
    if not callable(handler):
        raise InvalidArgument(f"handler is {handler!r}; it is a function that takes a message and returns bytes")


@final
class CallServer:
    """Answers the requests of one queue until it is closed. Use it as a context; `wait` blocks until it has ended.

    `served`, `failed`, `late` and `dropped` count. `failure` is what ended it, if something did: that the queue was
    deleted, say.
    """

    def __init__(
        self,
        connect: Callable[[], Pump],
        queue: str,
        handler: Handler,
        prefetch: int | None,
        timeout_s: float,
        *,
        tells_traceback: bool,
    ) -> None:
        prefetch = PREFETCH_DEFAULT if prefetch is None else prefetch
        requests.check_consume(queue, prefetch, False, False)
        check_handler(handler)
        self.failure: PosthouseError | None = None
        self._handler = handler
        self._timeout_s = timeout_s
        self._is_closing = False
        self._pump = pump = connect()
        try:
            with pump.lock:
                self._answers = Answers(pump.session, tells_traceback=tells_traceback)
                subscription, opened = pump.session.subscribe(queue, prefetch, auto_ack=False, exclusive=False)
            self._consumer = Consumer(pump, subscription, opened, timeout_s)
        except BaseException:
            pump.close()
            raise
        self._thread = threading.Thread(target=self._serve, name=f"posthouse-serves-{queue}", daemon=True)
        self._thread.start()

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

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended, or for so long; says whether it has. Raises `failure`."""
        limit_s = None if timeout_s is None else check_seconds("timeout_s", timeout_s)
        self._thread.join(limit_s)
        if self.failure is not None:
            raise self.failure
        return not self._thread.is_alive()

    def close(self) -> None:
        """Take no more requests, let the one that is being handled end within the deadline, and leave.

        What was not handled returns to the queue. Closing twice is fine.
        """
        if self._is_closing:
            return
        self._is_closing = True
        deadline = time.monotonic() + self._timeout_s
        if self._thread is not threading.current_thread():
            self._thread.join(self._timeout_s)
        if not self._thread.is_alive():
            self._consumer.close()
            with self._pump.lock:
                self._pump.wait_until(lambda: self._pump.session.is_settled, deadline)
        self._pump.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None and self.failure is not None:
            raise self.failure

    # ---- in the thread ----

    def _serve(self) -> None:
        try:
            while not self._is_closing:
                request = self._consumer.get(LOOK_S)
                if request is not None and not self._is_late(request):
                    self._handle(request)
        except PosthouseError as error:
            if not self._is_closing:
                self.failure = error

    def _handle(self, request: Message) -> None:
        with Answer(request) as answer:
            answer.body = self._handler(answer.shown)
        pump, answers = self._pump, self._answers
        with pump.lock:
            if pump.is_closed:
                raise NotDone("the server was closed meanwhile; the request returns to its queue")
            if not answers.has_room:
                pump.wait_until(lambda: answers.has_room or self._is_closing, time.monotonic() + self._timeout_s)
            answers.give(answer)
            pump.push()
            if pump.has_backlog:
                # The link is not open yet, or its window is full; the next handler may run for minutes.
                pump.wake_stand_in()

    def _is_late(self, request: Message) -> bool:
        with self._pump.lock:
            return self._answers.drop_late(request, time.time_ns() // 1_000_000)
