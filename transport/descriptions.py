"""The records inside messages: what an exchange, a queue, a binding and a consumer are, in words.

Frozen values, MessagePack arrays on the wire. Trailing fields may be added in later versions.
"""

from __future__ import annotations

import enum
from typing import Any, final

import msgspec


class Durability(enum.IntEnum):
    """How safe a message is when its receipt arrives. Higher is safer."""

    MEMORY = 0
    OS = 1
    SYNC = 2


class Outcome(enum.IntEnum):
    """How a consumer settles deliveries. RELEASE: nobody has seen them; they return, and no attempt has failed."""

    ACK = 0
    NACK = 1
    REJECT = 2
    RELEASE = 3


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A record inside a message; it has no number of its own."""


@final
class ExchangeSpec(_Value, frozen=True):
    """An exchange as declared. `kind` is direct, topic, fanout or headers.

    `unrouted` is return, drop, alternate, hold or dead-letter; where a bound of what is held is nil, the broker's
    configuration counts. `serial` tells re-creations apart.
    """

    name: str
    kind: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    alternate: str | None = None
    unrouted: str = "return"
    hold_for_ms: int | None = None
    hold_max_length: int | None = None
    hold_max_bytes: int | None = None
    serial: int = 0


@final
class RetrySpec(_Value, frozen=True):
    """What becomes of a message whose delivery failed. `kind` is exponential, linear, fixed or off."""

    kind: str = "exponential"
    max_attempts: int = 5
    first_delay_ms: int = 1_000
    factor: float = 2.0
    max_delay_ms: int = 600_000
    jitter: bool = True


@final
class BreakerSpec(_Value, frozen=True):
    """When a queue stops delivering because nearly everything fails, and how long it waits before it tries again."""

    window: int = 20
    failure_share: float = 0.8
    probe_after_ms: int = 5_000
    max_probe_after_ms: int = 60_000


@final
class QueueSpec(_Value, frozen=True):
    """A queue as declared. `owner` is the client an exclusive queue belongs to, `serial` tells re-creations apart.

    `dead_letter` is store or off; `overflow` is drop-head, reject-publish or dead-letter. What dies goes to
    `dead_letter_exchange` where there is one, under `dead_letter_routing_key` or its own. With `expires_ms` the queue
    goes when nobody has used it for so long.
    """

    name: str
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    single_active_consumer: bool = False
    owner: int = 0
    serial: int = 0
    retry: RetrySpec = RetrySpec()
    dead_letter: str = "store"
    ack_timeout_ms: int | None = None
    ttl_ms: int | None = None
    max_length: int | None = None
    max_bytes: int | None = None
    overflow: str = "drop-head"
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    priority: bool = False
    expires_ms: int | None = None
    breaker: BreakerSpec | None = None


@final
class ExchangeInfo(_Value, frozen=True):
    """An exchange as declared, and what it holds for queues to come: messages, bytes, and messages on their way."""

    name: str
    kind: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    alternate: str | None = None
    unrouted: str = "return"
    hold_for_ms: int | None = None
    hold_max_length: int | None = None
    hold_max_bytes: int | None = None
    serial: int = 0
    held: int = 0
    held_bytes: int = 0
    leaving: int = 0


@final
class BindingSpec(_Value, frozen=True):
    """A rule from an exchange to a queue or to another exchange."""

    source: str
    destination: str
    to_exchange: bool = False
    key: str = ""
    arguments: dict[str, Any] | None = None


@final
class Options(_Value, frozen=True):
    """What a publisher asks of every message in a batch. None means that nothing was asked.

    `deliver_at_ms`: publish them then; 0: each at its own time, in the batch's `due`. `schedule_key` names a delayed
    message; another of the same key takes its place.
    `deadline_ms`: it is a call, and worth nothing from this time on (milliseconds since 1970).
    """

    durability: int = Durability.SYNC
    content_type: str | None = None
    reply_to: str | None = None
    ttl_ms: int | None = None
    priority: int = 0
    dedup_id: str | None = None
    deliver_at_ms: int | None = None
    schedule_key: str | None = None
    deadline_ms: int | None = None


@final
class QueueInfo(_Value, frozen=True):
    """The state of one queue. Counts are messages, sizes bytes of bodies. `state` is the actor's: up, restarting…

    `ready_by_priority` counts priorities 0 to 9 and is empty where there are none; `breaker` is closed, open, probing,
    or "" where there is none, and `breaker_opened` how often it opened in this life of the queue. `is_paused`: an
    operator wants nothing delivered.
    """

    name: str
    state: str = "up"
    ready: int = 0
    unacked: int = 0
    consumers: int = 0
    bytes: int = 0
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    single_active_consumer: bool = False
    stored: int = 0
    delivered: int = 0
    redelivered: int = 0
    acked: int = 0
    rejected: int = 0
    duplicates: int = 0
    journal_bytes: int = 0
    waiting: int = 0
    leaving: int = 0
    dead_lettered: int = 0
    expired: int = 0
    dropped: int = 0
    late_calls: int = 0
    ready_by_priority: tuple[int, ...] = ()
    breaker: str = ""
    breaker_opened: int = 0
    is_paused: bool = False


@final
class ConsumerInfo(_Value, frozen=True):
    """One consumer of a queue. `client` is the name its program gave itself.

    `is_active`: it gets messages, being the oldest where only one does. `is_slow`: it gets none until it has read more
    of what was sent to it. `since_ms` is when it was opened, in this life of the queue.
    """

    queue: str
    consumer: int
    client: str
    prefetch: int
    unacked: int
    auto_ack: bool
    is_active: bool
    client_id: int = 0
    since_ms: int = 0
    is_slow: bool = False
