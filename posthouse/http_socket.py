"""The socket on which the broker answers HTTP: bound once, before anything is started, and served by the child `web`.

It belongs to the supervisor. A life of `web` that dies takes nothing with it: who connects meanwhile waits in the
kernel's queue for the next one. The other children close their copy.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from posthouse.config import HttpAddress
from posthouse.transport.errors import AddressInUse

BACKLOG: Final = 128


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


def bound(address: HttpAddress, listener: socket.socket) -> str:
    """Its URL, with the port that it got."""
    return f"http://{HttpAddress(address.host, listener.getsockname()[1])}"
