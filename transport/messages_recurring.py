"""The vocabulary of recurring schedules: what clients and the delay scheduler say to each other.

A part of `messages.py`, under the same rules: arrays that start with their number, fields are only ever appended.
Times are milliseconds since 1970, UTC. Where a request names a schedule, `name` is its key or its id.
"""

from __future__ import annotations

from typing import Any, final

import msgspec


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A record inside an answer; it has no number of its own."""


@final
class Repeat(_Message, frozen=True, tag=76):
    """Publish a message again and again, at a distance of `every_ms` or as `cron` says in `zone`. One of the two.

    `headers` is a MessagePack map or nil. A schedule of that key is replaced, unless it says the same. A new one may
    begin paused. `is_dry_run`: refuse what is wrong with it, and change nothing. `is_exchange_new`: the exchange is
    about to be declared, or just was, and the scheduler may not have heard of it. The answer is a `RecurringInfo`.
    """

    request: int
    key: str
    exchange: str
    routing_key: str
    headers: msgspec.Raw
    body: memoryview
    every_ms: int | None = None
    cron: str | None = None
    zone: str | None = None
    start_ms: int | None = None
    until_ms: int | None = None
    max_count: int | None = None
    misfire: str = "once"
    is_paused: bool = False
    is_dry_run: bool = False
    is_exchange_new: bool = False


@final
class ListRecurring(_Message, frozen=True, tag=77):
    """The answer is a list of `RecurringInfo`, by key; `with_bodies`: with the headers and the body of each."""

    request: int
    with_bodies: bool = False


@final
class StopRecurring(_Message, frozen=True, tag=78):
    """End a schedule. The answer is nil."""

    request: int
    name: str


@final
class PauseRecurring(_Message, frozen=True, tag=79):
    """Halt a schedule, or with `is_paused` false let it go on from now. The answer is nil."""

    request: int
    name: str
    is_paused: bool = True


RecurringMessage = Repeat | ListRecurring | StopRecurring | PauseRecurring


@final
class RecurringInfo(_Value, frozen=True):
    """One schedule. `next_ms`: its next instants, empty while it is paused or has a `problem`; `size` is its body's.

    `headers` (a map) and `body` are there where they were asked for.
    """

    schedule_id: int
    key: str
    exchange: str
    routing_key: str
    size: int
    every_ms: int | None = None
    cron: str | None = None
    zone: str | None = None
    start_ms: int | None = None
    until_ms: int | None = None
    max_count: int | None = None
    misfire: str = "once"
    next_ms: tuple[int, ...] = ()
    count: int = 0
    is_paused: bool = False
    problem: str = ""
    headers: dict[str, Any] | None = None
    body: bytes | None = None
