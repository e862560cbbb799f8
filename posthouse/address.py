"""Where a broker is: a data directory on this machine, or a door."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, final

from posthouse.transport.errors import InvalidArgument

PORT_MAX: Final = 65_535


@final
@dataclass(frozen=True)
class Address:
    """Either `directory` (ipc, straight to the actors) or `door` (tcp) is set."""

    directory: str = ""
    door: str = ""

    def __str__(self) -> str:
        return self.door or f"ipc://{self.directory}"


def parse_address(text: str | None, default_directory: str) -> Address:
    """`tcp://host:port`, `ipc:///data/or/run/directory`, or None for $POSTHOUSE_ADDRESS, else the default directory."""
    if text is not None and not isinstance(text, str):
        raise InvalidArgument(f"an address is a text like tcp://host:port, not {text!r}")
    text = text or os.environ.get("POSTHOUSE_ADDRESS")
    if not text:
        return Address(directory=default_directory)
    scheme, separator, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and host and port.isascii() and port.isdigit() and 1 <= int(port) <= PORT_MAX:
        return Address(door=text)
    if separator and scheme == "ipc" and rest:
        return Address(directory=rest)
    raise InvalidArgument(f"address {text!r} is neither tcp://host:port nor ipc:///path/to/data-directory")
