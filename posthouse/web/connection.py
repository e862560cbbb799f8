"""The one client of the broker that all requests share, connected when it is first needed.

The client survives restarts of the broker by itself. What it cannot survive is that no broker answered when it was to
be made; then the next request tries again.
"""

from __future__ import annotations

import asyncio
from typing import final

from posthouse import aio

CLIENT_NAME = "web"


@final
class Connection:
    """Made with the application, opened by the first request, closed with the application."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._broker: aio.Broker | None = None
        self._opening = asyncio.Lock()

    async def broker(self) -> aio.Broker:
        """The client. Raises BrokerNotRunning."""
        if self._broker is None:
            async with self._opening:
                if self._broker is None:
                    self._broker = await aio.connect(self._address, timeout_s=self._timeout_s, name=CLIENT_NAME)
        return self._broker

    async def close(self) -> None:
        """Whatever still waits for an answer hears that the connection is closed."""
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.close(timeout_s=0.5)
