"""The socket on which the broker answers HTTP: bound once, before anything is started, and served by the child `web`.

It belongs to the supervisor. A life of `web` that dies takes nothing with it: who connects meanwhile waits in the
kernel's queue for the next one. The other children close their copy.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Final

from posthouse.config import Config, HttpAddress
from posthouse.transport.errors import AddressInUse

BACKLOG: Final = 128


def open_as_configured(config: Config, warn: Callable[[str], None]) -> tuple[socket.socket | None, str]:
    """The socket and its URL; none where the configuration wants none. Raises AddressInUse.

    Where nobody asked for the default address and it is taken, there is a warning and no socket: a second broker on one
    machine must start as it did before there was a web page.
    """
    address = config.http_address
    if address is None:
        return None, ""
    try:
        listener = open_http_socket(address)
    except AddressInUse as error:
        if config.http is not None:
            raise
        warn(f"no web page and no HTTP API: {error}")
        return None, ""
    return listener, f"http://{HttpAddress(address.host, listener.getsockname()[1])}"


def open_http_socket(address: HttpAddress) -> socket.socket:
    """Bind and listen. Raises AddressInUse."""
    try:
        (family, _, _, _, where), *_ = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(where[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise AddressInUse(
            f"cannot listen on http://{address}: {why}; is another broker running? see --http"
        ) from error
