"""What a request may use: the client of the broker, the settings, and word that the process is stopping."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast, final

from starlette.requests import Request

from posthouse import aio
from posthouse.transport.errors import PreconditionFailed
from posthouse.web.connection import Connection
from posthouse.web.settings import WebSettings

Answer = TypeVar("Answer")


@final
class Web:
    """What every request finds in `request.app.state.web`."""

    def __init__(self, connection: Connection, settings: WebSettings) -> None:
        self.connection = connection
        self.settings = settings
        self.is_stopping = asyncio.Event()
        """Set when the process is told to stop: streams of events end."""
        self.streams = 0
        """How many streams of events are open."""
        self._reading: asyncio.Future[Any] | None = None

    async def pause(self, duration_s: float) -> None:
        """So many seconds, or until the process is told to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.is_stopping.wait(), duration_s)

    async def read_files(self, read: Callable[..., Answer], *given: Any) -> Answer:
        """Have journals read by a thread, one reading at a time. Raises PreconditionFailed while another goes on.

        A thread cannot be stopped: who loses patience leaves it behind, and it counts until it has ended.
        """
        if self._reading is not None and not self._reading.done():
            raise PreconditionFailed("other journals are being read for a request; wait until that is done")
        self._reading = asyncio.ensure_future(asyncio.to_thread(read, *given))
        self._reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        found: Answer = await asyncio.shield(self._reading)
        return found

    async def unless_stopping(self, work: Coroutine[Any, Any, Answer]) -> Answer | None:
        """What it brings, or None when the process is told to stop first."""
        doing = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self.is_stopping.wait())
        try:
            await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            doing.cancel()
            stopping.cancel()


def web_of(request: Request) -> Web:
    """What the request may use."""
    return cast("Web", request.app.state.web)


async def broker_of(request: Request) -> aio.Broker:
    """The client. Raises BrokerNotRunning."""
    return await web_of(request).connection.broker()


def csrf_token_of(request: Request) -> str:
    """What a page carries in its forms and sends in the header `X-CSRF-Token`."""
    return cast("str", request.state.csrf_token)
