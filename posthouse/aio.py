"""The client for asyncio: what `posthouse.connect` gives, with `await` before whatever waits.

    async with posthouse.aio.connect() as broker:
        await broker.publish("", b"world", routing_key="hello")
        async for message in broker.consume("hello"):
            await message.ack()

It is a shell: decisions are in `session.py`, requests in `requests.py`, I/O in `aio_wire.py`. Any number of tasks of
one event loop share a broker; no thread works behind them. Every call that waits has a deadline. A task that is
cancelled leaves the connection in order: what it asked for may or may not have happened, as after OutcomeUnknown.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Generator
from types import TracebackType
from typing import Any, Final, final

from posthouse.address import Address, parse_address
from posthouse.aio_broker import Broker
from posthouse.aio_calls import CallServer
from posthouse.aio_consumer import Consumer
from posthouse.aio_message import Message
from posthouse.aio_publisher import Publisher
from posthouse.aio_wire import Wire
from posthouse.arguments import check_seconds
from posthouse.config import default_data_directory
from posthouse.transport.errors import BrokerNotRunning
from posthouse.wire_pump import Pump

__all__: Final = ["Broker", "CallServer", "Consumer", "Message", "Publisher", "connect"]


def connect(
    address: str | None = None, *, timeout_s: float = 10.0, data: str | None = None, name: str = ""
) -> Connecting:
    """Connect to a broker, by `async with` or `await`; arguments and errors as of `posthouse.connect`."""
    where = parse_address(address if data is None else f"ipc://{os.path.abspath(data)}", default_data_directory())
    return Connecting(where, name or f"{socket.gethostname()}:{os.getpid()}", check_seconds("timeout_s", timeout_s))


@final
class Connecting:
    """A connection to be: `async with connect() as broker`, or `broker = await connect()` and `close` later."""

    def __init__(self, address: Address, name: str, timeout_s: float) -> None:
        self._address = address
        self._name = name
        self._timeout_s = timeout_s
        self._broker: Broker | None = None

    def __await__(self) -> Generator[Any, None, Broker]:
        return self._connect().__await__()

    async def __aenter__(self) -> Broker:
        self._broker = await self._connect()
        return self._broker

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._broker is not None:
            await self._broker.close()

    async def _connect(self) -> Broker:
        pump = Pump(self._address, self._name, has_stand_in=False)
        wire = Wire(pump, asyncio.get_running_loop())
        try:
            pump.look_first()
            if not await wire.wait_until(lambda: pump.is_connected, wire.now() + self._timeout_s):
                pump.look_for_broker()
                raise BrokerNotRunning(f"no broker answered at {self._address} within {self._timeout_s} s")
        except BaseException:
            await wire.close()
            raise
        return Broker(wire, self._timeout_s)
