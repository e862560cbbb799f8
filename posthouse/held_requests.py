"""Requests about held messages, checked and ready to be sent, and their answers as a program sees them.

Pure. Both clients ask through these functions. Times are aware datetimes in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, final

import msgspec

from posthouse.arguments import check_count
from posthouse.requests import Request
from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_hold import ExpireHeld, HeldInfo, HoldInfo, HoldStatus, ListHeld, ReleaseHeld
from posthouse.transport.names import actor_of_exchange, check_name

LIST_MAX: Final = 1_000
NUMBER_MAX: Final = (1 << 63) - 1


@final
class HeldMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that no queue has wanted yet. `number` is its place in its exchange; at `until` it is a dead letter."""

    number: int
    exchange: str
    routing_key: str
    message_id: str
    held_at: datetime
    until: datetime
    size: int


def held(exchange: str, limit: int, after: int) -> Request[list[HeldInfo]]:
    """`shown` makes messages of the answer."""
    target = _exchange(exchange)
    check_count("limit", limit, 1, LIST_MAX)
    check_count("after", after, 0, NUMBER_MAX)
    return Request(target, lambda number: ListHeld(number, limit, after), list[HeldInfo])


def check_listing(limit: int, after: int) -> None:
    """What a listing over all exchanges asks. Raises InvalidArgument."""
    check_count("limit", limit, 1, LIST_MAX)
    if after != 0:
        raise InvalidArgument("after is a number within one exchange; name the exchange too")


def release(exchange: str, to: str | None) -> Request[int]:
    """Answered with how many messages leave."""
    queue = None if to is None else check_name("queue", to)
    return Request(_exchange(exchange), lambda number: ReleaseHeld(number, queue), int)


def expire(exchange: str) -> Request[int]:
    """Answered with how many messages leave for the dead letters."""
    return Request(_exchange(exchange), ExpireHeld, int)


def status(exchange: str) -> Request[HoldInfo]:
    return Request(_exchange(exchange), HoldStatus, HoldInfo)


def holders(exchanges: list[ExchangeInfo]) -> list[str]:
    """The exchanges that hold anything, by name."""
    return [exchange.name for exchange in exchanges if exchange.held]


def shown(found: list[HeldInfo]) -> list[HeldMessage]:
    """The messages of a listing."""
    return [
        HeldMessage(
            number=info.number,
            exchange=info.exchange,
            routing_key=info.routing_key,
            message_id=info.message_id,
            held_at=_moment(info.held_ms),
            until=_moment(info.until_ms),
            size=info.size,
        )
        for info in found
    ]


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _exchange(name: str) -> str:
    return actor_of_exchange(check_name("exchange", name))
