"""What a request may use: the client of the broker, the settings, and word that the process is stopping."""

from __future__ import annotations

import asyncio
from typing import cast, final

from starlette.requests import Request

from posthouse import aio
from posthouse.web.connection import Connection
from posthouse.web.settings import WebSettings


@final
class Web:
    """What every request finds in `request.app.state.web`."""

    def __init__(self, connection: Connection, settings: WebSettings) -> None:
        self.connection = connection
        self.settings = settings
        self.is_stopping = asyncio.Event()
        """Set when the process is told to stop: streams of events end."""


def web_of(request: Request) -> Web:
    """What the request may use."""
    return cast("Web", request.app.state.web)


async def broker_of(request: Request) -> aio.Broker:
    """The client. Raises BrokerNotRunning."""
    return await web_of(request).connection.broker()


def csrf_token_of(request: Request) -> str:
    """What a page carries in its forms and sends in the header `X-CSRF-Token`."""
    return cast("str", request.state.csrf_token)
