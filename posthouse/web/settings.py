"""What the web application is told when it is made: one frozen value."""

from __future__ import annotations

from typing import Final, final

import msgspec

REQUEST_BYTES_MAX: Final = 4 * 1024 * 1024


@final
class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds."""

    address: str
    """Where it is reached: `http://127.0.0.1:15670`."""
    hosts: tuple[str, ...] = ()
    """Names in the `Host` of a request that are right besides those of this machine's loopback."""
    is_remote: bool = False
    """It listens on an address that other machines reach; then any address as `Host` is right, since only names can
    be made to point to us by others."""
    secret: bytes = b""
    """Makes the CSRF tokens; the same for all lives of one broker's web child, so that open pages stay good."""
    data: str = ""
    """The broker's data directory, for what is read from its files; nothing else is."""
    metrics_named_max: int = 1_000
    """Queues, and exchanges, with series of their own at `/metrics`."""
    request_bytes_max: int = REQUEST_BYTES_MAX
    request_timeout_s: float = 30.0
    """How long an answer may take to begin, the reading of the request included."""
    broker_timeout_s: float = 10.0
    """How long the broker may take for one request."""
