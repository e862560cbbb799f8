"""`DIR/run/broker.json`: how clients on this machine find a broker.

The supervisor's side replaces it whole at every new life of the registry; a client reads it, and reads it again when
the registry is gone.
"""

from __future__ import annotations

import os
from typing import Final, final

import msgspec

from posthouse.transport.errors import BrokerNotRunning

NAME: Final = "broker.json"


@final
class BrokerFile(msgspec.Struct, frozen=True, kw_only=True):
    """`registry` is the ipc endpoint of its life `generation`; `listen` the door's and `http` the web
    page's address, empty when there is none."""

    pid: int
    registry: str
    generation: int
    listen: str
    version: str
    data: str
    started_at: float
    http: str = ""


def path_of(directory: str) -> str:
    """The file for a data directory, or for the run directory inside it."""
    direct = os.path.join(directory, NAME)
    return direct if os.path.exists(direct) else os.path.join(directory, "run", NAME)


def exists(directory: str) -> bool:
    """A broker runs there, or died without taking its leave."""
    return os.path.exists(path_of(directory))


def read(directory: str) -> BrokerFile:
    """Raises BrokerNotRunning when there is none, or when the process it names is gone."""
    path = path_of(directory)
    try:
        with open(path, "rb") as file:
            found = msgspec.json.decode(file.read(), type=BrokerFile)
    except FileNotFoundError:
        raise BrokerNotRunning(
            f"no broker runs on {directory}; start one with: posthouse serve --data {directory}"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise BrokerNotRunning(f"{path} cannot be read: {error}") from error
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        raise BrokerNotRunning(
            f"the broker on {directory} is gone (process {found.pid}); "
            f"start it with: posthouse serve --data {directory}"
        ) from None
    except PermissionError:
        pass
    return found
