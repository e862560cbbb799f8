"""Recurring schedules as programs see them, and the requests about them, made and checked once for both clients.

What a cron expression or a time zone means is the broker's business, which refuses nonsense; everything else is refused
here, before anything is sent.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self, final

import msgspec

from posthouse.delay_times import moment_ms, moment_of
from posthouse.requests import Request
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import CRON_CHARACTERS_MAX, DELAY_MS_MAX, REPEAT_EVERY_MS_MIN
from posthouse.transport.messages_recurring import (
    ListRecurring,
    PauseRecurring,
    RecurringInfo,
    Repeat,
    StopRecurring,
)
from posthouse.transport.names import DELAY, check_name, check_routing_key, encode_headers, shown

MISFIRES = ("once", "skip", "all")
COUNT_MAX = (1 << 62) - 1


@final
class Recurring(msgspec.Struct, frozen=True, kw_only=True):
    """A recurring schedule. `next_at`: its next instants, none while it is paused or has a `problem`.

    `fired` counts its messages since it was made or last changed; `size` is its body's, in bytes.
    """

    schedule_id: str
    key: str
    exchange: str
    routing_key: str
    size: int
    every_s: float | None
    cron: str | None
    zone: str | None
    start_at: datetime | None
    until: datetime | None
    max_count: int | None
    misfire: str
    next_at: tuple[datetime, ...]
    fired: int
    is_paused: bool
    problem: str

    @classmethod
    def of(cls, info: RecurringInfo) -> Self:
        return cls(
            schedule_id=str(info.schedule_id),
            key=info.key,
            exchange=info.exchange,
            routing_key=info.routing_key,
            size=info.size,
            every_s=None if info.every_ms is None else info.every_ms / 1000,
            cron=info.cron,
            zone=info.zone,
            start_at=None if info.start_ms is None else moment_of(info.start_ms),
            until=None if info.until_ms is None else moment_of(info.until_ms),
            max_count=info.max_count,
            misfire=info.misfire,
            next_at=tuple(moment_of(instant) for instant in info.next_ms),
            fired=info.count,
            is_paused=info.is_paused,
            problem=info.problem,
        )


def request_repeat(
    exchange: str, body: bytes, key: str, routing_key: str, headers: dict[str, Any] | None, **wishes: Any
) -> Request[RecurringInfo]:
    """`wishes` are the remaining keywords of `Delayed.repeat`, each given; programs see `Recurring.of` the answer."""
    check_name("exchange", exchange, may_be_empty=True)
    check_routing_key(routing_key)
    check_name("schedule", key)
    every_s, cron = wishes["every_s"], wishes["cron"]
    if (every_s is None) == (cron is None):
        raise InvalidArgument("say every_s or cron, one of them")
    encoded, copied = encode_headers(headers), memoryview(_bytes(body))
    every_ms = None if every_s is None else _every_ms(every_s)
    text = None if cron is None else _text("cron", cron)
    zone = None if wishes["zone"] is None else _text("zone", wishes["zone"])
    if zone is not None and every_ms is not None:
        raise InvalidArgument("zone belongs to cron; an interval has none")
    start_ms, until_ms = (
        None if wishes[name] is None else moment_ms(name, wishes[name]) for name in ("start_at", "until")
    )
    max_count, misfire = wishes["max_count"], wishes["misfire"]
    if max_count is not None and (
        isinstance(max_count, bool) or not isinstance(max_count, int) or not 1 <= max_count <= COUNT_MAX
    ):
        raise InvalidArgument(f"max_count is {shown(max_count)}; it is a number from 1 on")
    if misfire not in MISFIRES:
        raise InvalidArgument(f"misfire is {shown(misfire)}; it is one of {', '.join(MISFIRES)}")
    return Request(
        DELAY,
        lambda number: Repeat(
            number, key, exchange, routing_key, encoded, copied,
            every_ms, text, zone, start_ms, until_ms, max_count, misfire,
        ),
        RecurringInfo,
    )  # fmt: skip


def request_recurring() -> Request[list[RecurringInfo]]:
    return Request(DELAY, ListRecurring, list[RecurringInfo])


def all_of(infos: list[RecurringInfo]) -> list[Recurring]:
    """The answer to `request_recurring` as programs see it."""
    return [Recurring.of(info) for info in infos]


def request_stop(key_or_id: str) -> Request[None]:
    name = _text("key_or_id", key_or_id)
    return Request(DELAY, lambda number: StopRecurring(number, name), is_removal=True)


def request_pause(key_or_id: str, is_paused: bool) -> Request[None]:
    name = _text("key_or_id", key_or_id)
    return Request(DELAY, lambda number: PauseRecurring(number, name, is_paused))


def _every_ms(every_s: object) -> int:
    """Kept to the millisecond."""
    if isinstance(every_s, bool) or not isinstance(every_s, int | float):
        raise InvalidArgument(f"every_s is {shown(every_s)}; it is a number of seconds")
    if not REPEAT_EVERY_MS_MIN / 1000 <= every_s <= DELAY_MS_MAX / 1000:  # Neither is true of NaN.
        least, most = REPEAT_EVERY_MS_MIN / 1000, DELAY_MS_MAX // 1000
        raise InvalidArgument(f"every_s is {shown(every_s)}; it is {least} to {most} seconds, a century")
    return round(every_s * 1000)


def _bytes(body: object) -> bytes:
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InvalidArgument(f"the body is {shown(body)}; it is bytes")
    return bytes(body)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= CRON_CHARACTERS_MAX:
        raise InvalidArgument(f"{name} is {shown(value)}; it is a text of 1 to {CRON_CHARACTERS_MAX} characters")
    return value
