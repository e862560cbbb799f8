"""One life of the child `web`: it waits for the first connection, and only then loads what serving takes.

The socket is bound before the fork, so a broker is ready as quickly as without it, and one whose page nobody opens
pays neither the memory nor the time of a web server.

Fails with: nothing of its own; whatever goes wrong in it ends this process, and the next life takes over the socket
with all that waits in it.
"""

from __future__ import annotations

import select
import socket
from typing import Final

from posthouse.supervisor import control_messages as control
from posthouse.supervisor.child_spec import Life
from posthouse.web.settings import WebSettings

WAIT_MS: Final = 1_000


def run(life: Life, listener: socket.socket, broker_address: str, settings: WebSettings) -> int:
    """Returns the exit code."""
    life.control.send(control.Ready(settings.address))
    if not _wait_for_somebody(life, listener):
        return 0
    # After the wait: starlette and uvicorn take a fifth of a second and 20 MB.
    from posthouse.web.server import serve

    return serve(life, listener, broker_address, settings)


def _wait_for_somebody(life: Life, listener: socket.socket) -> bool:
    """False when the broker is to stop before anybody came."""
    poll = select.poll()
    poll.register(life.control.fileno(), select.POLLIN)
    poll.register(listener.fileno(), select.POLLIN)
    while True:
        life.beacon.idle()
        found = [descriptor for descriptor, _ in poll.poll(WAIT_MS)]
        life.beacon.busy(1)
        if life.control.fileno() in found and any(isinstance(told, control.Stop) for told in life.control.receive()):
            return False
        if listener.fileno() in found:
            return True
