"""What a broker is told when it starts: one frozen value, checked once, handed down.

A file is TOML with the same names. Nothing here is read from the environment at import.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple, final

import msgspec

from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import Limits

DEFAULT_LISTEN = "tcp://127.0.0.1:5670"
DEFAULT_HTTP = "127.0.0.1:15670"


@final
class HttpAddress(NamedTuple):
    """Where the HTTP server listens. A host that is an IPv6 address stands in brackets where it is written."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@final
class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one broker. Sizes in bytes, times in milliseconds."""

    data: str
    """The data directory."""
    listen: str = DEFAULT_LISTEN
    """Where the door listens, `tcp://host:port`; port 0 picks a free one, an empty text means no door."""
    http: str | None = None
    """Where the web page and the HTTP API are, `host:port`; port 0 picks a free one, an empty text or `off` means
    nowhere. Where nothing is said, `127.0.0.1:15670`, and nowhere when that is taken."""
    http_hosts: tuple[str, ...] = ()
    """Names under which people reach it besides those of loopback: a request for another name is refused."""
    allow_remote: bool = False
    """Let the door and the HTTP server listen on addresses that other machines reach, although nobody is
    authenticated."""
    body_bytes_max: int = 16 * 1024 * 1024
    queue_memory_bytes_max: int = 64 * 1024 * 1024
    """Bodies beyond this, per queue, are kept in the journal only."""
    hold_for_s: float = 86_400.0
    """How long an exchange holds what no queue wants, where its declaration does not say; then it is a dead letter."""
    hold_max_length: int = 100_000
    """Messages an exchange holds at most."""
    hold_max_bytes: int = 256 * 1024 * 1024
    """Bytes an exchange holds at most."""
    hold_memory_bytes_max: int = 8 * 1024 * 1024
    """What is held beyond this, per exchange, is kept in the journal only."""
    disk_free_bytes_min: int = 64 * 1024 * 1024
    """With less than this left on the data directory's disk, durable messages are refused; delivery goes on."""
    dead_letters_max: int = 500_000
    """Messages in the dead-letter store; with so many, what dies stays in its queue."""
    dead_letter_bytes_max: int = 4 * 1024 * 1024 * 1024
    """The same in bytes of bodies."""
    segment_bytes_max: int = 64 * 1024 * 1024
    delayed_per_s_max: int = 50_000
    """Delayed messages leave no faster than this, above all those that became due while the broker was down."""
    alerts: dict[str, Any] = {}
    """Rules of alerts and whom they are told; docs/alerts.md. Read by `alerting.settings`, when a broker starts."""
    metrics_named_max: int = 1_000
    """Queues, and exchanges, with series of their own at /metrics; all others are summed as `(others)`."""
    log: str = "auto"
    """`text`, `json`, or `auto`: text on a terminal, JSON elsewhere."""

    @property
    def limits(self) -> Limits:
        """The limits that rule every link."""
        window = max(Limits().window_bytes, self.body_bytes_max)
        return Limits(
            body_bytes_max=self.body_bytes_max,
            frame_bytes_max=self.body_bytes_max + 4 * 1024 * 1024,
            window_bytes=window,
        )

    @property
    def http_address(self) -> HttpAddress | None:
        """Where the HTTP server listens, None for nowhere. Raises InvalidArgument."""
        given = DEFAULT_HTTP if self.http is None else self.http
        if given in ("", "off"):
            return None
        host, _, port = given.removeprefix("http://").rstrip("/").rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535 or (":" in host) != host.startswith("["):
            raise InvalidArgument(f"http is {given!r}; it has the form 127.0.0.1:15670, or is off")
        return HttpAddress(host.strip("[]"), int(port))

    @classmethod
    def load(cls, file: str | None = None, **given: Any) -> Config:
        """A file's settings, overridden by those given that are not None. Raises InvalidArgument."""
        settings: dict[str, Any] = {}
        if file is not None:
            try:
                settings = tomllib.loads(Path(file).read_text())
            except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise InvalidArgument(f"the configuration file {file} cannot be read: {error}") from error
        settings |= {name: value for name, value in given.items() if value is not None}
        settings.setdefault("data", default_data_directory())
        try:
            config = msgspec.convert(settings, cls)
        except msgspec.ValidationError as error:
            raise InvalidArgument(f"the configuration is wrong: {error}") from error
        config.check()
        return config

    def _check_listen(self) -> None:
        if not self.listen:
            return
        scheme, _, rest = self.listen.partition("://")
        host, _, port = rest.rpartition(":")
        if scheme != "tcp" or not host or not port.isdigit() or int(port) > 65_535:
            raise InvalidArgument(f"listen is {self.listen!r}; it has the form tcp://127.0.0.1:5670")
        if not _is_loopback(host) and not self.allow_remote:
            raise InvalidArgument(
                f"listen is {self.listen!r}, and this version authenticates nobody: whoever reaches that address could "
                "do everything. Listen on 127.0.0.1, or set allow_remote = true in the configuration file if the "
                "network itself keeps strangers out"
            )

    def _check_http(self) -> None:
        address = self.http_address
        if address is not None and not _is_loopback(address.host) and not self.allow_remote:
            raise InvalidArgument(
                f"http is {self.http!r}, and this version authenticates nobody: whoever reaches that address could "
                "do everything. Listen on 127.0.0.1, or set allow_remote = true in the configuration file if the "
                "network itself keeps strangers out"
            )

    def check(self) -> None:
        """Raise InvalidArgument for a value out of range."""
        self._check_listen()
        self._check_http()
        if self.log not in ("auto", "text", "json"):
            raise InvalidArgument(f"log is {self.log!r}; it is one of auto, text, json")
        if not 1024 <= self.body_bytes_max <= 512 * 1024 * 1024:
            raise InvalidArgument(f"body_bytes_max is {self.body_bytes_max}; it is 1 KiB to 512 MiB")
        if not 64 * 1024 <= self.segment_bytes_max <= 1024 * 1024 * 1024:
            raise InvalidArgument(f"segment_bytes_max is {self.segment_bytes_max}; it is 64 KiB to 1 GiB")
        if not 1 <= self.delayed_per_s_max <= 1_000_000:
            raise InvalidArgument(f"delayed_per_s_max is {self.delayed_per_s_max}; it is 1 to 1,000,000")
        if not 0 <= self.metrics_named_max <= 100_000:
            raise InvalidArgument(f"metrics_named_max is {self.metrics_named_max}; it is 0 to 100,000")
        if self.dead_letters_max < 1:
            raise InvalidArgument(f"dead_letters_max is {self.dead_letters_max}; it is at least 1")
        if self.dead_letter_bytes_max < 1024:
            raise InvalidArgument(f"dead_letter_bytes_max is {self.dead_letter_bytes_max}; it is at least 1 KiB")
        if not 0.001 <= self.hold_for_s <= 10 * 365 * 86_400:
            raise InvalidArgument(f"hold_for_s is {self.hold_for_s}; it is a millisecond to ten years")
        for name in ("hold_max_length", "hold_max_bytes", "hold_memory_bytes_max"):
            if getattr(self, name) < 1:
                raise InvalidArgument(f"{name} is {getattr(self, name)}; it is at least 1")
        if self.queue_memory_bytes_max < 1024 * 1024:
            raise InvalidArgument(f"queue_memory_bytes_max is {self.queue_memory_bytes_max}; it is at least 1 MiB")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def default_data_directory() -> str:
    """$POSTHOUSE_DATA, else the platform's directory for a user's data."""
    given = os.environ.get("POSTHOUSE_DATA")
    if given:
        return given
    home = Path.home()
    if sys.platform == "darwin":
        return str(home / "Library" / "Application Support" / "posthouse")
    return str(Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "posthouse")
