"""The vocabulary of monitoring: what may be asked of the monitor.

Frozen values like those of `messages.py`, whose union they join; numbers 121 to 127.
"""

from __future__ import annotations

from typing import Any, final

import msgspec

from posthouse.transport.limits import NAME_BYTES_MAX


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A record inside a message; it has no number of its own."""


@final
class ActorReading(_Value, frozen=True):
    """One actor as the monitor sees it.

    `name` is that of the queue or exchange, "" for others. `values` are the measures of its kind by key, in the units
    that their names end in; a moment is an age in seconds, absent when there is nothing that old. `rates` are
    counters per second over the last seconds. `histograms` have the counts of each bucket, then the sum. `cpu`: share
    of one core.
    """

    id: str
    kind: str
    name: str = ""
    group: str = ""
    state: str = ""
    generation: int = 0
    pid: int = 0
    restarts: int = 0
    started_at: float = 0.0
    ready_ms: int = 0
    last_exit: str = ""
    cpu: float = 0.0
    rss_bytes: int = 0
    descriptors: int = 0
    values: dict[str, float] = {}
    rates: dict[str, float] = {}
    histograms: dict[str, list[float]] = {}


@final
class Machine(_Value, frozen=True):
    """The machine the broker runs on: bytes, cores, load over a minute. `disk` is the one of the data directory."""

    cores: int = 0
    load: float = 0.0
    memory_bytes: int = 0
    memory_free_bytes: int = 0
    disk_bytes: int = 0
    disk_free_bytes: int = 0


@final
class BrokerEvent(_Value, frozen=True):
    """Something that happened. `number` rises by one with each; `severity`: info, warning, error."""

    number: int
    at_ms: int
    kind: str
    actor: str
    severity: str = "info"
    text: str = ""
    fields: dict[str, Any] = {}

    @property
    def routing_key(self) -> str:
        """`KIND.ACTOR-KIND.NAME`, under which it is published; the end of a very long name is cut."""
        actor_kind, _, name = self.actor.partition(":")
        words = (self.kind, actor_kind, name) if name else (self.kind, actor_kind)
        return ".".join(words).encode()[:NAME_BYTES_MAX].decode(errors="ignore")


@final
class Point(_Value, frozen=True):
    """The whole broker at one moment of the last minutes: messages per second, and messages."""

    at_ms: int
    published: float = 0.0
    delivered: float = 0.0
    acked: float = 0.0
    ready: int = 0
    unacked: int = 0
    dead: int = 0


@final
class Overview(_Value, frozen=True):
    """Everything at one moment. `started_at`: epoch seconds of the supervisor's start."""

    at_ms: int
    version: str = ""
    data: str = ""
    pid: int = 0
    started_at: float = 0.0
    machine: Machine = Machine()
    actors: list[ActorReading] = []
    history: list[Point] = []
    standing: list[BrokerEvent] = []
    """Alarms of actors that stand."""


@final
class ReadOverview(_Message, frozen=True, tag=121):
    """The answer is an `Overview`. `kinds`: of these kinds of actors only; `with_history`: with the last minutes."""

    request: int
    kinds: list[str] | None = None
    with_history: bool = False


@final
class ReadEvents(_Message, frozen=True, tag=122):
    """The answer is a list of `BrokerEvent` above the number `after`, oldest first.

    When there are none it comes as soon as there is one, after `wait_ms` at the latest. `after` -1: the last `limit`.
    """

    request: int
    after: int = -1
    limit: int = 100
    wait_ms: int = 0


MonitorMessage = ReadOverview | ReadEvents
