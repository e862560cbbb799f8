"""uvicorn in a child of our supervisor: it is stopped through the control channel, and its loop shows that it turns.

uvicorn takes no signals here: SIGTERM asks the supervisor, which decides. It writes no access log.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
from collections.abc import Iterator
from typing import Final, final

import uvicorn

from posthouse.supervisor import control_messages as control
from posthouse.supervisor.beacon import BeaconSlot
from posthouse.supervisor.child_spec import Life
from posthouse.web.app import make_app
from posthouse.web.connection import Connection
from posthouse.web.http_protocol import HttpProtocol
from posthouse.web.request_context import Web
from posthouse.web.settings import WebSettings

GRACE_S: Final = 2
"""What is under way when the broker stops may take this long, well within what the supervisor allows."""

CONNECTIONS_MAX: Final = 512
HEADER_BYTES_MAX: Final = 32 * 1024
KEEP_ALIVE_S: Final = 15


@final
class _WatchedSelector(selectors.DefaultSelector):
    """Tells the beacon when the loop waits and when it works, so that one that hangs is found out."""

    def __init__(self, beacon: BeaconSlot) -> None:
        super().__init__()
        self._beacon = beacon

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._beacon.idle()
        found = super().select(timeout)
        self._beacon.busy(2)
        return found


@final
class _Server(uvicorn.Server):
    """uvicorn without its signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(life: Life, listener: socket.socket, broker_address: str, settings: WebSettings) -> int:
    """Serve until the supervisor says stop; returns the exit code."""
    # No Runner: at its end it waits for threads that still read journals, and the process ends without them.
    loop = asyncio.SelectorEventLoop(_WatchedSelector(life.beacon))
    asyncio.set_event_loop(loop)
    loop.run_until_complete(_serve(life, listener, broker_address, settings))
    return 0


async def _serve(life: Life, listener: socket.socket, broker_address: str, settings: WebSettings) -> None:
    web = Web(Connection(broker_address, settings.broker_timeout_s), settings)
    server = _Server(
        uvicorn.Config(
            make_app(broker_address, settings, web),
            http=HttpProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )

    def notice() -> None:
        if any(isinstance(told, control.Stop) for told in life.control.receive()):
            web.is_stopping.set()
            server.should_exit = True
            asyncio.get_running_loop().remove_reader(life.control.fileno())

    asyncio.get_running_loop().add_reader(life.control.fileno(), notice)
    await server.serve(sockets=[listener])
