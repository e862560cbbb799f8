"""The vocabulary of delayed messages: what exchanges, clients and the delay scheduler say to each other.

A part of `messages.py`, under the same rules: arrays that start with their number, fields are only ever appended.
`deliver_at_ms` is always milliseconds since 1970, UTC. Where a request names a message, `scheduled_id` 0 means that
`schedule_key` names it.
"""

from __future__ import annotations

from typing import final

import msgspec


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A record inside an answer; it has no number of its own."""


@final
class Scheduled(_Message, frozen=True, tag=70):
    """The scheduler holds a range of a stream: message i has the id `first_id + i`. Sent before the ack.

    `first_id` 0: it has held them before, and does not remember as what.
    """

    stream: int
    first_seq: int
    count: int
    first_id: int


@final
class ListDelayed(_Message, frozen=True, tag=71):
    """The answer is a list of `DelayedInfo`, earliest first, failed ones at the end."""

    request: int
    exchange: str | None = None
    schedule_key: str | None = None
    limit: int = 100


@final
class CancelDelayed(_Message, frozen=True, tag=72):
    """Forget a message that waits. The answer is nil."""

    request: int
    scheduled_id: int = 0
    schedule_key: str | None = None


@final
class RescheduleDelayed(_Message, frozen=True, tag=73):
    """Give a message that waits another time. The answer is nil."""

    request: int
    deliver_at_ms: int
    scheduled_id: int = 0
    schedule_key: str | None = None


@final
class FireDelayed(_Message, frozen=True, tag=74):
    """Publish a message that waits now. The answer is nil."""

    request: int
    scheduled_id: int = 0
    schedule_key: str | None = None


@final
class DelayStatus(_Message, frozen=True, tag=75):
    """The answer is a `DelayInfo`."""

    request: int


DelayMessage = Scheduled | ListDelayed | CancelDelayed | RescheduleDelayed | FireDelayed | DelayStatus


@final
class DelayedInfo(_Value, frozen=True):
    """One delayed message. `state` is waiting, firing (on its way to its exchange) or failed (`code`, `text`)."""

    scheduled_id: int
    schedule_key: str | None
    exchange: str
    routing_key: str
    deliver_at_ms: int
    size: int
    state: str = "waiting"
    code: str | None = None
    text: str = ""


@final
class DelayInfo(_Value, frozen=True):
    """The scheduler's counts. Those from `accepted` on count since the scheduler was made."""

    waiting: int = 0
    firing: int = 0
    failed: int = 0
    next_due_ms: int = 0
    journal_bytes: int = 0
    accepted: int = 0
    fired: int = 0
    cancelled: int = 0
    replaced: int = 0
    retried: int = 0
    dead_lettered: int = 0
